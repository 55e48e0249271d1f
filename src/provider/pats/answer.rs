//! What the API of Pats answers about a transaction, a refund or a chargeback.
//!
//! An answer is a snapshot of when it was asked, and that time is the version
//! of what it states. Only the object that was asked for is believed.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{CHARGEBACK, Pats, PaymentStatus, REFUND, ReverseOn, TRANSACTION, WHOLE};
use super::{decode, fact, name_payment, state};
use crate::money::{Currency, Minor};
use crate::movement::{Authority, Class, Clue, Fact, Reading, Subject, rank};
use crate::provider::checks::{self, Text};
use crate::provider::{Asked, Unreadable};
use crate::time::{SECOND_MS, Time};

/// The fields of the three objects; each has some of them.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(rename = "_id", borrow, default)]
    old_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(default)]
    amount: Option<i64>,
    #[serde(borrow, default)]
    merchant_reference: Option<Text<'a>>,
    /// The payment profile under its name of today and of 2018: an id, or the
    /// object where the answer was populated.
    #[serde(borrow, default)]
    payment_profile: Option<&'a RawValue>,
    #[serde(borrow, default)]
    account: Option<&'a RawValue>,
    /// The payment of a refund or a chargeback, likewise.
    #[serde(borrow, default)]
    transaction: Option<&'a RawValue>,
    #[serde(alias = "createdAt", borrow, default)]
    created_at: Option<Text<'a>>,
    #[serde(alias = "lastStatusUpdate", borrow, default)]
    last_status_update: Option<Text<'a>>,
}

/// Another object that an answer names, by its id or as a whole.
#[derive(Deserialize, Default)]
struct Named<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(rename = "_id", borrow, default)]
    old_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    currency_code: Option<Text<'a>>,
    #[serde(borrow, default)]
    payment_profile: Option<&'a RawValue>,
    #[serde(borrow, default)]
    account: Option<&'a RawValue>,
}

/// Reads an answer.
pub(super) fn read(pats: &Pats, asked: &Asked, text: &str) -> Result<Reading, Unreadable> {
    let object: Object<'_> = decode(text)?;
    let id = object.id.as_ref().or(object.old_id.as_ref());
    if checks::needed_id("id", id)? != asked.id {
        return Err(Unreadable::field("id", "is not the one that was asked for"));
    }
    let mut reading = Reading {
        event: format!("answer.{}", asked.kind),
        scope: asked.scope.clone(),
        ..Reading::default()
    };
    let status = checks::needed_id("status", object.status.as_ref())?;
    match asked.kind.as_str() {
        TRANSACTION => read_transaction(pats, asked, &object, status, &mut reading)?,
        REFUND => read_refund(pats, asked, &object, status, &mut reading)?,
        CHARGEBACK => read_chargeback(pats, asked, &object, status, &mut reading)?,
        _ => return Err(Unreadable::because("nothing of this kind is ever asked")),
    }
    Ok(reading)
}

fn read_transaction(
    pats: &Pats,
    asked: &Asked,
    object: &Object<'_>,
    status: &str,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let payment = Subject::Payment(asked.id.clone());
    let currency = currency(pats, object, None)?;
    let at = time(object, asked)?;
    name_payment(reading, &asked.id, TRANSACTION, &asked.id, true);
    let reference = object.merchant_reference.as_ref();
    if let Some(value) = reference.and_then(|Text(text)| checks::clue(text)) {
        for field in ["merchant_reference", "reference"] {
            reading.clues.push(Clue {
                payment_id: asked.id.clone(),
                field: field.to_owned(),
                value: value.to_owned(),
                version: 0,
            });
        }
    }
    let early = pats.payment_status == PaymentStatus::SettlementRequested;
    let (rank, amount) = match status {
        "SETTLEMENT_COMPLETED" => (rank::CAPTURED, paid(object)?),
        "SETTLEMENT_REQUESTED" if early => (rank::CAPTURED, paid(object)?),
        "CANCELLED" | "FAILED" | "DECLINED" | "ABANDONED" | "AUTHORIZATION_VOIDED" => {
            (rank::FAILED, 0)
        }
        _ => (rank::PENDING, 0),
    };
    let stated = said(
        fact(Class::Capture, rank, &asked.id, amount, currency),
        asked,
        at,
    );
    state(reading, &payment, stated);
    if early && matches!(status, "CANCELLED" | "FAILED") {
        let void = fact(Class::Void, rank::LIVE, &asked.id, 0, currency);
        state(reading, &payment, said(void, asked, at));
    }
    Ok(())
}

fn read_refund(
    pats: &Pats,
    asked: &Asked,
    object: &Object<'_>,
    status: &str,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let of = named("transaction", object.transaction)?;
    let payment = of.id("transaction")?;
    name_payment(reading, payment, REFUND, &asked.id, false);
    let rank = match status {
        "PROCESSED" => rank::LIVE,
        "CANCELLED" | "FAILED" => rank::UNDONE,
        _ => rank::ANNOUNCED,
    };
    let amount = checks::needed("amount", checks::amount("amount", object.amount)?)?;
    let currency = currency(pats, object, Some(&of))?;
    let stated = fact(Class::Refund, rank, &asked.id, amount, currency);
    let stated = said(stated, asked, time(object, asked)?);
    state(reading, &Subject::Payment(payment.to_owned()), stated);
    Ok(())
}

/// The answer is the better witness of what was taken and given back, and the
/// webhook's amount counts where the answer has none.
fn read_chargeback(
    pats: &Pats,
    asked: &Asked,
    object: &Object<'_>,
    status: &str,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let of = named("transaction", object.transaction)?;
    let payment = of.id("transaction")?;
    name_payment(reading, payment, CHARGEBACK, &asked.id, false);
    let about = Subject::Payment(payment.to_owned());
    let opened = pats.reverse_on == ReverseOn::Opened;
    let returned = match status {
        "WON" | "CANCELLED" => Some(true),
        "LOST" => Some(false),
        "OPEN" | "IN_DISPUTE" if opened => None,
        _ => return Ok(()),
    };
    let currency = currency(pats, object, Some(&of))?;
    let amount = checks::amount("amount", object.amount)?;
    let at = time(object, asked)?;
    let mut add = |class, rank, amount| {
        let stated = fact(class, rank, &asked.id, amount, currency);
        state(reading, &about, said(stated, asked, at));
    };
    match amount {
        Some(amount) => add(Class::DisputeTaken, rank::ENTERED, amount),
        None if pats.webhook_currency().is_none() => {
            add(Class::DisputeTaken, rank::INFERRED, WHOLE);
        }
        None => {}
    }
    match returned {
        Some(true) => add(Class::DisputeReturned, rank::ENTERED, WHOLE),
        Some(false) => add(Class::DisputeReturned, rank::ENTERED, 0),
        None => {}
    }
    Ok(())
}

/// What was paid.
fn paid(object: &Object<'_>) -> Result<Minor, Unreadable> {
    checks::needed("amount", checks::amount("amount", object.amount)?)
}

/// A fact as the API's word of when it was asked.
fn said(fact: Fact, asked: &Asked, at: Time) -> Fact {
    Fact {
        version: asked.at.ms().div_euclid(SECOND_MS),
        authority: Authority::Api,
        at,
        ..fact
    }
}

/// When the object came to be as it is.
fn time(object: &Object<'_>, asked: &Asked) -> Result<Time, Unreadable> {
    let fields = [
        ("last_status_update", object.last_status_update.as_ref()),
        ("created_at", object.created_at.as_ref()),
    ];
    let stated = fields
        .iter()
        .find_map(|(field, text)| text.map(|Text(text)| (*field, text)));
    match stated {
        None => Ok(asked.at),
        Some((field, text)) => text
            .parse::<jiff::Timestamp>()
            .map(|stamp| Time(stamp.as_millisecond()))
            .map_err(|_| Unreadable::field(field, "is not a time")),
    }
}

/// The currency of the profile, of the payment's profile, or of the source.
fn currency(
    pats: &Pats,
    object: &Object<'_>,
    payment: Option<&Named<'_>>,
) -> Result<Currency, Unreadable> {
    const FIELD: &str = "payment_profile";
    let of_payment = payment.and_then(|it| it.payment_profile.or(it.account));
    let raw = object.payment_profile.or(object.account).or(of_payment);
    let profile = named(FIELD, raw)?;
    if profile.currency_code.is_some() {
        return checks::currency(
            "payment_profile.currency_code",
            profile.currency_code.as_ref(),
        );
    }
    let by_profile = profile.id(FIELD).ok();
    let by_profile = by_profile.and_then(|id| pats.currencies.get(id).copied());
    by_profile.or(pats.currency).ok_or_else(|| {
        Unreadable::field(
            FIELD,
            "has no currency: name it in the setting `currencies`, or set `currency`",
        )
    })
}

/// Another object, of which the answer may have the id alone.
fn named<'a>(field: &str, raw: Option<&'a RawValue>) -> Result<Named<'a>, Unreadable> {
    let Some(raw) = raw.map(RawValue::get) else {
        return Ok(Named::default());
    };
    let wrong = |_| Unreadable::field(field, "is neither an id nor an object");
    match raw.as_bytes().first() {
        Some(b'{') => serde_json::from_str(raw).map_err(wrong),
        _ => Ok(Named {
            id: serde_json::from_str(raw).map_err(wrong)?,
            ..Named::default()
        }),
    }
}

impl Named<'_> {
    fn id(&self, field: &str) -> Result<&str, Unreadable> {
        checks::needed_id(field, self.id.as_ref().or(self.old_id.as_ref()))
    }
}
