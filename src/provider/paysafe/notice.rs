//! The five envelopes of Paysafe's notifications, brought to one form.
//!
//! Source: Paysafe's developer pages, "Configuring Webhooks" of the Payments
//! API, of direct debits and alternative payments, and of the payment
//! scheduler. The attempt's number is never read: it alone differs between the
//! deliveries of one notification. Nothing here says what an event means.

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::money::Minor;
use crate::provider::Unreadable;
use crate::provider::checks::{self, Text};
use crate::time::{SECOND_MS, Time};

/// The event of a notification of the scheduler that names none.
pub const SCHEDULED: &str = "SCHEDULED_PAYMENT";

/// The prefix of the older alternative payments' events.
const LEGACY: &str = "AP_";

/// The outer object, or what stands under `variables`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    event_name: Option<Text<'a>>,
    #[serde(borrow, rename = "EventName")]
    capital_event_name: Option<Text<'a>>,
    #[serde(borrow)]
    event_type: Option<Text<'a>>,
    #[serde(borrow)]
    mode: Option<Text<'a>>,
    #[serde(borrow)]
    resource_id: Option<Text<'a>>,
    event_date: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    scheduled_payment: Option<&'a RawValue>,
    variables: Option<&'a RawValue>,
}

/// A payment, settlement, refund or return.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Payload<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub merchant_ref_num: Option<Text<'a>>,
    pub amount: Option<&'a RawValue>,
    #[serde(borrow)]
    pub currency_code: Option<Text<'a>>,
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
    #[serde(borrow)]
    pub payment_type: Option<Text<'a>>,
    pub txn_time: Option<&'a RawValue>,
    pub status_time: Option<&'a RawValue>,
    pub settle_with_auth: Option<&'a RawValue>,
    #[serde(borrow)]
    pub settlement_id: Option<Text<'a>>,
    pub settlement_amount: Option<&'a RawValue>,
    #[serde(borrow)]
    pub payment_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub profile: Option<Profile<'a>>,
    scheduled_payment: Option<&'a RawValue>,
}

/// The payer.
#[derive(Deserialize, Default)]
pub struct Profile<'a> {
    #[serde(borrow)]
    pub email: Option<Text<'a>>,
}

/// A payment that the scheduler made.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduled<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    pub amount: Option<&'a RawValue>,
    #[serde(borrow)]
    pub currency_code: Option<Text<'a>>,
    #[serde(borrow)]
    pub subscription_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub processed_payment_details: Option<Payload<'a>>,
}

/// A notification, whatever its envelope.
pub struct Notice<'a> {
    /// The event's name as it was sent.
    pub event: String,
    /// The same in one spelling, without the prefix of the older API.
    pub topic: String,
    /// Whether it had that prefix.
    pub legacy: bool,
    /// Whether it says that it is a test. "live" proves nothing: Paysafe's
    /// own test hosts say it too.
    pub test: bool,
    resource: Option<String>,
    date: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    scheduled: Option<&'a RawValue>,
}

impl<'a> Notice<'a> {
    /// Opens the envelope.
    pub fn read(body: &'a str) -> Result<Notice<'a>, Unreadable> {
        let outer: Envelope<'a> = checks::object("", body)?;
        let inner: Envelope<'a> = match outer.variables {
            Some(raw) => checks::object("variables", raw.get())?,
            None => Envelope::default(),
        };
        let payload = outer.payload.or(inner.payload);
        // Where the scheduler's object stands is not shown in full.
        let within = payload.and_then(|raw| serde_json::from_str::<Payload<'a>>(raw.get()).ok());
        let scheduled = outer
            .scheduled_payment
            .or(inner.scheduled_payment)
            .or(within.and_then(|payload| payload.scheduled_payment));
        let named = [
            outer.event_name,
            outer.capital_event_name,
            outer.event_type,
            inner.event_name,
            inner.capital_event_name,
            inner.event_type,
        ];
        let named = named.into_iter().flatten().next();
        let event = match (checks::id("eventName", named.as_ref())?, scheduled) {
            (Some(name), _) => name.to_owned(),
            (None, Some(_)) => SCHEDULED.to_owned(),
            (None, None) => return Err(Unreadable::field("eventName", "is missing")),
        };
        let (topic, legacy) = topic(&event);
        let mode = outer.mode.or(inner.mode);
        let resource = outer.resource_id.or(inner.resource_id);
        Ok(Notice {
            event,
            topic,
            legacy,
            test: mode.is_some_and(|Text(mode)| mode.eq_ignore_ascii_case("test")),
            resource: checks::id("resourceId", resource.as_ref())?.map(str::to_owned),
            date: outer.event_date.or(inner.event_date),
            payload,
            scheduled,
        })
    }

    /// What an answer of the API has instead of an envelope: nothing.
    pub fn unnamed() -> Notice<'a> {
        Notice {
            event: String::new(),
            topic: String::new(),
            legacy: false,
            test: false,
            resource: None,
            date: None,
            payload: None,
            scheduled: None,
        }
    }

    /// The object that the event is about.
    pub fn payload(&self) -> Result<Payload<'a>, Unreadable> {
        let raw = checks::needed("payload", self.payload)?;
        checks::object("payload", raw.get())
    }

    /// The scheduler's object, if there is one.
    pub fn scheduled(&self) -> Result<Option<Scheduled<'a>>, Unreadable> {
        let Some(raw) = self.scheduled else {
            return Ok(None);
        };
        checks::object("scheduledPayment", raw.get()).map(Some)
    }

    /// The id of the object: its own, else the envelope's.
    pub fn id(&self, payload: &Payload<'_>) -> Result<String, Unreadable> {
        let own = checks::id("payload.id", payload.id.as_ref())?.map(str::to_owned);
        checks::needed("payload.id", own.or(self.resource.clone()))
    }

    /// When the transaction was made.
    pub fn made_at(&self, payload: &Payload<'_>) -> Result<Time, Unreadable> {
        let stamps = [payload.txn_time, payload.status_time, self.date];
        first_time(stamps)
    }

    /// When its status became what it is.
    pub fn changed_at(&self, payload: &Payload<'_>) -> Result<Time, Unreadable> {
        let stamps = [payload.status_time, payload.txn_time, self.date];
        first_time(stamps)
    }

    /// What the deliveries of one notification have in common: the event, the
    /// object, its status and its time. Paysafe gives no id of its own.
    pub fn delivery_id(&self) -> Option<String> {
        let scheduled = self.scheduled().ok().flatten();
        let payload = match scheduled {
            Some(scheduled) => scheduled.processed_payment_details?,
            None => self.payload().ok()?,
        };
        let id = self.id(&payload).ok()?;
        let time = payload
            .status_time
            .or(payload.txn_time)
            .or(self.date)
            .map(RawValue::get)?;
        let status = payload.status.map(|Text(status)| status.into_owned());
        let named = serde_json::to_vec(&(&self.topic, id, status, time)).ok()?;
        Some(hex::encode(Sha256::digest(named)))
    }
}

/// An event's name in one spelling, and whether it is of the older API.
fn topic(event: &str) -> (String, bool) {
    let upper = event
        .trim()
        .to_ascii_uppercase()
        .replace(['.', '-', ' '], "_");
    match upper.strip_prefix(LEGACY) {
        Some(rest) => (rest.to_owned(), true),
        None => (upper, false),
    }
}

/// The first time that is there.
fn first_time(stamps: [Option<&RawValue>; 3]) -> Result<Time, Unreadable> {
    const FIELD: &str = "payload.txnTime";
    let stamp = stamps.into_iter().flatten().next();
    time(FIELD, checks::needed(FIELD, stamp)?)
}

/// A time: RFC 3339, or milliseconds since 1970 as a number.
fn time(field: &str, raw: &RawValue) -> Result<Time, Unreadable> {
    let text = checks::scalar(raw).unwrap_or_default();
    let at = match text.parse::<i64>() {
        Ok(ms) => Some(Time(ms)),
        Err(_) => Time::parse(text.trim()).ok(),
    };
    let plausible = |at: &Time| Time::from_seconds(at.ms().div_euclid(SECOND_MS)).is_some();
    at.filter(plausible)
        .ok_or_else(|| Unreadable::field(field, "is neither RFC 3339 nor milliseconds"))
}

/// An amount in minor units, as a number or a text of digits.
pub fn minor(field: &str, raw: Option<&RawValue>) -> Result<Option<Minor>, Unreadable> {
    let Some(raw) = raw else {
        return Ok(None);
    };
    let text = checks::scalar(raw).unwrap_or_default();
    let amount = text
        .parse()
        .map_err(|_| Unreadable::field(field, "is no whole number of minor units"))?;
    checks::amount(field, Some(amount))
}

/// A flag, as JSON or as a text.
pub fn flag(field: &str, raw: Option<&RawValue>) -> Result<Option<bool>, Unreadable> {
    let Some(raw) = raw else {
        return Ok(None);
    };
    match checks::scalar(raw).unwrap_or_default().as_str() {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(Unreadable::field(field, "is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        let one = |name: &str| topic(name);
        assert_eq!(one("payment.completed").0, "PAYMENT_COMPLETED");
        assert_eq!(one("Settlement-Completed").0, "SETTLEMENT_COMPLETED");
        assert_eq!(
            one("AP_PAYMENT_COMPLETED"),
            ("PAYMENT_COMPLETED".to_owned(), true)
        );
    }

    #[test]
    fn one_notification_has_one_id_whatever_the_attempt() {
        let id = |attempt: &str, status: &str| {
            let body = format!(
                r#"{{"eventName":"PAYMENT_COMPLETED","attemptNumber":{attempt},
                    "eventDate":"2026-06-01T00:00:00Z","payload":{{"id":"p","status":"{status}"}}}}"#
            );
            Notice::read(&body)
                .ok()
                .and_then(|notice| notice.delivery_id())
        };
        assert!(id("\"1\"", "COMPLETED").is_some());
        assert_eq!(id("\"1\"", "COMPLETED"), id("3", "COMPLETED"));
        assert_ne!(id("1", "COMPLETED"), id("1", "FAILED"));
    }

    #[test]
    fn times_are_texts_or_milliseconds() {
        let read = |raw: &str| {
            let raw: Box<RawValue> = serde_json::from_str(raw).unwrap();
            time("at", &raw).map(Time::ms).ok()
        };
        assert_eq!(read("1780311600000"), Some(1_780_311_600_000));
        assert_eq!(read("\"2026-06-01T11:00:00Z\""), Some(1_780_311_600_000));
        assert_eq!(read("\"yesterday\""), None);
        assert_eq!(read("-5"), None);
        assert_eq!(read("17803116000000"), None);
    }
}
