//! The program as a value: open it, run it, close it.
//!
//! Everything a running service needs hangs together here: configuration,
//! sources with their providers, the ledger, destinations and their
//! forwarders. It knows no command line and no route.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use secrecy::ExposeSecret as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config, ConfigError, Mode};
use crate::destination::{self, Destination};
use crate::forward::Forwarder;
use crate::import;
use crate::inquire::{self, Inquirer};
use crate::keyset::KeySet;
use crate::ledger::book::SourceTerms;
use crate::ledger::{AllTerms, Ledger, LedgerError, Opening};
use crate::lookup::{self, Rule};
use crate::mirror::{self, Mirroring};
use crate::ops;
use crate::plan::Terms;
use crate::provider::{self, Provider};
use crate::time::{Clock, HOUR_MS, MINUTE_MS, SECOND_MS, Time};

/// Why the program cannot run; each variant is an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Exit code 2.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Exit code 1.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Exit code 1.
    #[error(transparent)]
    Listen(#[from] crate::http::listen::BindError),
    /// Exit code 1.
    #[error("{0}")]
    Other(String),
}

/// The setting by which a provider learns of a switch.
const SWITCHED_AT: &str = "switched_at";

/// One configured source, ready to take deliveries.
pub struct Source {
    /// Its provider, which verifies and reads.
    pub provider: Box<dyn Provider>,
    /// The destination's name.
    pub destination: String,
    /// True where its URL is gone.
    pub retired: bool,
    /// The keys that its provider publishes, where they are fetched.
    pub keys: Option<Arc<KeySet>>,
    /// What it was sent that did not verify, since this process began.
    pub refused: Refused,
}

/// A count with the time of the newest. Nothing of what was refused is stored.
#[derive(Debug, Default)]
pub struct Refused {
    count: AtomicU64,
    last_ms: AtomicI64,
}

impl Refused {
    /// Counts one more.
    pub fn count(&self, at: Time) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.last_ms.fetch_max(at.ms(), Ordering::Relaxed);
    }

    /// How many there were, and when the last one came.
    #[must_use]
    pub fn read(&self) -> (u64, Option<Time>) {
        let count = self.count.load(Ordering::Relaxed);
        let last = Time(self.last_ms.load(Ordering::Relaxed));
        (count, (count > 0).then_some(last))
    }
}

/// The program.
#[derive(Clone)]
pub struct App {
    /// What was configured.
    pub config: Arc<Config>,
    /// The clock of everything.
    pub clock: Clock,
    /// When this process opened the program.
    pub opened_at: Time,
    /// The ledger.
    pub ledger: Ledger,
    /// The sources by name.
    pub sources: Arc<BTreeMap<String, Source>>,
    /// Files that came by the API.
    pub imports: Arc<import::queue::Queue>,
    /// Tells a destination's forwarder that something became due.
    pub wakes: Arc<BTreeMap<String, Arc<Notify>>>,
}

impl App {
    /// Opens the program on its ledger. `serve` is true for the one process
    /// that forwards.
    ///
    /// # Errors
    /// The configuration's by key, or the ledger's in one line.
    pub fn open(config: Arc<Config>, clock: Clock, serve: bool) -> Result<App, AppError> {
        // Settings are read before the ledger is touched.
        let terms = terms(&config)?;
        let ledger = Ledger::open(Opening {
            url: config.ledger_url()?.expose_secret().to_owned(),
            terms,
            report_zone: config.ledger.report_zone.clone(),
            clock: clock.clone(),
            serve,
        })?;
        let mut sources = BTreeMap::new();
        for (name, source) in &config.sources {
            let word = switch_word(source);
            let since = ledger.switched_at(name, &source.provider, &word)?;
            let provider = build(name, source, since)?;
            let keys = provider.key_set().map(|url| KeySet::new(name, url));
            sources.insert(
                name.clone(),
                Source {
                    keys: keys.map(Arc::new),
                    provider,
                    destination: source.destination.clone(),
                    retired: source.retired,
                    refused: Refused::default(),
                },
            );
        }
        let wakes = config
            .destinations
            .keys()
            .map(|name| (name.clone(), Arc::default()));
        Ok(App {
            wakes: Arc::new(wakes.collect()),
            opened_at: clock.now(),
            imports: Arc::new(import::queue::Queue::new(
                config.http.import_folder.as_deref(),
                config.ledger.url.path(),
            )),
            config,
            clock,
            ledger,
            sources: Arc::new(sources),
        })
    }

    /// Tells every forwarder that something may have become due.
    pub fn wake_all(&self) {
        for wake in self.wakes.values() {
            wake.notify_one();
        }
    }

    /// Tells the forwarder of a source's destination.
    pub fn wake(&self, source: &str) {
        let destination = self.sources.get(source).map(|source| &source.destination);
        if let Some(wake) = destination.and_then(|name| self.wakes.get(name)) {
            wake.notify_one();
        }
    }

    /// Starts a forwarder for every destination with the secrets as they are now, and
    /// beside it who reads its lists.
    ///
    /// # Errors
    /// A destination whose settings make no client.
    pub fn start_forwarders(
        &self,
        stop: &CancellationToken,
    ) -> Result<Vec<JoinHandle<()>>, AppError> {
        let mut running = Vec::new();
        for destination in self.destinations()? {
            let name = destination.name().to_owned();
            let mirrored = destination.v2_available();
            let wake = self
                .wakes
                .get(destination.name())
                .cloned()
                .unwrap_or_default();
            let forwarder = Arc::new(Forwarder::new(
                self.ledger.clone(),
                Arc::new(destination),
                self.clock.clone(),
                wake,
                stop.clone(),
            ));
            running.push(tokio::spawn(Arc::clone(&forwarder).run()));
            if let Some(set) = self.config.destinations.get(&name)
                && set.mirror_every_minutes > 0
                && mirrored
            {
                let mirroring = Mirroring {
                    forwarder,
                    every_ms: i64::from(set.mirror_every_minutes) * MINUTE_MS,
                    page_pause_ms: mirror::page_pause_ms(set.requests_per_second),
                    reward_currency: set.reward_currency,
                };
                running.push(tokio::spawn(mirroring.keep()));
            }
        }
        Ok(running)
    }

    /// Starts keeping the published keys of every source that has some.
    #[must_use]
    pub fn start_key_sets(&self, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
        let sets = self.sources.values().filter(|source| !source.retired);
        let sets = sets.filter_map(|source| source.keys.clone());
        sets.map(|set| tokio::spawn(set.keep(stop.clone())))
            .collect()
    }

    /// Starts asking for every source whose provider's API is configured.
    ///
    /// # Errors
    /// A source whose settings make no client.
    pub fn start_inquirers(
        &self,
        stop: &CancellationToken,
    ) -> Result<Vec<JoinHandle<()>>, AppError> {
        let secrets = self.config.secrets();
        let mut running = Vec::new();
        for (name, source) in self.sources.iter() {
            let set = self.config.sources.get(name).and_then(|it| it.api.as_ref());
            let (Some(set), Some(api), Some(key)) = (set, source.provider.api(), secrets.api(name))
            else {
                continue;
            };
            let own = api.base_url.map(str::to_owned);
            let Some(base_url) = set.base_url.clone().or(own) else {
                continue;
            };
            let settings = inquire::Settings {
                source: name.clone(),
                base_url,
                key: key.clone(),
                requests_per_minute: NonZeroU32::new(set.requests_per_minute)
                    .unwrap_or(NonZeroU32::MIN),
            };
            let sources = Arc::clone(&self.sources);
            let (ledger, clock) = (self.ledger.clone(), self.clock.clone());
            let inquirer = Inquirer::new(settings, api, sources, ledger, clock)
                .map_err(|_| ConfigError::at(format!("sources.{name}.api"), "cannot be called"))?;
            let wake = self.wakes.get(&source.destination).cloned();
            running.push(tokio::spawn(
                inquirer.run(wake.unwrap_or_default(), stop.clone()),
            ));
        }
        Ok(running)
    }

    /// A client for every configured destination.
    ///
    /// # Errors
    /// The settings' by key.
    pub fn destinations(&self) -> Result<Vec<Destination>, AppError> {
        let all = destinations(&self.config, &self.clock)?;
        Ok(match self.ledger.is_shared() {
            true => {
                let share = |one: Destination| one.sharing(Arc::new(self.ledger.clone()));
                all.into_iter().map(share).collect()
            }
            false => all,
        })
    }
}

/// A client for every configured destination.
///
/// # Errors
/// The settings' by key.
pub fn destinations(config: &Config, clock: &Clock) -> Result<Vec<Destination>, AppError> {
    let secrets = config.secrets();
    let mut all = Vec::new();
    for (name, section) in &config.destinations {
        let key = format!("destinations.{name}");
        let keys = secrets
            .destination(name)
            .ok_or_else(|| ConfigError::at(format!("{key}.secret_key"), "was not read"))?;
        let settings = destination::Settings {
            name: name.clone(),
            api: section.api,
            base_url: section.base_url.clone(),
            public_key: keys.public_key.clone(),
            secret_key: keys.secret_key.clone(),
            requests_per_second: NonZeroU32::new(section.requests_per_second)
                .unwrap_or(NonZeroU32::MIN),
            burst: NonZeroU32::new(section.burst).unwrap_or(NonZeroU32::MIN),
            max_in_flight: usize::try_from(section.max_in_flight).unwrap_or(1),
            timeout_ms: i64::from(section.timeout_seconds) * SECOND_MS,
            v2_available: section.v2_available,
        };
        let made = Destination::new(settings, clock.clone()).map_err(|error| {
            ConfigError::at(format!("{key}.{}", error.key()), error.to_string())
        })?;
        all.push(made);
    }
    Ok(all)
}

/// What every source's configuration means for its payments; also checks every
/// provider's own settings.
///
/// # Errors
/// By key.
pub fn terms(config: &Config) -> Result<AllTerms, ConfigError> {
    let mut all = AllTerms::new();
    for (name, source) in &config.sources {
        let provider = build(name, source, None)?;
        let Some(destination) = config.destinations.get(&source.destination) else {
            return Err(ConfigError::at(
                format!("sources.{name}.destination"),
                "is not configured",
            ));
        };
        if let Some(saved) = &source.import {
            import::settings::check(saved).map_err(|(key, problem)| {
                ConfigError::at(format!("sources.{name}.import.{key}"), problem)
            })?;
        }
        let rules = match &source.customer_key {
            Some(rules) => allowed(name, rules, destination)?,
            None => {
                let mirrored = is_only_provider(config, source);
                default_rules(name, provider.as_ref(), (destination, mirrored))?
            }
        };
        let mut terms = terms_at(&source.destination, destination);
        terms.name.clone_from(name);
        terms.provider.clone_from(&source.provider);
        terms.rules = rules;
        terms.forward_from = source.forward_from;
        if let Some(api) = provider.api() {
            terms.api_missing = api_missing(name, source, &api);
            terms.asks = api.kinds.iter().map(|it| it.kind.to_owned()).collect();
        }
        terms.terms.policy = config.partial_refunds(source);
        all.insert(name.clone(), terms);
    }
    // The merchant's own back end is a source too; what it states names the
    // customer, and is from now.
    if let Some(name) = config.api_destination()
        && let Some(destination) = config.destinations.get(name)
    {
        let mut terms = terms_at(name, destination);
        terms.rules = vec![Rule::Field(ops::API_CUSTOMER.to_owned())];
        all.insert(terms.name.clone(), terms);
    }
    Ok(all)
}

/// The terms that follow from a destination, for the source `api`.
fn terms_at(name: &str, destination: &config::Destination) -> SourceTerms {
    SourceTerms {
        name: config::RESERVED_NAME.to_owned(),
        provider: config::RESERVED_NAME.to_owned(),
        destination: name.to_owned(),
        live: destination.mode == Mode::Live,
        rules: Vec::new(),
        forward_from: None,
        terms: Terms {
            policy: destination.partial_refunds,
            v2_available: destination.v2_available,
        },
        bind_provider_key: destination.provider_key && destination.v2_available,
        confirm_after_ms: i64::from(destination.confirm_after_seconds) * SECOND_MS,
        retry_for_ms: i64::from(destination.retry_for_hours) * HOUR_MS,
        timeout_ms: i64::from(destination.timeout_seconds) * SECOND_MS,
        asks: Vec::new(),
        api_missing: None,
    }
}

/// The key without which a provider's API cannot be asked.
fn api_missing(name: &str, source: &config::Source, api: &provider::ask::Api) -> Option<String> {
    match &source.api {
        None => Some(format!("sources.{name}.api.key")),
        Some(set) if set.base_url.is_none() && api.base_url.is_none() => {
            Some(format!("sources.{name}.api.base_url"))
        }
        Some(_) => None,
    }
}

/// Whether all that is paid into a source's destination comes from one provider: a
/// `provider_key` does not say whose id it is, and two providers may count alike.
fn is_only_provider(config: &Config, source: &config::Source) -> bool {
    let into = config.sources.values();
    into.filter(|other| other.destination == source.destination)
        .all(|other| other.provider == source.provider)
}

/// A provider's own rules, and behind them what the destination's list says, where
/// there is one: by the id that a link is looked up by, if ids are `mirrored`, and
/// by address where that is allowed.
fn default_rules(
    name: &str,
    provider: &dyn Provider,
    (destination, mirrored): (&config::Destination, bool),
) -> Result<Vec<Rule>, ConfigError> {
    let key = format!("sources.{name}.customer_key");
    let read = |rule: &&str| {
        rule.parse()
            .map_err(|error| ConfigError::at(&key, format!("{error}")))
    };
    let rules: Result<Vec<Rule>, ConfigError> = provider.lookup().iter().map(read).collect();
    let mut rules = rules?;
    if destination.v2_available {
        if mirrored && rules.contains(&Rule::Link(PROVIDER_KEY.to_owned())) {
            rules.push(Rule::Mirror(PROVIDER_KEY.to_owned()));
        }
        if destination.resolve_by_email {
            rules.push(Rule::Mirror(lookup::EMAIL.to_owned()));
        }
    }
    Ok(rules)
}

/// The field that holds a provider's id of the customer, which is what is written
/// to the destination as `provider_key`.
const PROVIDER_KEY: &str = "customer";

/// Rules that somebody wrote: anybody can type an address, so finding customers by
/// it has to be asked for where the customers are.
fn allowed(
    name: &str,
    rules: &[Rule],
    destination: &config::Destination,
) -> Result<Vec<Rule>, ConfigError> {
    if !destination.resolve_by_email && rules.iter().any(Rule::mirrors_email) {
        return Err(ConfigError::at(
            format!("sources.{name}.customer_key"),
            "mirror:email needs resolve_by_email = true at the source's destination",
        ));
    }
    Ok(rules.to_vec())
}

/// Which event of a source is the payment, in one word, where it can be chosen.
fn switch_word(source: &config::Source) -> String {
    let chosen = source
        .settings
        .get("payment_event")
        .and_then(|value| value.as_str());
    chosen.unwrap_or("charge").to_owned()
}

/// The ledger knows when a source last changed which event is the payment, and
/// nobody else may say so.
fn build(
    name: &str,
    source: &config::Source,
    since: Option<Time>,
) -> Result<Box<dyn Provider>, ConfigError> {
    let mut settings = source.settings.clone();
    settings.remove(SWITCHED_AT);
    if let Some(since) = since {
        settings.insert(SWITCHED_AT.to_owned(), since.to_string().into());
    }
    provider::build(&source.provider, settings)
        .map_err(|error| ConfigError::at(format!("sources.{name}.{}", error.key), error.why))
}
