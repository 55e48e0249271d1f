//! What the operator wrote: one TOML file, overridden by environment variables,
//! read once and checked as a whole.
//!
//! It opens nothing and calls nobody. It does not know what a provider's own
//! settings mean; the provider reads those from [`Source::read_settings`].

mod effective;
mod env;
mod ledger;
mod network;
mod read;
mod secret;
mod sections;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use secrecy::SecretString;
use toml::{Table, Value};

pub use env::Env;
pub use ledger::{Ledger, LedgerUrl};
pub use network::Network;
pub use secret::{Credentials, SecretRef, Secrets, TOKEN_MIN_CHARS};
pub use sections::{Destination, Http, ImportColumns, Mode, ProviderApi, Role, Source, Token};

pub use read::{flag, number};
pub(crate) use sections::is_loopback;

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "tributary.toml";
/// The variable that names the file when the default one does not exist.
const FILE_VARIABLE: &str = "TRIBUTARY_CONFIG";
/// The name no source may have: payments that the merchant states by the API
/// are kept under it.
pub const RESERVED_NAME: &str = "api";

/// A configuration that was read and checked.
#[derive(Debug)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// `[ledger]`
    pub ledger: Ledger,
    /// `[http]`
    pub http: Http,
    /// `[destinations.NAME]`
    pub destinations: BTreeMap<String, Destination>,
    /// `[sources.NAME]`
    pub sources: BTreeMap<String, Source>,
    env: Env,
    secrets: RwLock<Option<Arc<Secrets>>>,
}

/// What is wrong with the configuration: one line that names the key and never
/// quotes a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    key: String,
    problem: String,
    variable: Option<String>,
}

impl ConfigError {
    /// An error about a key; for a provider that finds fault with a setting.
    pub fn at(key: impl Into<String>, problem: impl Into<String>) -> ConfigError {
        ConfigError {
            key: key.into(),
            problem: problem.into(),
            variable: None,
        }
    }

    /// The key it is about.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Names the variable that set the key, where one did.
    fn set_by(mut self, overrides: &env::Overrides) -> ConfigError {
        self.variable = overrides
            .iter()
            .rev()
            .find(|(key, _)| {
                self.key
                    .strip_prefix(key.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            })
            .map(|(_, variable)| variable.clone());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration: {}: {}", self.key, self.problem)?;
        match &self.variable {
            Some(variable) => write!(f, " (set by {variable})"),
            None => Ok(()),
        }
    }
}

impl Config {
    /// Reads the file, lays the environment over it, checks all of it and reads
    /// every secret. `path` is what the command line names; `providers` are the
    /// names a source's `provider` may have.
    ///
    /// # Errors
    /// The first thing that is wrong, by its key.
    pub fn load(path: Option<&Path>, env: &Env, providers: &[&str]) -> Result<Config, ConfigError> {
        let config = Config::read(path, env, providers)?;
        config.reload_secrets()?;
        Ok(config)
    }

    /// The same without the secrets, for commands that need none: a person who
    /// lists payments need not hold the keys to the money.
    ///
    /// # Errors
    /// The first thing that is wrong, by its key.
    pub fn read(path: Option<&Path>, env: &Env, providers: &[&str]) -> Result<Config, ConfigError> {
        let file = which_file(path, env, Path::new(DEFAULT_FILE))?;
        let text = std::fs::read_to_string(&file).map_err(|e| {
            ConfigError::at(file.display().to_string(), format!("cannot be read: {e}"))
        })?;
        Config::parse(file, &text, env, providers)
    }

    /// The same from a text that is already at hand.
    ///
    /// # Errors
    /// The first thing that is wrong, by its key.
    pub fn parse(
        file: PathBuf,
        text: &str,
        env: &Env,
        providers: &[&str],
    ) -> Result<Config, ConfigError> {
        let mut root = read::parse(&file, text)?;
        let overrides = env::overlay(&mut root, env)?;
        build(file, root, env, providers).map_err(|error| error.set_by(&overrides))
    }

    /// The secrets as they were last read; none before that.
    #[must_use]
    pub fn secrets(&self) -> Arc<Secrets> {
        self.secrets
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .unwrap_or_default()
    }

    fn has_secrets(&self) -> bool {
        self.secrets
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Reads all secrets again, as SIGHUP asks for. A file may have changed;
    /// the environment is the one the program was started with.
    ///
    /// # Errors
    /// The first key whose secret cannot be read; the old ones then stay, all
    /// of them.
    pub fn reload_secrets(&self) -> Result<(), ConfigError> {
        let fresh = Arc::new(self.resolve()?);
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        Ok(())
    }

    fn resolve(&self) -> Result<Secrets, ConfigError> {
        let mut secrets = Secrets::default();
        for (index, token) in self.http.tokens.iter().enumerate() {
            let key = format!("http.tokens[{index}].token");
            let value = self.secret(&key, &token.token)?;
            secret::check_token(&key, &value, &secrets.tokens)?;
            secrets.tokens.push(value);
        }
        for (name, destination) in &self.destinations {
            let key = format!("destinations.{name}");
            let credentials = Credentials {
                public_key: self.secret(&format!("{key}.public_key"), &destination.public_key)?,
                secret_key: self.secret(&format!("{key}.secret_key"), &destination.secret_key)?,
            };
            secrets.destinations.insert(name.clone(), credentials);
        }
        for (name, source) in &self.sources {
            let mut values = Vec::with_capacity(source.secrets.len());
            for (index, reference) in source.secrets.iter().enumerate() {
                let key = format!("sources.{name}.secrets[{index}]");
                values.push(self.secret(&key, reference)?);
            }
            secrets.sources.insert(name.clone(), values);
            if let Some(api) = &source.api {
                let key = self.secret(&format!("sources.{name}.api.key"), &api.key)?;
                secrets.apis.insert(name.clone(), key);
            }
            for (key, value) in &source.settings {
                self.resolve_setting(&format!("{name}.{key}"), value, &mut secrets)?;
            }
        }
        Ok(secrets)
    }

    /// Whatever has the shape of a reference is one, at any depth: a provider's
    /// settings may be tables and arrays.
    fn resolve_setting(
        &self,
        key: &str,
        value: &Value,
        secrets: &mut Secrets,
    ) -> Result<(), ConfigError> {
        if let Ok(reference) = SecretRef::of(value) {
            let secret = self.secret(&format!("sources.{key}"), &reference)?;
            secrets.settings.insert(key.to_owned(), secret);
            return Ok(());
        }
        match value {
            Value::Table(table) => table.iter().try_for_each(|(name, inner)| {
                self.resolve_setting(&format!("{key}.{name}"), inner, secrets)
            }),
            Value::Array(items) => items.iter().enumerate().try_for_each(|(index, inner)| {
                self.resolve_setting(&format!("{key}[{index}]"), inner, secrets)
            }),
            _ => Ok(()),
        }
    }

    fn secret(&self, key: &str, reference: &SecretRef) -> Result<SecretString, ConfigError> {
        reference
            .resolve(&self.env)
            .map_err(|problem| ConfigError::at(key, problem))
    }

    /// Where payments go that the merchant's own back end states: as
    /// configured, else the only destination there is.
    #[must_use]
    pub fn api_destination(&self) -> Option<&str> {
        match (&self.http.api_destination, self.destinations.len()) {
            (Some(name), _) => Some(name),
            (None, 1) => self.destinations.keys().next().map(String::as_str),
            (None, _) => None,
        }
    }

    /// What a partial refund of this source's payments becomes: its own word,
    /// else its destination's.
    #[must_use]
    pub fn partial_refunds(&self, source: &Source) -> crate::plan::Policy {
        source.partial_refunds.unwrap_or_else(|| {
            self.destinations
                .get(&source.destination)
                .map(|destination| destination.partial_refunds)
                .unwrap_or_default()
        })
    }
}

fn which_file(path: Option<&Path>, env: &Env, default: &Path) -> Result<PathBuf, ConfigError> {
    if let Some(path) = path {
        return Ok(path.to_owned());
    }
    if default.exists() {
        return Ok(default.to_owned());
    }
    env.text(FILE_VARIABLE).map(PathBuf::from).ok_or_else(|| {
        ConfigError::at(
            default.display().to_string(),
            format!("there is no such file here; name one with --config or {FILE_VARIABLE}"),
        )
    })
}

fn build(
    file: PathBuf,
    mut root: Table,
    env: &Env,
    providers: &[&str],
) -> Result<Config, ConfigError> {
    let mut take = |key: &str| {
        root.remove(key)
            .unwrap_or_else(|| Value::Table(Table::new()))
    };
    let ledger = read::section("ledger", take("ledger"))?;
    let http = read::section("http", take("http"))?;
    let mut destinations = BTreeMap::new();
    for (name, value) in named("destinations", take("destinations"))? {
        let destination = read::section(&format!("destinations.{name}"), value)?;
        destinations.insert(name, destination);
    }
    let mut sources = BTreeMap::new();
    for (name, value) in named("sources", take("sources"))? {
        let source = read_source(&name, value)?;
        sources.insert(name, source);
    }
    if let Some(key) = root.keys().next() {
        return Err(ConfigError::at(
            key,
            "is no key here; the sections are ledger, http, destinations and sources",
        ));
    }
    let config = Config {
        file,
        ledger,
        http,
        destinations,
        sources,
        env: env.clone(),
        secrets: RwLock::new(None),
    };
    check_http(&config.http)?;
    if let Some(name) = &config.http.api_destination
        && !config.destinations.contains_key(name)
    {
        let problem = "there is no [destinations] section of that name";
        return Err(ConfigError::at("http.api_destination", problem));
    }
    for (name, source) in &config.sources {
        check_source(&config, name, source, providers)?;
    }
    Ok(config)
}

/// The tables inside a section, with their names checked.
fn named(section: &str, value: Value) -> Result<Table, ConfigError> {
    let Value::Table(table) = value else {
        return Err(ConfigError::at(section, "must be a table"));
    };
    match table.keys().find(|name| !is_name(name)) {
        None => Ok(table),
        Some(name) => Err(ConfigError::at(
            format!("{section}.{name}"),
            "names are 2 to 32 small letters, digits and dashes, and begin with no dash",
        )),
    }
}

/// `[a-z0-9][a-z0-9-]{1,31}`
fn is_name(name: &str) -> bool {
    (2..=32).contains(&name.len())
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A source's common keys are ours; all others are its provider's.
fn read_source(name: &str, value: Value) -> Result<Source, ConfigError> {
    let key = format!("sources.{name}");
    if name == RESERVED_NAME {
        return Err(ConfigError::at(
            key,
            "this name is kept for payments stated by the API",
        ));
    }
    let Value::Table(table) = value else {
        return Err(ConfigError::at(key, "must be a table"));
    };
    let ours = read::keys_of::<Source>();
    let (common, settings): (Table, Table) = table
        .into_iter()
        .partition(|(key, _)| ours.contains(&key.as_str()));
    let mut source: Source = read::section(&key, Value::Table(common))?;
    source.settings = settings;
    source.name = name.to_owned();
    Ok(source)
}

fn check_http(http: &Http) -> Result<(), ConfigError> {
    if http.tokens.is_empty() && !http.admin.ip().to_canonical().is_loopback() {
        return Err(ConfigError::at(
            "http.admin",
            "an address other machines can reach needs http.tokens",
        ));
    }
    // Port 0 asks for any free port, so that two of them do not collide.
    if http.admin == http.public && http.admin.port() != 0 {
        return Err(ConfigError::at(
            "http.admin",
            "must differ from http.public",
        ));
    }
    let mut names = BTreeSet::new();
    for (index, token) in http.tokens.iter().enumerate() {
        if !names.insert(&token.name) {
            return Err(ConfigError::at(
                format!("http.tokens[{index}].name"),
                "another token has the same name",
            ));
        }
    }
    Ok(())
}

fn check_source(
    config: &Config,
    name: &str,
    source: &Source,
    providers: &[&str],
) -> Result<(), ConfigError> {
    let at =
        |key: &str, problem: String| Err(ConfigError::at(format!("sources.{name}.{key}"), problem));
    if !providers.contains(&source.provider.as_str()) {
        return at(
            "provider",
            format!("must be one of: {}", providers.join(", ")),
        );
    }
    let Some(destination) = config.destinations.get(&source.destination) else {
        return at(
            "destination",
            "there is no [destinations] section of that name".to_owned(),
        );
    };
    // A closed account may have lost its secret; nothing is verified any more.
    let published = source.settings.contains_key("jwks_url");
    if source.secrets.is_empty() && !source.retired && !published {
        return at(
            "secrets",
            "is required: without a secret nothing can be believed".to_owned(),
        );
    }
    if source.forward_from.is_none() && destination.mode == Mode::Live {
        return at(
            "forward_from",
            "is required when the destination is live: payments before it are recorded, not forwarded"
                .to_owned(),
        );
    }
    Ok(())
}
