//! Recurly: payments, refunds and voids, told in XML, or in JSON and by inquiry.
//!
//! Source: Recurly's documentation, "Webhooks" and its pages of XML and JSON
//! notifications, the description of its API, and the official client
//! libraries. This file holds the settings and tells the forms apart. What a
//! notification in XML means is in `notification`, and `xml` makes a tree of
//! it; `thin` asks about those in JSON, and `answer` reads what the API says.

mod answer;
mod notification;
mod signature;
mod thin;
mod xml;

use serde::Deserialize;

use super::{Document, Genuine, NotGenuine, Provider, Request, Secret, SettingsError, Unreadable};
use crate::config::{flag, number};
use crate::money::{Currency, Minor};
use crate::movement::Reading;
use crate::time::{SECOND_MS, Time};

/// The name in the configuration.
pub const NAME: &str = "recurly";

/// The events that are looked into; every other one is ignored with a reason.
pub const EVENTS: &[&str] = &[
    "payment.refunded",
    "payment.succeeded",
    "payment.transaction_status_updated",
    "payment.voided",
    "successful_payment_notification",
    "successful_refund_notification",
    "transaction_status_updated_notification",
    "void_payment_notification",
];

/// Where the customer key is looked for. An email is not among them: it can be
/// typed by anybody, so a source has to ask for it.
const LOOKUP: &[&str] = &["account_code", "link:account"];

/// How far the time of a signature may be from ours. Five minutes is what the
/// official clients take; every retry is signed anew.
const TOLERANCE_DEFAULT_SECONDS: u32 = 300;

/// The longest tolerance: a day. Beyond it a replay is not stopped at all.
const TOLERANCE_MAX_SECONDS: u32 = 86_400;

/// Decimal places of the amounts in notifications: they are called cents.
const CENTS_EXPONENT: u32 = 2;

/// Cents in one unit.
const CENTS: Minor = 100;

/// The header that JSON notifications, and perhaps others, have their id in.
const ID_HEADER: &str = "recurly-notification-id";

/// The settings of a Recurly source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    currency: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    zero_decimal_times_100: bool,
    #[serde(
        default = "tolerance_default",
        deserialize_with = "number::<_, 1, TOLERANCE_MAX_SECONDS>"
    )]
    tolerance_seconds: u32,
}

fn tolerance_default() -> u32 {
    TOLERANCE_DEFAULT_SECONDS
}

/// One source's view of Recurly.
#[derive(Clone, Debug)]
pub struct Recurly {
    currency: Option<Currency>,
    zero_decimal_times_100: bool,
    tolerance_ms: i64,
}

impl Recurly {
    /// From a source's settings: `currency`, without which Recurly's API is
    /// asked about every payment, `zero_decimal_times_100` and
    /// `tolerance_seconds`.
    ///
    /// # Errors
    /// Names the key at fault.
    pub fn new(settings: toml::Table) -> Result<Recurly, SettingsError> {
        let settings: Settings = super::settings(settings)?;
        let currency = settings.currency.as_deref().map(currency).transpose()?;
        Ok(Recurly {
            currency,
            zero_decimal_times_100: settings.zero_decimal_times_100,
            tolerance_ms: i64::from(settings.tolerance_seconds) * SECOND_MS,
        })
    }

    /// Minor units of `currency` from what Recurly calls cents.
    fn minor(&self, path: &str, cents: Minor, currency: Currency) -> Result<Minor, Unreadable> {
        if currency.exponent() > 0 || !self.zero_decimal_times_100 {
            return Ok(cents);
        }
        match cents % CENTS {
            0 => Ok(cents / CENTS),
            _ => Err(Unreadable::field(
                path,
                "is no multiple of 100, which zero_decimal_times_100 promises",
            )),
        }
    }
}

/// The currency of a source.
fn currency(text: &str) -> Result<Currency, SettingsError> {
    let currency: Currency = text
        .parse()
        .map_err(|_| SettingsError::new("currency", "must be a three-letter currency code"))?;
    match currency.exponent() {
        0..=CENTS_EXPONENT => Ok(currency),
        _ => Err(SettingsError::new(
            "currency",
            "has more than two decimal places; how Recurly writes its amounts is not documented",
        )),
    }
}

impl Provider for Recurly {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secrets: &[Secret],
        now: Time,
    ) -> Result<Genuine, NotGenuine> {
        signature::verify(request, secrets, now, self.tolerance_ms)
    }

    fn parse(&self, document: &Document<'_>) -> Result<Reading, Unreadable> {
        let body = std::str::from_utf8(document.body)
            .map_err(|_| Unreadable::because("the body is not UTF-8"))?;
        if let Some(asked) = &document.kept.asked {
            return answer::read(asked, body);
        }
        let sent_id = document.kept.headers.get(ID_HEADER);
        let sent_id = sent_id.map(|id| id.trim()).filter(|id| !id.is_empty());
        let mut reading = match is_json(document.body) {
            true => thin::read(body)?,
            false => notification::read(self, &xml::read(body)?)?,
        };
        if let Some(id) = sent_id {
            reading.delivery_id = Some(id.to_owned());
        }
        Ok(reading)
    }

    fn lookup(&self) -> &'static [&'static str] {
        LOOKUP
    }

    fn api(&self) -> Option<super::ask::Api> {
        Some(thin::api())
    }

    fn key_set(&self) -> Option<&str> {
        None
    }
}

/// Whether a body is a JSON notification; every other body is taken for XML.
fn is_json(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"{")
}

/// Bytes of a word that names an event; Recurly's longest has 26.
const WORD_BYTES_MAX: usize = 100;

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Kept;

    fn key_at_fault(text: &str) -> Option<String> {
        let error = Recurly::new(text.parse().unwrap()).err()?;
        Some(error.key)
    }

    #[test]
    fn a_setting_at_fault_is_named() {
        for fine in [
            "",
            "currency = \"usd\"",
            "currency = \"JPY\"\nzero_decimal_times_100 = \"true\"\ntolerance_seconds = \"60\"",
        ] {
            assert_eq!(key_at_fault(fine), None, "{fine}");
        }
        for (text, key) in [
            ("currency = \"dollars\"", "currency"),
            ("currency = \"KWD\"", "currency"),
            ("currency = 3", "currency"),
            ("curency = \"USD\"", "curency"),
            ("zero_decimal_times_100 = 1", "zero_decimal_times_100"),
            ("tolerance_seconds = 0", "tolerance_seconds"),
        ] {
            assert_eq!(key_at_fault(text).as_deref(), Some(key), "{text}");
        }
    }

    #[test]
    fn the_events_are_sorted() {
        assert!(EVENTS.is_sorted());
    }

    #[test]
    fn the_id_that_was_sent_is_the_delivery() {
        let recurly = Recurly::new(toml::Table::new()).unwrap();
        let mut kept = Kept::default();
        let body = br#"{"object_type":"payment","event_type":"failed"}"#;
        let id = |kept: &Kept| recurly.parse(&Document { body, kept }).unwrap().delivery_id;
        assert_eq!(id(&kept), None);
        kept.headers
            .insert(ID_HEADER.to_owned(), " nb-1".to_owned());
        assert_eq!(id(&kept).as_deref(), Some("nb-1"));
    }
}
