//! Payment platforms whose webhooks we read: what each one must be able to do,
//! and the list of those that exist.
//!
//! A provider knows signatures and shapes. It does no I/O, reads no clock,
//! opens no ledger and decides nothing: it says what a document states. Adding
//! one is a file beside this one and four lines here (the module, its name in
//! [`NAMES`], its arm in [`build`] and its arm in [`events`]).

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::movement::{Reading, Scope};
use crate::time::Time;

pub mod ask;
pub mod chargebee;
pub mod chargify;
pub mod checks;
pub mod custom;
pub mod pats;
pub mod paysafe;
pub mod paysight;
pub mod pyng;
pub mod recurly;
pub mod sign;
pub mod stripe;

/// A secret shared with a provider; only `sign` looks inside.
pub type Secret = SecretString;

/// The names of all providers, as the configuration writes them.
pub const NAMES: &[&str] = &[
    chargebee::NAME,
    chargify::NAME,
    custom::NAME,
    pats::NAME,
    paysafe::NAME,
    paysight::NAME,
    pyng::NAME,
    recurly::NAME,
    stripe::NAME,
];

/// Providers that deliver to HTTPS URLs only, for `check`. Sources: Stripe's and
/// Chargify's webhook documentation (live mode and live sites), Paysafe's
/// Payments API notes (port 443) and Pyng's draft. Of the others it is not known.
pub const HTTPS_ONLY: &[&str] = &["chargify", "paysafe", "pyng", "stripe"];

/// Providers that have a URL for each kind of event, whose name stands at the
/// end of the path. For the others there is nothing behind the source's own.
pub const KIND_IN_PATH: &[&str] = &["paysight"];

/// Builds the provider called `name` from the settings of its source.
///
/// # Errors
/// Names the key that is unknown or has a value that cannot be used; `provider`
/// where there is no such provider.
pub fn build(name: &str, settings: toml::Table) -> Result<Box<dyn Provider>, SettingsError> {
    match name {
        chargebee::NAME => Ok(Box::new(chargebee::Chargebee::new(settings)?)),
        custom::NAME => Ok(Box::new(custom::Custom::new(settings)?)),
        pats::NAME => Ok(Box::new(pats::Pats::new(settings)?)),
        paysafe::NAME => Ok(Box::new(paysafe::Paysafe::new(settings)?)),
        paysight::NAME => Ok(Box::new(paysight::Paysight::new(settings)?)),
        pyng::NAME => Ok(Box::new(pyng::Pyng::new(settings)?)),
        recurly::NAME => Ok(Box::new(recurly::Recurly::new(settings)?)),
        stripe::NAME => Ok(Box::new(stripe::Stripe::new(settings)?)),
        chargify::NAME => Ok(Box::new(chargify::Chargify::new(settings)?)),
        _ => Err(SettingsError::new(
            "provider",
            format!("there is no such provider; there are {}", NAMES.join(", ")),
        )),
    }
}

/// The events that the code of the provider called `name` looks into. Each of
/// them has a fixture, and a test says which one is missing.
#[must_use]
pub fn events(name: &str) -> &'static [&'static str] {
    match name {
        chargebee::NAME => chargebee::EVENTS,
        custom::NAME => custom::EVENTS,
        pats::NAME => pats::EVENTS,
        paysafe::NAME => paysafe::EVENTS,
        paysight::NAME => paysight::EVENTS,
        pyng::NAME => pyng::EVENTS,
        recurly::NAME => recurly::EVENTS,
        stripe::NAME => stripe::EVENTS,
        chargify::NAME => chargify::EVENTS,
        _ => &[],
    }
}

/// What we need from a payment platform. No method has a default: a new
/// provider must say how it verifies.
pub trait Provider: Send + Sync {
    /// The name in the configuration and in metrics.
    fn name(&self) -> &'static str;

    /// Whether the request comes from who it says. No secrets means no.
    ///
    /// # Errors
    /// Why not, for logs and metrics; the HTTP answer never tells.
    fn verify(
        &self,
        request: &Request<'_>,
        secrets: &[Secret],
        now: Time,
    ) -> Result<Genuine, NotGenuine>;

    /// What the document states: a webhook's body, or an answer of the API where
    /// [`Kept::asked`] says what was asked. The same bytes always give the same
    /// reading.
    ///
    /// # Errors
    /// A short reason that never quotes the document.
    fn parse(&self, document: &Document<'_>) -> Result<Reading, Unreadable>;

    /// The lookup rules of a source that configures none, in order.
    fn lookup(&self) -> &'static [&'static str];

    /// How its API is asked; `None` where nothing ever has to be.
    fn api(&self) -> Option<ask::Api>;

    /// Where its public keys are published. The set is fetched outside, kept
    /// fresh by `keyset` and handed to [`Provider::verify`] as the last secret.
    fn key_set(&self) -> Option<&str>;
}

/// A webhook request as it came in. It has no `Debug`: headers and paths may
/// hold credentials.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// All headers.
    pub headers: &'a http::HeaderMap,
    /// The bytes as received.
    pub body: &'a [u8],
    /// The `{token}` of `/webhooks/{source}/t/{token}`.
    pub path_token: Option<&'a str>,
    /// What follows the source or the token in the path.
    pub path_rest: Option<&'a str>,
    /// The query, without the question mark.
    pub query: Option<&'a str>,
}

/// Something a provider said: the body of a webhook, with what else of the
/// request its reading needs.
#[derive(Clone, Copy)]
pub struct Document<'a> {
    /// The bytes as received.
    pub body: &'a [u8],
    /// What was kept of the request.
    pub kept: &'a Kept,
}

/// What is kept of a request beside its body, so that it can be read again.
/// Nothing secret is: no token, no password, no query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What follows the source or the token in the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<String>,
    /// The headers of [`KEPT_HEADERS`] that were sent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The inquiry that the document answers; `None` for a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
}

/// An inquiry that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What was asked for.
    pub kind: String,
    /// The id it was asked about.
    pub id: String,
    /// The scope of the document that raised it.
    pub scope: Scope,
    /// When it was asked. An answer is a snapshot of that moment, and often
    /// nothing in it says so.
    #[serde(default = "unknown")]
    pub at: Time,
}

/// Older than any moment that a provider could be asked at.
fn unknown() -> Time {
    Time(0)
}

/// Headers that some provider's reading needs: delivery ids that stand in no
/// body, and the form of the body where it is not JSON, as it nearly always is.
pub const KEPT_HEADERS: [&str; 5] = [
    "content-type",
    "recurly-notification-id",
    "webhook-id",
    "x-chargify-webhook-id",
    "x-razorpay-event-id",
];

/// The longest header that is kept, in bytes.
const KEPT_MOST_BYTES: usize = 255;

impl Kept {
    /// What is to be kept of a request.
    #[must_use]
    pub fn of(request: &Request<'_>) -> Kept {
        let text = |name: &&str| {
            let value = request.headers.get(*name)?.to_str().ok()?;
            let kept = value.len() <= KEPT_MOST_BYTES && !says_json(name, value);
            kept.then(|| ((*name).to_owned(), value.to_owned()))
        };
        Kept {
            rest: request.path_rest.map(str::to_owned),
            headers: KEPT_HEADERS.iter().filter_map(text).collect(),
            asked: None,
        }
    }

    /// True where nothing was kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_none() && self.headers.is_empty() && self.asked.is_none()
    }
}

/// Whether a header says no more than that the body is JSON.
fn says_json(name: &str, value: &str) -> bool {
    let (form, rest) = value.split_once(';').unwrap_or((value, ""));
    name == "content-type"
        && form.trim().eq_ignore_ascii_case("application/json")
        && matches!(
            rest.trim().to_ascii_lowercase().as_str(),
            "" | "charset=utf-8"
        )
}

/// A request that proved where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Genuine {
    /// The index of the secret that matched, so that a metric can show when an
    /// old one is no longer used.
    pub secret: usize,
}

/// Why a request is not taken. It holds no secret and nothing of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGenuine {
    /// The source has no secret, or only empty ones.
    #[error("the source has no secret")]
    NoSecret,
    /// The header, token or password that should prove it is missing.
    #[error("the request carries no proof")]
    Missing,
    /// The proof is not of the form that the provider documents.
    #[error("the proof is malformed")]
    Malformed,
    /// The proof is older than the tolerance: perhaps a replay.
    #[error("the proof is too old")]
    Stale,
    /// No secret gives the proof.
    #[error("no secret matches")]
    Mismatch,
    /// The proof names a key that is not among the source's.
    #[error("the source has no key of that name")]
    UnknownKey,
}

impl NotGenuine {
    /// One word for a metric's label.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            NotGenuine::NoSecret => "no_secret",
            NotGenuine::Missing => "missing",
            NotGenuine::Malformed => "malformed",
            NotGenuine::Stale => "stale",
            NotGenuine::Mismatch => "mismatch",
            NotGenuine::UnknownKey => "unknown_key",
        }
    }
}

/// Why a document cannot be read. The reason names a field of the provider's
/// documentation and never quotes the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unreadable {
    /// The reason.
    pub reason: String,
}

impl Unreadable {
    /// The whole document is at fault.
    #[must_use]
    pub fn because(why: &str) -> Unreadable {
        Unreadable {
            reason: why.to_owned(),
        }
    }

    /// The field at `path` is at fault. `path` must come from our code, never
    /// from the document.
    #[must_use]
    pub fn field(path: &str, why: &str) -> Unreadable {
        Unreadable {
            reason: format!("{path}: {why}"),
        }
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct SettingsError {
    /// The key in the source's settings.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
}

impl SettingsError {
    fn new(key: &str, why: impl Into<String>) -> SettingsError {
        SettingsError {
            key: key.to_owned(),
            why: why.into(),
        }
    }
}

/// Reads a provider's settings, naming the key that is at fault.
fn settings<T: DeserializeOwned>(table: toml::Table) -> Result<T, SettingsError> {
    serde_path_to_error::deserialize(table).map_err(|error| {
        let key = error.path().to_string();
        SettingsError::new(&key, error.into_inner().message())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_builds_and_keeps_its_name() {
        for name in NAMES {
            let provider = build(name, toml::Table::new()).unwrap();
            assert_eq!(provider.name(), *name);
            assert!(!provider.lookup().is_empty());
            // The configuration names the events of a custom provider.
            assert!(!events(name).is_empty() || *name == custom::NAME);
        }
        assert!(build("nobody", toml::Table::new()).is_err());
    }

    #[test]
    fn the_form_of_a_body_is_kept_where_it_is_not_json() {
        let kept = |form: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert("content-type", form.parse().unwrap());
            headers.insert("webhook-id", "id-7".parse().unwrap());
            let kept = Kept::of(&Request {
                headers: &headers,
                body: b"",
                path_token: None,
                path_rest: None,
                query: None,
            });
            assert_eq!(kept.headers["webhook-id"], "id-7");
            kept.headers.get("content-type").cloned()
        };
        for json in ["application/json", "Application/JSON; charset=UTF-8"] {
            assert_eq!(kept(json), None);
        }
        for other in [
            "application/xml",
            "application/json; charset=utf-16",
            "application/x-www-form-urlencoded",
        ] {
            assert_eq!(kept(other).as_deref(), Some(other));
        }
    }

    #[test]
    fn a_settings_error_names_the_key() {
        let key = |text: &str| {
            let table: toml::Table = text.parse().unwrap();
            build("stripe", table).err().map(|error| error.key)
        };
        assert_eq!(key("payment_event = \"invoice\""), None);
        for (text, at) in [
            ("payment_evnt = \"invoice\"", "payment_evnt"),
            ("payment_event = \"sale\"", "payment_event"),
            ("payment_event = 3", "payment_event"),
            ("invoice_amount = \"total\"", "invoice_amount"),
            ("tolerance_seconds = 0", "tolerance_seconds"),
            ("tolerance_seconds = -5", "tolerance_seconds"),
            ("tolerance_seconds = 100000", "tolerance_seconds"),
            ("switched_at = \"yesterday\"", "switched_at"),
        ] {
            assert_eq!(key(text).as_deref(), Some(at), "{text}");
        }
    }
}
