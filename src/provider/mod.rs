//! Providers: who sends webhooks, how they are verified and what they say.
//!
//! A provider is four methods without I/O: bytes and configuration in, a
//! verdict or a [`Reading`] out. It knows no ledger and no destination. Adding
//! one is one file, its lines here, fixtures and a configuration section.

pub mod sign;
pub mod stripe;

use std::fmt;

use http::HeaderMap;
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use crate::movement::Reading;
use crate::time::Time;

/// The providers that a source's `provider` may name.
pub const NAMES: [&str; 1] = ["stripe"];

/// A webhook request as it arrived.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The body's bytes: what is verified is what is stored and read.
    pub body: &'a [u8],
    /// The token in the path, for providers without a signature.
    pub path_token: Option<&'a str>,
    /// What follows the source's name in the path.
    pub path_rest: Option<&'a str>,
    /// The query, not decoded.
    pub query: Option<&'a str>,
}

/// A document to be read: a webhook's body.
#[derive(Clone, Copy)]
pub struct Document<'a> {
    /// The bytes as received.
    pub body: &'a [u8],
}

/// The verdict on a request that its provider really sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Genuine {
    /// Which configured secret matched, from 0.
    pub secret: usize,
}

/// Why a request is not believed. For logs; the sender is never told which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGenuine {
    /// The header that should prove it is missing or malformed.
    #[error("the signature header is missing or malformed")]
    Malformed,
    /// The signed time is too far from now.
    #[error("the signed time is out of tolerance")]
    Stale,
    /// No signature matches any configured secret.
    #[error("no signature matches any configured secret")]
    Forged,
}

/// Why a document could not be read; names the place, never quotes the body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// A payment platform: an identity and its code.
pub trait Provider: Send + Sync {
    /// The name in the configuration.
    fn name(&self) -> &'static str;

    /// Whether the provider really sent this.
    ///
    /// # Errors
    /// Why it is not believed; no secret means no.
    fn verify(
        &self,
        request: &Request<'_>,
        secrets: &[SecretString],
        now: Time,
    ) -> Result<Genuine, NotGenuine>;

    /// What a document says. The same function reads it again years later.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn parse(&self, document: &Document<'_>) -> Result<Reading, Unreadable>;

    /// The lookup rules of a source that configures none, in order.
    fn lookup(&self) -> &'static [&'static str];
}

/// A provider's own settings are wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    key: String,
    problem: String,
}

impl SettingsError {
    /// The key within the source's section.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

/// Makes a source's provider. `switched_at` is when the source last changed
/// which event is the payment, if it ever did.
///
/// # Errors
/// The first setting that is unknown or wrong, by its key.
pub fn build(
    name: &str,
    settings: toml::Table,
    switched_at: Option<Time>,
) -> Result<Box<dyn Provider>, SettingsError> {
    match name {
        "stripe" => Ok(Box::new(stripe::Stripe::new(read(settings)?, switched_at))),
        _ => Err(SettingsError {
            key: "provider".to_owned(),
            problem: format!("must be one of {}", NAMES.join(", ")),
        }),
    }
}

/// Reads a provider's settings; the error names the key and quotes no value.
fn read<T: DeserializeOwned>(settings: toml::Table) -> Result<T, SettingsError> {
    serde_path_to_error::deserialize(toml::Value::Table(settings)).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner().message().to_owned();
        // An unknown key is reported at the table; the message names it.
        let named = problem
            .split('`')
            .nth(1)
            .filter(|_| path == "." || path.is_empty());
        SettingsError {
            key: named.map_or(path, str::to_owned),
            problem,
        }
    })
}
