//! What Pyng's two webhooks say. Neither is known to state an amount: it comes
//! with the link of the order, or from the API.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{INTENT, Pyng, decode, name_payment};
use crate::movement::{Clue, Inquiry, Movement, Reading, Subject, Unpriced};
use crate::provider::Unreadable;
use crate::provider::checks::{self, Text};
use crate::time::Time;

/// The envelope of both.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    data: Option<Told<'a>>,
}

/// The fields of both; each has some of them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    #[serde(borrow, default)]
    idempotency_key: Option<Text<'a>>,
    #[serde(borrow, default)]
    checkout_session_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    payment_intent_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    transaction_id: Option<Text<'a>>,
    /// A text by the documentation; a number is taken as it is written.
    #[serde(borrow, default)]
    order_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    transaction_status: Option<Text<'a>>,
    #[serde(default)]
    transaction_updated: Option<i64>,
    #[serde(default)]
    amount_paid: Option<i64>,
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(borrow, default)]
    outcome: Option<Text<'a>>,
    #[serde(borrow, default)]
    updated_at: Option<Text<'a>>,
}

/// Reads a pushed status.
pub(super) fn read_push(pyng: &Pyng, text: &str) -> Result<Reading, Unreadable> {
    let envelope: Envelope<'_> = decode(text)?;
    let told = checks::needed("data", envelope.data)?;
    let status = checks::needed_id("data.transactionStatus", told.transaction_status.as_ref())?;
    let key = checks::id("data.idempotencyKey", told.idempotency_key.as_ref())?;
    let mut reading = Reading {
        delivery_id: key.map(str::to_owned),
        event: "transaction-status".to_owned(),
        ..Reading::default()
    };
    if !pyng.is_success(status) {
        reading.ignored = Some(not_success(status));
        return Ok(reading);
    }
    let id = checks::needed_id("data.paymentIntentId", told.payment_intent_id.as_ref())?;
    let updated = checks::time("data.transactionUpdated", told.transaction_updated)?;
    let at = updated.unwrap_or(Time::UNKNOWN);
    name_all(&told, id, &mut reading)?;
    match checks::amount("data.amountPaid", told.amount_paid)? {
        Some(amount) => reading.movements.push(Movement {
            about: Subject::Payment(id.to_owned()),
            fact: pyng.capture(id, amount, at),
        }),
        None => price(pyng, id, Some(id), at, &mut reading),
    }
    Ok(reading)
}

/// Why a status is no payment. It is quoted only where it is a plain word.
fn not_success(status: &str) -> String {
    /// Statuses are words; this is longer than any.
    const WORD_MOST_BYTES: usize = 40;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_- ".contains(&byte);
    match status.len() <= WORD_MOST_BYTES && status.bytes().all(plain) {
        true => format!("the status {status} is not one of the setting `success_statuses`"),
        false => "the status is not one of the setting `success_statuses`".to_owned(),
    }
}

/// Reads the end of a checkout session.
pub(super) fn read_session(pyng: &Pyng, text: &str) -> Result<Reading, Unreadable> {
    let envelope: Envelope<'_> = decode(text)?;
    let told = checks::needed("data", envelope.data)?;
    let session = checks::needed_id("data.checkoutSessionId", told.checkout_session_id.as_ref())?;
    let status = checks::needed_id("data.status", told.status.as_ref())?;
    let outcome = checks::id("data.outcome", told.outcome.as_ref())?;
    let mut reading = Reading {
        delivery_id: Some(format!("{session}:{status}")),
        event: format!("session.{status}"),
        ..Reading::default()
    };
    if let Some(why) = unpaid(status, outcome) {
        reading.ignored = Some(why.to_owned());
        return Ok(reading);
    }
    let at = match told.updated_at.as_ref() {
        None => Time::UNKNOWN,
        Some(Text(text)) => text
            .parse::<jiff::Timestamp>()
            .map(|stamp| Time(stamp.as_millisecond()))
            .map_err(|_| Unreadable::field("data.updatedAt", "is not a time"))?,
    };
    name_all(&told, session, &mut reading)?;
    let intent = checks::id("data.paymentIntentId", told.payment_intent_id.as_ref())?;
    price(pyng, session, intent, at, &mut reading);
    Ok(reading)
}

/// Why a session brought no money.
fn unpaid(status: &str, outcome: Option<&str>) -> Option<&'static str> {
    match (status, outcome) {
        ("Completed", Some("Succeeded")) => None,
        ("Completed", _) => Some("the session is complete and its outcome is not Succeeded"),
        ("Cancelled", _) => Some("the session was cancelled, and no money was taken"),
        ("Expired", _) => Some("the session expired, and no money was taken"),
        ("Failed", _) => Some("the session failed, and no money was taken"),
        ("Created" | "Launched" | "Pending", _) => {
            Some("the session is under way; Completed tells of the money")
        }
        _ => Some("the status is not among those of the draft"),
    }
}

/// The other ids of a payment, and its order, by which the customer is found.
/// One payment may be told by both webhooks: the intent and the transaction are
/// the same money in both.
fn name_all(told: &Told<'_>, payment: &str, reading: &mut Reading) -> Result<(), Unreadable> {
    let intent = checks::id("data.paymentIntentId", told.payment_intent_id.as_ref())?;
    let transaction = checks::id("data.transactionId", told.transaction_id.as_ref())?;
    if let Some(intent) = intent {
        name_payment(reading, payment, INTENT, intent, true);
    }
    if let Some(transaction) = transaction {
        name_payment(reading, payment, "transaction", transaction, true);
    }
    let order = told.order_id.and_then(checks::scalar);
    if let Some(order) = order.as_deref().and_then(checks::clue) {
        name_payment(reading, payment, "order", order, false);
        reading.clues.push(Clue {
            payment_id: payment.to_owned(),
            field: "order".to_owned(),
            value: order.to_owned(),
            version: 0,
        });
    }
    Ok(())
}

/// Leaves the amount to the link of the order and, where the site is known, to
/// the API.
fn price(pyng: &Pyng, payment: &str, intent: Option<&str>, at: Time, reading: &mut Reading) {
    reading.unpriced.push(Unpriced {
        payment_id: payment.to_owned(),
        link_kind: "order".to_owned(),
        capture: pyng.capture(intent.unwrap_or(payment), 0, at),
    });
    if let (Some(intent), Some(_)) = (intent, &pyng.site) {
        reading.inquiries.push(Inquiry {
            kind: INTENT.to_owned(),
            id: intent.to_owned(),
            about: Some(Subject::Payment(payment.to_owned())),
        });
    }
}
