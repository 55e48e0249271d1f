//! `[ledger]`: where the ledger is. A server's password is no part of its URL here: it
//! is kept where other secrets are, and the two meet when the ledger is opened.

use std::fmt;
use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::Value;

use super::sections::{zone, zone_as_text};
use super::{Config, ConfigError, SecretRef};
use crate::day::Zone;

/// How the URL of a server begins.
const SERVERS: [&str; 2] = ["postgres://", "postgresql://"];

/// `[ledger]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Where the ledger is.
    #[serde(default)]
    pub url: LedgerUrl,
    /// The password of a server's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// Where the days of its reports begin and end, for good.
    #[serde(
        default = "Zone::utc",
        deserialize_with = "zone",
        serialize_with = "zone_as_text"
    )]
    pub report_zone: Zone,
}

/// Where the ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerUrl {
    /// `sqlite:PATH`, relative to the working directory.
    Sqlite(PathBuf),
    /// `postgres://USER@HOST:PORT/DATABASE`, without a password.
    Postgres(String),
}

impl LedgerUrl {
    /// The file of the ledger, where it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            LedgerUrl::Sqlite(path) => Some(path),
            LedgerUrl::Postgres(_) => None,
        }
    }

    /// Reads a URL. The error does not quote it, as it may hold a password.
    ///
    /// # Errors
    /// Why this is no place for a ledger.
    pub fn parse(url: &str) -> Result<LedgerUrl, &'static str> {
        if let Some(rest) = SERVERS.iter().find_map(|it| url.strip_prefix(it)) {
            return match holds_password(rest) {
                true => Err(
                    "a password is never written here: leave it out and say where it is by \
                     ledger.password = { env = \"NAME\" }",
                ),
                false => Ok(LedgerUrl::Postgres(url.to_owned())),
            };
        }
        match url.strip_prefix("sqlite:") {
            None | Some("") => {
                Err("must be \"sqlite:PATH\" or \"postgres://USER@HOST:PORT/DATABASE\"")
            }
            Some(path) if path.starts_with(":memory:") => {
                Err("a ledger has to outlive the program: write \"sqlite:PATH\"")
            }
            // Two slashes would begin a host, which a file does not have.
            Some(path) if path.starts_with("//") => match path.strip_prefix("//") {
                Some(path) if path.starts_with('/') => Ok(LedgerUrl::Sqlite(PathBuf::from(path))),
                _ => Err("must be \"sqlite:PATH\" without slashes before the path"),
            },
            Some(path) => Ok(LedgerUrl::Sqlite(PathBuf::from(path))),
        }
    }
}

/// Whether a password stands in a server's URL: before the last "@", which is where
/// one with an "@" in it would end, or among the parameters.
fn holds_password(rest: &str) -> bool {
    let (before, after) = rest.rsplit_once('@').unwrap_or(("", rest));
    let parameters = after.split_once('?').map_or("", |(_, it)| it);
    before.contains([':', '@', '/', '?'])
        || (parameters.split('&')).any(|it| it.to_ascii_lowercase().starts_with("password"))
}

impl Config {
    /// The whole URL of the ledger, with the password of a server.
    ///
    /// # Errors
    /// `ledger.password`, where it cannot be read or has no place.
    pub fn ledger_url(&self) -> Result<SecretString, ConfigError> {
        let url = self.ledger.url.to_string();
        let Some(reference) = &self.ledger.password else {
            return Ok(SecretString::from(url));
        };
        let wrong = |why| ConfigError::at("ledger.password", why);
        if self.ledger.url.path().is_some() {
            return Err(wrong("a file has no password"));
        }
        let Some((user, place)) = url.split_once('@') else {
            return Err(wrong(
                "needs a user: write postgres://USER@HOST into ledger.url",
            ));
        };
        let password = self.secret("ledger.password", reference)?;
        let password = utf8_percent_encode(password.expose_secret(), NON_ALPHANUMERIC);
        Ok(SecretString::from(format!("{user}:{password}@{place}")))
    }
}

impl Default for LedgerUrl {
    fn default() -> LedgerUrl {
        LedgerUrl::Sqlite(PathBuf::from("tributary.db"))
    }
}

impl fmt::Display for LedgerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerUrl::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            LedgerUrl::Postgres(url) => f.write_str(url),
        }
    }
}

impl<'de> Deserialize<'de> for LedgerUrl {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<LedgerUrl, D::Error> {
        let value = Value::deserialize(d)?;
        LedgerUrl::parse(value.as_str().unwrap_or_default()).map_err(D::Error::custom)
    }
}

impl Serialize for LedgerUrl {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
