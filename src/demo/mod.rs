//! The demo: sandbox, service and signed traffic in one process.
//!
//! It needs nothing but itself: a fresh ledger in a temporary folder, keys made
//! up on the spot, traffic to loopback only. The service in it is the real one;
//! only the money is not.

mod answers;
mod chargebee;
mod chargify;
mod custom;
mod event;
mod partners;
mod pats;
mod paysafe;
mod paysight;
mod pyng;
mod recurly;
mod script;
mod settings;
mod stripe;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::config::{Config, Env};
use crate::ledger::BooksLine;
use crate::money::{Currency, Minor};
use crate::provider;
use crate::report::{Basis, By, Line, Question};
use crate::sandbox::fault::Fault;
use crate::sandbox::{NewCustomer, Sandbox, Settings};
use crate::serve::Service;
use crate::time::{Clock, DAY_MS, Time};
use answers::Answers;
use event::{Delivery, Event, What};
use script::Endless;
use settings::{configuration, write_secret};

/// How long `--once` waits for every payment to settle before it says that
/// something disagrees.
const SETTLE_MOST: Duration = Duration::from_secs(90);

/// Between looks at the books.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Between summaries of the endless demo.
const SUMMARY_EVERY: Duration = Duration::from_secs(5);

/// The seed of `--once`: the same script every time.
const SEED: u64 = 7;

/// What goes wrong at the destination meanwhile: answers lost after the fact,
/// refusals to be slower, errors before anything was done.
const FAULTS: [&str; 4] = [
    "drop-after@POST=5%",
    "500-after@POST=5%",
    "500-before=5%",
    "429:1=3%",
];

/// One provider's part in the demo.
#[derive(Clone, Copy)]
struct Player {
    /// The source and the provider have one name here.
    source: &'static str,
    /// More lines of the source's configuration. Tables of the source come last.
    settings: &'static str,
    /// How its requests prove themselves.
    proof: Proof,
    /// Whether its API is asked.
    asked: bool,
    /// What is told before any payment.
    opening: fn(Time) -> Vec<Event>,
    /// One payment with all that becomes of it, by a number of its own.
    story: fn(usize, Time, &mut StdRng) -> Vec<Event>,
}

/// How a player's requests prove themselves.
#[derive(Clone, Copy)]
enum Proof {
    /// A secret that both sides have; the player's headers come from it.
    Shared,
    /// The shared secret stands in the path.
    PathToken,
    /// A pair of keys: what the player signs with, and what the source verifies
    /// with.
    Pair {
        private: &'static str,
        public: &'static str,
    },
}

/// Everybody who plays.
const PLAYERS: &[Player] = &[
    chargebee::PLAYER,
    chargify::PLAYER,
    custom::PLAYER,
    pats::PLAYER,
    paysafe::PLAYER,
    paysight::PLAYER,
    pyng::PLAYER,
    recurly::PLAYER,
    stripe::PLAYER,
];

/// Runs the demo; answers the exit code.
///
/// # Errors
/// Where it cannot even start.
pub async fn run(once: bool) -> anyhow::Result<u8> {
    let stage = Stage::set().await?;
    let code = match once {
        true => stage.play_once().await,
        false => stage.play_on().await,
    };
    stage.strike().await;
    code
}

/// Everything that runs in a demo.
struct Stage {
    service: Service,
    sandbox: Sandbox,
    sandbox_at: String,
    sandbox_stop: CancellationToken,
    answers: Answers,
    client: reqwest::Client,
    secret: String,
    token: String,
    clock: Clock,
    _folder: TempDir,
}

impl Stage {
    async fn set() -> anyhow::Result<Stage> {
        let clock = Clock::Machine;
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let (sandbox, sandbox_at, sandbox_stop) = raise_sandbox(&clock).await?;
        let answers = Answers::default();
        let answers_at = answers.serve(sandbox_stop.clone()).await?;
        let secret = format!("whsec_{}", random_word());
        let token = random_word();
        let start = clock.now().plus(-100 * DAY_MS);
        write_secret(folder.path(), "webhook", &secret)?;
        write_secret(folder.path(), "token", &token)?;
        write_secret(
            folder.path(),
            "public",
            &format!("pk_demo_{}", random_word()),
        )?;
        write_secret(
            folder.path(),
            "secret",
            &format!("sk_demo_{}", random_word()),
        )?;
        for player in PLAYERS {
            if let Proof::Pair { public, .. } = player.proof {
                write_secret(folder.path(), player.source, public)?;
            }
        }
        let text = configuration(folder.path(), (&sandbox_at, &answers_at), start)?;
        let config = Config::parse(
            folder.path().join("demo.toml"),
            &text,
            &Env::of([]),
            provider::NAMES,
        )?;
        config.reload_secrets()?;
        let service = Service::start(Arc::new(config), clock.clone(), None).await?;
        Ok(Stage {
            service,
            sandbox,
            sandbox_at,
            sandbox_stop,
            answers,
            client: reqwest::Client::builder().no_proxy().build()?,
            secret,
            token,
            clock,
            _folder: folder,
        })
    }

    fn introduce(&self) {
        let lines = [
            // What is behind the # stays in the browser, which signs in with it.
            format!(
                "page      http://{}/sign-in#token={}",
                self.service.admin, self.token
            ),
            format!("sandbox   http://{}/sandbox/state", self.sandbox_at),
            format!(
                "webhooks  http://{}/webhooks/{{source}}",
                self.service.public
            ),
            format!("API       http://{}/api/v1/payments", self.service.admin),
            format!("          Authorization: Bearer {}", self.token),
            format!("ledger    {}", self.service.app.config.ledger.url),
        ];
        for line in lines {
            eprintln!("{line}");
        }
    }

    /// A fixed script, then a table; 1 where the books and the sandbox differ.
    async fn play_once(&self) -> anyhow::Result<u8> {
        self.introduce();
        let mut rng = StdRng::seed_from_u64(SEED);
        let script = script::fixed(self.clock.now(), &mut rng);
        eprintln!(
            "sending {} deliveries, some twice, in a shuffled order …",
            script.len()
        );
        for event in &script {
            self.send(event).await?;
        }
        eprintln!("waiting until every payment is settled …");
        let settled = self.wait_until_settled().await?;
        let agree = self.table().await? && settled;
        Ok(if agree { cli::DONE } else { cli::FAILED })
    }

    /// Traffic until somebody interrupts.
    async fn play_on(&self) -> anyhow::Result<u8> {
        self.introduce();
        eprintln!("Ctrl-C ends it");
        let mut rng = StdRng::from_rng(&mut rand::rng());
        eprintln!("three months of history are on their way …");
        let sent = async {
            for event in &script::history(self.clock.now(), &mut rng) {
                self.send(event).await?;
            }
            anyhow::Ok(())
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(cli::DONE),
            sent = sent => sent?,
        }
        let mut summary = tokio::time::interval(SUMMARY_EVERY);
        let mut script = Endless::new();
        loop {
            let pause = Duration::from_millis(rng.random_range(50..600));
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return Ok(cli::DONE),
                _ = summary.tick() => self.summary().await?,
                () = tokio::time::sleep(pause) => {
                    if let Some(event) = script.next(self.clock.now(), &mut rng) {
                        self.send(&event).await?;
                    }
                }
            }
        }
    }

    async fn send(&self, event: &Event) -> anyhow::Result<()> {
        let sent = match &event.what {
            What::Delivery(delivery) => self.delivery(event.source, delivery),
            What::Link {
                kind,
                id,
                customer,
                amount,
            } => {
                let mut link = serde_json::json!({ "customer_key": customer });
                if let Some((amount, currency)) = amount {
                    link["amount"] = (*amount).into();
                    link["currency"] = (*currency).into();
                }
                let url = format!(
                    "http://{}/api/v1/sources/{}/links/{kind}/{id}",
                    self.service.admin, event.source
                );
                self.client.put(url).bearer_auth(&self.token).json(&link)
            }
        };
        let answer = sent.send().await.context("a request was not answered")?;
        anyhow::ensure!(
            answer.status().is_success(),
            "a request for {} was answered {}",
            event.source,
            answer.status()
        );
        Ok(())
    }

    /// The request of a provider, signed as it signs, after its API knows.
    fn delivery(&self, source: &str, delivery: &Delivery) -> reqwest::RequestBuilder {
        for (path, answer) in &delivery.answers {
            self.answers.put(source, path, answer);
        }
        let mut url = format!("http://{}/webhooks/{source}", self.service.public);
        let player = PLAYERS.iter().find(|player| player.source == source);
        let mut key = self.secret.as_str();
        match player.map(|player| player.proof) {
            Some(Proof::PathToken) => url.push_str(&format!("/t/{}", self.secret)),
            Some(Proof::Pair { private, .. }) => key = private,
            Some(Proof::Shared) | None => {}
        }
        if let Some(rest) = delivery.rest {
            url.push_str(&format!("/{rest}"));
        }
        let mut sent = self.client.post(url).body(delivery.body.clone());
        for (name, value) in (delivery.sign)(key, &delivery.body, self.clock.now()) {
            sent = sent.header(name, value);
        }
        sent
    }

    /// True once nothing is on its way any more.
    async fn wait_until_settled(&self) -> anyhow::Result<bool> {
        let looks = SETTLE_MOST.as_millis() / LOOK_EVERY.as_millis();
        for _ in 0..looks {
            let states = self.service.app.ledger.summary().await?.states;
            let open: i64 = states
                .iter()
                .filter(|(state, _)| !matches!(state.as_str(), "settled" | "ignored"))
                .map(|(_, count)| count)
                .sum();
            if open == 0 {
                return Ok(true);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let states = self.service.app.ledger.summary().await?.states;
        eprintln!("not every payment settled in time: {states:?}");
        Ok(false)
    }

    async fn summary(&self) -> anyhow::Result<()> {
        let summary = self.service.app.ledger.summary().await?;
        if summary.states.is_empty() {
            return Ok(());
        }
        let states: Vec<String> = summary
            .states
            .iter()
            .map(|(state, count)| format!("{count} {state}"))
            .collect();
        let books: Vec<String> = summary
            .books
            .iter()
            .map(|line| {
                let net = line.currency.show(line.gross - line.reversed);
                format!(
                    "net {net}, the sandbox holds {}",
                    line.currency.show(self.held(line))
                )
            })
            .collect();
        println!("{} · {}", states.join(", "), books.join(" · "));
        Ok(())
    }

    /// What the sandbox holds live of a provider in a currency.
    fn held(&self, line: &BooksLine) -> Minor {
        let rows = self.sandbox.transactions();
        let ours = rows.iter().filter(|row| {
            let provider = row.metadata.get("provider").map(String::as_str);
            !row.archived
                && provider == Some(line.provider.as_str())
                && row.currency == line.currency.code()
        });
        ours.map(|row| row.amount).sum()
    }

    /// Prints the books beside what the sandbox holds; true where they agree.
    async fn table(&self) -> anyhow::Result<bool> {
        let summary = self.service.app.ledger.summary().await?;
        let mut deliveries: BTreeMap<&str, i64> = BTreeMap::new();
        for ((source, _), count) in &summary.deliveries {
            let provider = self
                .service
                .app
                .config
                .sources
                .get(source)
                .map(|it| it.provider.as_str());
            *deliveries.entry(provider.unwrap_or(source)).or_default() += count;
        }
        let head = [
            "provider",
            "currency",
            "deliveries",
            "payments",
            "gross",
            "reversed",
            "net",
            "held by the sandbox",
            "agree",
        ];
        let mut table = cli::table(&head);
        let mut agree = true;
        for line in &summary.books {
            let (net, held) = (line.gross - line.reversed, self.held(line));
            agree &= net == held;
            let show = |minor: Minor| amount(line.currency, minor);
            table.add_row([
                line.provider.clone(),
                line.currency.to_string(),
                deliveries
                    .get(line.provider.as_str())
                    .copied()
                    .unwrap_or(0)
                    .to_string(),
                line.payments.to_string(),
                show(line.gross),
                show(line.reversed),
                show(net),
                show(held),
                if net == held { "yes" } else { "NO" }.to_owned(),
            ]);
        }
        println!("{table}");
        let twice = self.twice();
        if twice > 0 {
            println!("{twice} keys stand on more than one live row");
        }
        let reported = self.reported().await?;
        let rewarded = self.partners().await?;
        Ok(agree && reported && rewarded && twice == 0 && !summary.books.is_empty())
    }

    /// True where every report comes to what the sandbox holds.
    async fn reported(&self) -> anyhow::Result<bool> {
        let mut held: BTreeMap<String, Minor> = BTreeMap::new();
        for row in self.sandbox.transactions() {
            if !row.archived {
                *held.entry(row.currency).or_default() += row.amount;
            }
        }
        held.retain(|_, amount| *amount != 0);
        for by in [By::Partner, By::Customer, By::Source, By::Day, By::Month] {
            let question = Question {
                by,
                from: None,
                to: None,
                zone: None,
                basis: Basis::Own,
            };
            let totals = self.service.app.ledger.report(question).await?.totals;
            let forwarded = |line: &Line| line.net - line.unattributed - line.ignored;
            let totals = totals.iter();
            let mut reported: BTreeMap<String, Minor> = totals
                .map(|line| (line.currency.to_string(), forwarded(line)))
                .collect();
            reported.retain(|_, amount| *amount != 0);
            if reported != held {
                println!("by {by:?} the reports say {reported:?}, the sandbox holds {held:?}");
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Keys that the sandbox holds more than once.
    fn twice(&self) -> usize {
        let mut rows: BTreeMap<String, usize> = BTreeMap::new();
        for row in self.sandbox.transactions() {
            if !row.archived {
                *rows.entry(row.key).or_default() += 1;
            }
        }
        rows.values().filter(|count| **count > 1).count()
    }

    async fn strike(self) {
        self.service.stop().await;
        self.sandbox_stop.cancel();
    }
}

fn amount(currency: Currency, minor: Minor) -> String {
    let shown = currency.show(minor);
    shown.split(' ').next().unwrap_or_default().to_owned()
}

/// The sandbox with the demo's partners and customers.
async fn raise_sandbox(clock: &Clock) -> anyhow::Result<(Sandbox, String, CancellationToken)> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?.to_string();
    let clock = clock.clone();
    let mut settings = Settings::new(Arc::new(move || clock.now().ms()));
    settings.seed = SEED;
    for fault in FAULTS {
        settings.faults.push(fault.parse::<Fault>()?);
    }
    for partner in script::PARTNERS {
        let key = partner.key.to_owned();
        settings.commissions.insert(key, partner.percent);
    }
    let sandbox = Sandbox::new(settings);
    for partner in script::PARTNERS {
        let (first, last) = partner.name;
        sandbox.add_named_partner(partner.key, first, last);
        for customer in partner.customers {
            sandbox.add_customer(NewCustomer::of(customer, partner.key));
        }
    }
    let stop = CancellationToken::new();
    let served = crate::sandbox::serve(listener, sandbox.clone(), stop.clone().cancelled_owned());
    tokio::spawn(served);
    Ok((sandbox, at, stop))
}

fn random_word() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
