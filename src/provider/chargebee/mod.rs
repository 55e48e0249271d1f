//! Chargebee: payments, refunds, what is voided or deleted, and customers.
//!
//! Source: Chargebee API reference (events, transactions, customers), the
//! documentation of its webhooks and the types of its official SDKs, API v2.
//! This file holds the settings and says which event goes where; what an object
//! means is in `transaction` and `customer`. Bodies of API v1 are not read.

mod customer;
mod objects;
mod transaction;

use serde::Deserialize;

use self::objects::{Content, Envelope, Text};
use super::{
    Document, Genuine, NotGenuine, Provider, Request, Secret, SettingsError, Unreadable, sign,
};
use crate::movement::{Reading, Scope};
use crate::provider::checks;
use crate::time::Time;

/// The name in the configuration.
pub const NAME: &str = "chargebee";

/// The events that are looked into; every other one is ignored with a reason.
pub const EVENTS: &[&str] = &[
    "customer_changed",
    "customer_created",
    "payment_failed",
    "payment_refunded",
    "payment_succeeded",
    "refund_initiated",
    "transaction_created",
    "transaction_deleted",
    "transaction_updated",
];

/// Where the customer key is looked for. An email is not among them: it can be
/// typed by anybody, so a source has to ask for it.
const LOOKUP: &[&str] = &["metadata.customer_key", "link:customer"];

/// The version of the API whose bodies are read.
const API_VERSION: &str = "v2";

/// What stands in the event ids of Chargebee's samples. It gives the ids of
/// events itself, so no real one has it.
const SAMPLE: &str = "__test__";

/// The path of what an event is about.
const CONTENT: &str = "content";

/// The settings of a Chargebee source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "yes")]
    offline_payments: bool,
}

fn yes() -> bool {
    true
}

/// One source's view of Chargebee: one site. No body names its site.
#[derive(Clone, Debug)]
pub struct Chargebee {
    offline_payments: bool,
}

impl Chargebee {
    /// From a source's settings: `offline_payments`, whether payments count
    /// that somebody wrote down by hand.
    ///
    /// # Errors
    /// Names the key at fault.
    pub fn new(settings: toml::Table) -> Result<Chargebee, SettingsError> {
        let settings: Settings = super::settings(settings)?;
        Ok(Chargebee {
            offline_payments: settings.offline_payments,
        })
    }
}

impl Provider for Chargebee {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Chargebee signs nothing: a request carries HTTP Basic, or a secret in
    /// its URL.
    fn verify(
        &self,
        request: &Request<'_>,
        secrets: &[Secret],
        _: Time,
    ) -> Result<Genuine, NotGenuine> {
        sign::carried(request, secrets)
    }

    fn parse(&self, document: &Document<'_>) -> Result<Reading, Unreadable> {
        let body = std::str::from_utf8(document.body)
            .map_err(|_| Unreadable::because("the body is not UTF-8"))?;
        // The derived readers also take an array for an object, member by member.
        if !body.trim_start().starts_with('{') {
            return Err(Unreadable::because("the body is not a JSON object"));
        }
        let envelope: Envelope<'_> = checks::decode("", body)?;
        let name = checks::id("event_type", envelope.event_type.as_ref())?;
        let name = checks::needed("event_type", name)?;
        let mut reading = Reading {
            delivery_id: checks::id("id", envelope.id.as_ref())?.map(str::to_owned),
            event: name.to_owned(),
            scope: Scope::default(),
            ..Reading::default()
        };
        if let Some(why) = foreign(&envelope, name) {
            reading.ignored = Some(why.to_owned());
            return Ok(reading);
        }
        let at = checks::time("occurred_at", envelope.occurred_at)?;
        let event = Event {
            name,
            at: checks::needed("occurred_at", at)?,
        };
        let content = checks::needed(CONTENT, envelope.content)?;
        let content: Content<'_> = checks::decode(CONTENT, content.get())?;
        match name {
            "customer_changed" | "customer_created" => {
                let customer = content.customer.as_ref();
                let customer = checks::needed("content.customer", customer)?;
                customer::read(&event, customer, &mut reading)?;
            }
            _ => transaction::read(self, &event, &content, &mut reading)?,
        }
        Ok(reading)
    }

    fn lookup(&self) -> &'static [&'static str] {
        LOOKUP
    }

    fn api(&self) -> Option<super::ask::Api> {
        None
    }

    fn key_set(&self) -> Option<&str> {
        None
    }
}

/// What every object needs to know of its event.
struct Event<'a> {
    name: &'a str,
    /// When it occurred.
    at: Time,
}

/// Why an event is not looked into at all.
fn foreign(envelope: &Envelope<'_>, name: &str) -> Option<&'static str> {
    let version = envelope.api_version.as_ref();
    if version.is_none_or(|Text(version)| version != API_VERSION) {
        return Some("the body is not of API v2: set the API version of this webhook to v2");
    }
    let id = envelope.id.as_ref();
    if id.is_some_and(|Text(id)| id.contains(SAMPLE)) {
        return Some("this is a sample of Chargebee's, not something that happened");
    }
    if EVENTS.contains(&name) {
        return None;
    }
    let family = name.split('_').next().unwrap_or_default();
    Some(match (family, name) {
        (_, "payment_initiated") => {
            "the payment is under way; payment_succeeded follows if it goes through"
        }
        ("authorization", _) => "an authorisation moves no money",
        (_, "customer_deleted") => {
            "the customer was deleted; what is known of it stays, because late refunds still need it"
        }
        ("invoice" | "credit", _) => "the money behind it is reported by its own payment event",
        _ => "events of this type say nothing about payments, refunds or customer keys",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_are_sorted() {
        assert!(EVENTS.is_sorted());
    }

    #[test]
    fn a_settings_error_names_the_key() {
        let key = |text: &str| {
            let table: toml::Table = text.parse().unwrap();
            Chargebee::new(table).err().map(|error| error.key)
        };
        assert_eq!(key("offline_payments = false"), None);
        assert_eq!(
            key("offline_payments = \"no\"").as_deref(),
            Some("offline_payments")
        );
        assert_eq!(
            key("offline_payment = true").as_deref(),
            Some("offline_payment")
        );
    }

    #[test]
    fn a_payment_of_too_many_invoices_is_refused() {
        let parse = |invoices: usize| {
            let linked = vec![r#"{"invoice_id":"i"}"#; invoices].join(",");
            let body = format!(
                r#"{{"api_version":"v2","event_type":"payment_succeeded","occurred_at":1,"content":
                {{"transaction":{{"id":"t","amount":1,"currency_code":"USD","linked_invoices":[{linked}]}}}}}}"#
            );
            let kept = super::super::Kept::default();
            Chargebee::new(toml::Table::new())
                .unwrap()
                .parse(&Document {
                    body: body.as_bytes(),
                    kept: &kept,
                })
        };
        assert!(parse(1_000).is_ok());
        let error = parse(1_001).unwrap_err();
        assert_eq!(
            error.reason,
            "content.transaction.linked_invoices: lists more than 1000 invoices"
        );
    }
}
