//! Stripe: charges (or invoices), refunds, disputes and customers.
//!
//! Source: Stripe API reference and "Webhooks" in Stripe's documentation,
//! versions 2015 to 2026. This file holds the settings and says which event
//! goes where; what an object means is in `charge`, `dispute`, `invoice`
//! and `customer`. Thin events carry no amount: `thin` asks, and `answer` reads
//! what the API says.

mod answer;
mod charge;
mod checks;
mod customer;
mod dispute;
mod invoice;
mod objects;
mod signature;
mod thin;

use serde::Deserialize;

use self::objects::{Envelope, Kind, Stamp};
use super::{Document, Genuine, NotGenuine, Provider, Request, Secret, SettingsError, Unreadable};
use crate::config::number;
use crate::movement::{Authority, Movement, Reading, Scope, Subject};
use crate::time::{SECOND_MS, Time};

/// The name in the configuration.
pub const NAME: &str = "stripe";

/// The events that are looked into; every other one is ignored with a reason.
pub const EVENTS: &[&str] = &[
    "charge.captured",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.refund.updated",
    "charge.refunded",
    "charge.succeeded",
    "customer.created",
    "customer.deleted",
    "customer.updated",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice_payment.paid",
    "refund.created",
    "refund.failed",
    "refund.updated",
];

/// Where the customer key is looked for. An email is not among them: it can be
/// typed by anybody, so a source has to ask for it.
const LOOKUP: &[&str] = &[
    "metadata.customer_key",
    "metadata.customer_id",
    "link:customer",
];

/// How old a signature may be. Five minutes is what the official SDKs take;
/// every retry is signed anew.
const TOLERANCE_DEFAULT_SECONDS: u32 = 300;

/// The longest tolerance: a day. Beyond it a replay is not stopped at all.
const TOLERANCE_MAX_SECONDS: u32 = 86_400;

/// The object that stands for a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum PaymentEvent {
    #[default]
    Charge,
    Invoice,
}

/// The figure of an invoice that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum InvoiceAmount {
    #[default]
    AmountPaid,
    Subtotal,
    TotalExcludingTax,
}

/// The settings of a Stripe source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    payment_event: PaymentEvent,
    #[serde(default)]
    invoice_amount: InvoiceAmount,
    #[serde(
        default = "tolerance_default",
        deserialize_with = "number::<_, 1, TOLERANCE_MAX_SECONDS>"
    )]
    tolerance_seconds: u32,
    #[serde(default, deserialize_with = "moment")]
    switched_at: Option<Time>,
}

fn tolerance_default() -> u32 {
    TOLERANCE_DEFAULT_SECONDS
}

fn moment<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Time::parse(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

/// One source's view of Stripe.
#[derive(Clone, Debug)]
pub struct Stripe {
    payment_event: PaymentEvent,
    invoice_amount: InvoiceAmount,
    tolerance_ms: i64,
    switched_at: Option<Time>,
}

impl Stripe {
    /// From a source's settings: `payment_event` (`charge` or `invoice`),
    /// `invoice_amount` (`amount_paid`, `subtotal`, `total_excluding_tax`),
    /// `tolerance_seconds`, and `switched_at`, which [`Stripe::switched_at`]
    /// explains.
    ///
    /// # Errors
    /// Names the key at fault.
    pub fn new(settings: toml::Table) -> Result<Stripe, SettingsError> {
        let settings: Settings = super::settings(settings)?;
        Ok(Stripe {
            payment_event: settings.payment_event,
            invoice_amount: settings.invoice_amount,
            tolerance_ms: i64::from(settings.tolerance_seconds) * SECOND_MS,
            switched_at: settings.switched_at,
        })
    }

    /// Says since when `payment_event` is what it is now. What happened before
    /// `at` is still read the other way round, so that a switch neither loses a
    /// sale nor counts one twice. `None`: it never was anything else.
    ///
    /// A charge counts by the time it was made, an invoice by the time it was
    /// paid. A slow payment that lies across `at` states both; the two carry
    /// one money alias, by which the ledger sees that they are the same money.
    #[must_use]
    pub fn switched_at(self, at: Option<Time>) -> Stripe {
        Stripe {
            switched_at: at,
            ..self
        }
    }

    /// What stands for a payment made at `at`.
    fn payment_event_at(&self, at: Time) -> PaymentEvent {
        match (self.switched_at, self.payment_event) {
            (Some(switch), PaymentEvent::Charge) if at < switch => PaymentEvent::Invoice,
            (Some(switch), PaymentEvent::Invoice) if at < switch => PaymentEvent::Charge,
            (_, now) => now,
        }
    }

    /// True where no payment is or ever was an invoice.
    fn charges_only(&self) -> bool {
        self.payment_event == PaymentEvent::Charge && self.switched_at.is_none()
    }

    /// The payment that a reversal with these references is about.
    ///
    /// Where invoices are or were the payments, the reversal cannot tell which
    /// object its payment is, so it names an alias. The payment intent goes
    /// first: invoices since the versions of March 2025 name no charge.
    fn subject(&self, charge: Option<&str>, intent: Option<&str>) -> Option<Subject> {
        let reference = |kind: &str, id: &str| Subject::Reference {
            kind: kind.to_owned(),
            id: id.to_owned(),
        };
        match (charge, intent) {
            (Some(charge), _) if self.charges_only() => Some(Subject::Payment(charge.to_owned())),
            (_, Some(intent)) => Some(reference("payment_intent", intent)),
            (Some(charge), None) => Some(reference("charge", charge)),
            (None, None) => None,
        }
    }
}

impl Provider for Stripe {
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
        // The derived readers also take an array for an object, member by member.
        if !body.trim_start().starts_with('{') {
            return Err(Unreadable::because("the body is not a JSON object"));
        }
        if let Some(asked) = &document.kept.asked {
            return answer::read(self, asked, body);
        }
        let envelope: Envelope<'_> = checks::decode("", body)?;
        let name = checks::needed("type", checks::id("type", envelope.name.as_ref())?)?;
        let mut reading = Reading {
            delivery_id: checks::id("id", envelope.id.as_ref())?.map(str::to_owned),
            event: name.to_owned(),
            scope: Scope {
                live: envelope.livemode,
                account: account(&envelope)?,
            },
            ..Reading::default()
        };
        if envelope
            .object
            .as_ref()
            .is_some_and(|it| it.0 == thin::OBJECT)
        {
            thin::read(self, &envelope, name, &mut reading)?;
            return Ok(reading);
        }
        if !EVENTS.contains(&name) {
            reading.ignored = Some(uncounted(name).to_owned());
            return Ok(reading);
        }
        let event = event(&envelope, name)?;
        let object = envelope.data.and_then(|data| data.object);
        let object = checks::needed("data.object", object)?.get();
        read(self, &event, object, &mut reading)?;
        Ok(reading)
    }

    fn lookup(&self) -> &'static [&'static str] {
        LOOKUP
    }

    fn api(&self) -> Option<super::ask::Api> {
        Some(thin::api(self))
    }

    fn key_set(&self) -> Option<&str> {
        None
    }
}

/// What every object needs to know of its event, or of the answer it is.
struct Event<'a> {
    name: &'a str,
    at: Time,
    /// The event's time in seconds.
    version: i64,
    authority: Authority,
}

fn event<'a>(envelope: &Envelope<'_>, name: &'a str) -> Result<Event<'a>, Unreadable> {
    let version = match envelope.created {
        Some(Stamp::Seconds(seconds)) => seconds,
        Some(Stamp::Written) => {
            return Err(Unreadable::field("created", "is not a time in seconds"));
        }
        None => return Err(Unreadable::field("created", "is missing")),
    };
    let at = checks::needed("created", checks::time("created", Some(version))?)?;
    Ok(Event {
        name,
        at,
        version,
        authority: Authority::Webhook,
    })
}

/// The connected account; empty for one's own.
fn account(envelope: &Envelope<'_>) -> Result<String, Unreadable> {
    Ok(checks::id("account", envelope.account.as_ref())?
        .unwrap_or_default()
        .to_owned())
}

/// Why an event that is none of [`EVENTS`] is not looked into at all.
fn uncounted(name: &str) -> &'static str {
    let family = name.split('.').next().unwrap_or_default();
    match (family, name) {
        (_, "charge.updated") => {
            "a description changed; money moves by charge.succeeded, charge.captured and charge.refunded"
        }
        (_, "charge.pending") => {
            "the charge is under way; charge.succeeded follows if it goes through"
        }
        (_, "charge.failed" | "charge.expired") => {
            "no money was captured, so there is nothing to count and nothing to give back"
        }
        ("payment_intent" | "checkout", _) => {
            "the money behind it is reported by its own charge or invoice event"
        }
        ("invoice" | "invoice_payment" | "invoiceitem", _) => "an invoice counts once it is paid",
        _ => "events of this type say nothing about payments, refunds, disputes or customer keys",
    }
}

/// Reads `object` as what it says it is, whatever the event is called: some
/// events carry another object than their name promises.
fn read(
    stripe: &Stripe,
    event: &Event<'_>,
    object: &str,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let kind: Kind<'_> = checks::decode(OBJECT, object)?;
    let kind = match &kind.object {
        Some(kind) => kind.0.as_ref(),
        None => kind_by_name(event.name),
    };
    read_object(stripe, event, kind, object, reading)
}

/// Reads `object` as one of this kind.
fn read_object(
    stripe: &Stripe,
    event: &Event<'_>,
    kind: &str,
    object: &str,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    match kind {
        "charge" => charge::read(stripe, event, &checks::decode(OBJECT, object)?, reading),
        "refund" => charge::read_refund(stripe, event, &checks::decode(OBJECT, object)?, reading),
        "dispute" => dispute::read(stripe, event, &checks::decode(OBJECT, object)?, reading),
        "invoice" => invoice::read(stripe, event, &checks::decode(OBJECT, object)?, reading),
        "invoice_payment" => {
            invoice::read_payment(stripe, event, &checks::decode(OBJECT, object)?, reading)
        }
        "customer" => customer::read(event, &checks::decode(OBJECT, object)?, reading),
        _ => {
            reading.ignored = Some("the event carries an object of a kind that is not read".into());
            Ok(())
        }
    }
}

/// The kind of object an event carries where the object does not say.
fn kind_by_name(name: &str) -> &'static str {
    match name.split('.').collect::<Vec<_>>().as_slice() {
        ["charge", "refund", ..] | ["refund", ..] => "refund",
        ["charge", "dispute", ..] => "dispute",
        ["charge", ..] => "charge",
        ["customer", ..] => "customer",
        ["invoice", ..] => "invoice",
        ["invoice_payment", ..] => "invoice_payment",
        _ => "",
    }
}

/// Adds a movement about `subject`.
fn state(reading: &mut Reading, about: &Subject, fact: crate::movement::Fact) {
    reading.movements.push(Movement {
        about: about.clone(),
        fact,
    });
}

/// Ignores the reading, unless it states something after all.
fn ignore_if_silent(reading: &mut Reading, why: &str) {
    let silent = reading.movements.is_empty()
        && reading.aliases.is_empty()
        && reading.clues.is_empty()
        && reading.links.is_empty();
    if silent {
        reading.ignored = Some(why.to_owned());
    }
}

/// The path of the object in an event.
const OBJECT: &str = "data.object";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_reads_the_past_the_other_way_round() {
        let stripe = Stripe::new(toml::Table::new()).unwrap();
        assert_eq!(stripe.payment_event_at(Time(0)), PaymentEvent::Charge);
        let switched = stripe.switched_at(Some(Time(5)));
        assert_eq!(switched.payment_event_at(Time(4)), PaymentEvent::Invoice);
        assert_eq!(switched.payment_event_at(Time(5)), PaymentEvent::Charge);
    }

    #[test]
    fn the_events_are_sorted_and_each_has_a_kind() {
        assert!(EVENTS.is_sorted());
        for name in EVENTS {
            assert_ne!(kind_by_name(name), "", "{name}");
        }
    }

    #[test]
    fn a_time_that_is_text_is_named() {
        let stripe = Stripe::new(toml::Table::new()).unwrap();
        let body = br#"{"type":"refund.created","created":"June","data":{"object":{}}}"#;
        let error = stripe
            .parse(&Document {
                body,
                kept: &super::super::Kept::default(),
            })
            .unwrap_err();
        assert_eq!(error.reason, "created: is not a time in seconds");
    }
}
