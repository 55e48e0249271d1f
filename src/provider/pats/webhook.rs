//! What a webhook of Pats says, and what it leaves to be asked.
//!
//! It states no time and no order, so its facts carry neither: the rank of a
//! status decides, and the ledger writes the time of arrival. It is not an
//! answer of the API; those are in `answer`.

use serde::Deserialize;

use super::{CHARGEBACK, Pats, PaymentStatus, REFUND, ReverseOn, TRANSACTION, WHOLE};
use super::{decode, fact, inquire, name_payment, reversal, state};
use crate::money::{Currency, Minor};
use crate::movement::{Class, Clue, Fact, Reading, Subject, Unpriced, rank};
use crate::provider::Unreadable;
use crate::provider::checks::{self, Text};

/// A webhook's body.
#[derive(Deserialize)]
struct Webhook<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    /// The name of `id` in older revisions.
    #[serde(rename = "_id", borrow, default)]
    old_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(default)]
    amount: Option<i64>,
    #[serde(borrow, default)]
    merchant_reference: Option<Text<'a>>,
    #[serde(borrow, default)]
    paymentlink_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    subscription_id: Option<Text<'a>>,
}

/// The part of a webhook that every kind of it has.
struct Told<'a> {
    id: &'a str,
    status: Option<&'a str>,
    amount: Option<Minor>,
}

/// Reads a webhook.
pub(super) fn read(pats: &Pats, text: &str) -> Result<Reading, Unreadable> {
    let webhook: Webhook<'_> = decode(text)?;
    let kind = checks::needed_id("type", webhook.kind.as_ref())?;
    let id = webhook.id.as_ref().or(webhook.old_id.as_ref());
    let id = checks::needed_id("id", id)?;
    let status = checks::id("status", webhook.status.as_ref())?;
    let name = |status: &str| format!("{kind}.{status}");
    let mut reading = Reading {
        delivery_id: Some(match status {
            Some(status) => format!("{kind}:{id}:{status}"),
            None => format!("{kind}:{id}"),
        }),
        event: status.map_or_else(|| kind.to_owned(), name),
        ..Reading::default()
    };
    if let Some(why) = foreign(pats, kind, status) {
        reading.ignored = Some(why.to_owned());
        return Ok(reading);
    }
    let told = Told {
        id,
        status,
        amount: checks::amount("amount", webhook.amount)?,
    };
    match kind {
        TRANSACTION => read_transaction(pats, &told, &webhook, &mut reading),
        REFUND => read_refund(pats, &told, &mut reading),
        _ => read_chargeback(pats, &told, &mut reading),
    }
    Ok(reading)
}

/// Why a webhook is not looked into. One without a status is: the API says it.
fn foreign(pats: &Pats, kind: &str, status: Option<&str>) -> Option<&'static str> {
    let early = pats.payment_status == PaymentStatus::SettlementRequested;
    match (kind, status) {
        (TRANSACTION, Some(status)) => foreign_transaction(early, status),
        (REFUND, Some("PROCESSED" | "CANCELLED" | "FAILED")) => None,
        (REFUND, Some("PENDING" | "HOLD" | "UNKNOWN")) => {
            Some("the refund is under way; PROCESSED tells of the money")
        }
        (CHARGEBACK, Some("LOST" | "WON" | "CANCELLED")) => None,
        (CHARGEBACK, Some("OPEN" | "IN_DISPUTE")) => match pats.reverse_on {
            ReverseOn::Opened => None,
            ReverseOn::Lost => {
                Some("the chargeback is not decided; the setting `reverse_on` waits for LOST")
            }
        },
        (REFUND | CHARGEBACK, Some(_)) => Some(UNDOCUMENTED),
        (TRANSACTION | REFUND | CHARGEBACK, None) => None,
        ("subscription", _) => Some("a subscription moves no money; its transactions tell of that"),
        ("cardlink", _) => Some("a card was linked, and no money moved"),
        ("validationruleset", _) => Some("a rule about fraud or tags applied, and no money moved"),
        ("report_generated", _) => Some("a report was made, and no money moved"),
        _ => Some("events of this type say nothing about payments and refunds"),
    }
}

/// Why a status that we do not know is ignored.
const UNDOCUMENTED: &str = "the status is not among those that Pats documents";

/// As [`foreign`], for transactions.
fn foreign_transaction(early: bool, status: &str) -> Option<&'static str> {
    match status {
        "SETTLEMENT_COMPLETED" => None,
        "SETTLEMENT_REQUESTED" | "CANCELLED" | "FAILED" if early => None,
        "SETTLEMENT_REQUESTED" => {
            Some("the settlement is requested; SETTLEMENT_COMPLETED tells of the money")
        }
        "CANCELLED" | "FAILED" | "DECLINED" | "ABANDONED" | "AUTHORIZATION_VOIDED" => {
            Some("no money was taken, so there is nothing to count and nothing to give back")
        }
        "INITIATED" | "IN_PROGRESS" | "PENDING" | "AUTHORIZED" | "UNKNOWN" => {
            Some("the transaction is under way; SETTLEMENT_COMPLETED tells of the money")
        }
        _ => Some(UNDOCUMENTED),
    }
}

fn read_transaction(pats: &Pats, told: &Told<'_>, webhook: &Webhook<'_>, reading: &mut Reading) {
    let payment = Subject::Payment(told.id.to_owned());
    name_payment(reading, told.id, TRANSACTION, told.id, true);
    let subscription = webhook.subscription_id.as_ref();
    for (field, text) in [
        ("merchant_reference", webhook.merchant_reference.as_ref()),
        ("paymentlink", webhook.paymentlink_id.as_ref()),
        ("reference", webhook.merchant_reference.as_ref()),
        ("subscription", subscription),
    ] {
        if let Some(value) = text.and_then(|Text(text)| checks::clue(text)) {
            reading.clues.push(Clue {
                payment_id: told.id.to_owned(),
                field: field.to_owned(),
                value: value.to_owned(),
                version: 0,
            });
        }
    }
    // One order may be tried several times, so a reference is no payment's own.
    if let Some(value) = subscription.and_then(|Text(text)| checks::clue(text)) {
        name_payment(reading, told.id, "subscription", value, false);
    }
    let currency = pats.webhook_currency();
    match (told.status, currency, told.amount) {
        (Some("CANCELLED" | "FAILED"), Some(currency), _) => {
            undo_early(reading, told.id, currency);
        }
        (Some(status), Some(currency), Some(amount)) => {
            let capture = fact(Class::Capture, rank::CAPTURED, told.id, amount, currency);
            let version = settled(status);
            state(reading, &payment, Fact { version, ..capture });
        }
        (Some(status), Some(currency), None) => {
            let capture = fact(Class::Capture, rank::CAPTURED, told.id, 0, currency);
            let version = settled(status);
            reading.unpriced.push(Unpriced {
                payment_id: told.id.to_owned(),
                link_kind: "reference".to_owned(),
                capture: Fact { version, ..capture },
            });
            inquire(reading, TRANSACTION, told.id, &payment);
        }
        _ => inquire(reading, TRANSACTION, told.id, &payment),
    }
}

/// A payment that counted from its request on has not come: it failed, and if
/// it counted, all of it goes back.
fn undo_early(reading: &mut Reading, id: &str, currency: Currency) {
    let payment = Subject::Payment(id.to_owned());
    state(
        reading,
        &payment,
        fact(Class::Capture, rank::FAILED, id, 0, currency),
    );
    state(
        reading,
        &payment,
        fact(Class::Void, rank::LIVE, id, 0, currency),
    );
}

/// What is settled is the better witness of two.
fn settled(status: &str) -> i64 {
    i64::from(status == "SETTLEMENT_COMPLETED")
}

/// A refund's webhook has its own id alone; the API says which payment it is of.
fn read_refund(pats: &Pats, told: &Told<'_>, reading: &mut Reading) {
    let about = reversal(REFUND, told.id);
    inquire(reading, REFUND, told.id, &about);
    let rank = match told.status {
        Some("PROCESSED") => rank::LIVE,
        Some(_) => rank::UNDONE,
        None => return,
    };
    if let (Some(currency), Some(amount)) = (pats.webhook_currency(), told.amount) {
        let stated = fact(Class::Refund, rank, told.id, amount, currency);
        state(reading, &about, stated);
    }
}

/// A chargeback, lost or won. The webhooks have no order, so the API is always
/// asked how it ended; until it has answered, the better end is believed.
fn read_chargeback(pats: &Pats, told: &Told<'_>, reading: &mut Reading) {
    let about = reversal(CHARGEBACK, told.id);
    inquire(reading, CHARGEBACK, told.id, &about);
    let class = match told.status {
        Some("WON" | "CANCELLED") => Class::DisputeReturned,
        Some(_) => Class::DisputeTaken,
        None => return,
    };
    if let Some(currency) = pats.webhook_currency() {
        let amount = told.amount.unwrap_or(WHOLE);
        let stated = fact(class, rank::INFERRED, told.id, amount, currency);
        state(reading, &about, stated);
    }
}
