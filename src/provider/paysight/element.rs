//! One element of a Paysight notification: a charge, a refund, a chargeback or
//! an alert.
//!
//! Source: Paysight's pages "Webhooks", "Tracking Sessions" and "Transactions",
//! and the transaction object of its search API, which the webhook repeats. Each
//! element stands for itself: nothing here knows that there are others.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Paysight;
use crate::money::Currency;
use crate::movement::{
    Alias, Authority, Basis, Class, Clue, Fact, Inquiry, Movement, Reading, Subject, rank,
};
use crate::provider::Unreadable;
use crate::provider::checks::{self, Text, needed};
use crate::time::{SECOND_MS, Time};

/// The kind of inquiry about a transaction.
pub const TRANSACTION: &str = "transaction";

const REFUND: i64 = 200;
const CHARGEBACK: i64 = 201;
const ALERT: i64 = 202;

/// The fields that matter; Paysight sends more.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Element<'a> {
    transaction_id: Option<&'a RawValue>,
    original_transaction_id: Option<&'a RawValue>,
    application_id: Option<&'a RawValue>,
    order_id: Option<&'a RawValue>,
    customer_id: Option<&'a RawValue>,
    sandbox: Option<bool>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    success: Option<bool>,
    #[serde(borrow)]
    sent: Option<Text<'a>>,
    #[serde(borrow)]
    completed: Option<Text<'a>>,
    #[serde(borrow)]
    currency: Option<Text<'a>>,
    amount: Option<&'a RawValue>,
    partner_session: Option<&'a RawValue>,
    paysight_session: Option<&'a RawValue>,
    email: Option<&'a RawValue>,
}

/// What an element came to.
pub enum Outcome {
    /// It states something.
    Stated,
    /// It concerns nobody here, and why.
    LeftOut(&'static str),
}

impl Element<'_> {
    /// Whether it is of the sandbox.
    pub fn sandbox(&self) -> bool {
        self.sandbox == Some(true)
    }

    /// The transaction's id.
    pub fn id(&self) -> Result<String, Unreadable> {
        let id = text("transactionId", self.transaction_id)?;
        needed("transactionId", id)
    }

    fn application(&self) -> Result<Option<i64>, Unreadable> {
        let Some(raw) = self.application_id else {
            return Ok(None);
        };
        let number = checks::scalar(raw).and_then(|text| text.parse().ok());
        let number = number.ok_or_else(|| Unreadable::field("applicationId", "is no number"))?;
        Ok(Some(number))
    }

    /// Approved and captured. A status of "Authorized" is neither, and a later
    /// notification tells what becomes of it.
    fn paid(&self) -> bool {
        let approved = match &self.status {
            Some(Text(status)) => status.eq_ignore_ascii_case("approved"),
            None => self.completed.is_some(),
        };
        approved && self.success != Some(false)
    }
}

impl Paysight {
    /// Reads an element into `reading`.
    pub(super) fn read_element(
        &self,
        element: &Element<'_>,
        authority: Authority,
        reading: &mut Reading,
    ) -> Result<Outcome, Unreadable> {
        let id = element.id()?;
        let (class, rank) = match element.application()? {
            Some(REFUND) if element.success == Some(false) => {
                return Ok(Outcome::LeftOut("the refund did not go through"));
            }
            Some(REFUND) => (Class::Refund, rank::LIVE),
            Some(CHARGEBACK) => (Class::DisputeTaken, rank::INFERRED),
            Some(ALERT) if !self.alerts => {
                return Ok(Outcome::LeftOut(
                    "an alert only says that money may go back (see the setting `alerts`)",
                ));
            }
            Some(ALERT) => (Class::Alert, rank::LIVE),
            _ if !element.paid() => {
                return Ok(Outcome::LeftOut(
                    "the transaction is not approved and captured",
                ));
            }
            _ => (Class::Capture, rank::CAPTURED),
        };
        let code = needed("currency", element.currency.as_ref())?;
        let code = Text(code.0.to_ascii_uppercase().into());
        let currency = checks::currency("currency", Some(&code))?;
        let amount = checks::decimal("amount", element.amount, currency)?;
        let amount = needed("amount", amount)?;
        if amount < 0 && class == Class::Capture {
            let why = "is negative, and this is no reversal";
            return Err(Unreadable::field("amount", why));
        }
        if amount == 0 {
            return Ok(Outcome::LeftOut("the transaction is of nothing"));
        }
        let payment = match class {
            Class::Capture => id.clone(),
            _ => {
                let original = text("originalTransactionId", element.original_transaction_id)?;
                needed("originalTransactionId", original)?
            }
        };
        let at = self.time(element)?;
        let fact = Fact {
            class,
            rank,
            amount: amount.abs(),
            ..fact(&id, authority, currency, at)
        };
        self.state(&id, &payment, fact, reading);
        // What the sale itself says of its customer goes before a reversal's
        // word, whichever comes first: hence the oldest version there is.
        let version = match class {
            Class::Capture => seconds(at),
            _ => 0,
        };
        add_clues(element, &payment, version, reading);
        Ok(Outcome::Stated)
    }

    /// States the fact, or asks the API for it where the source wants so.
    fn state(&self, id: &str, payment: &str, fact: Fact, reading: &mut Reading) {
        if fact.class == Class::Capture {
            reading.aliases.push(Alias {
                payment_id: payment.to_owned(),
                kind: TRANSACTION.to_owned(),
                id: payment.to_owned(),
                money: true,
            });
        }
        let about = Subject::Payment(payment.to_owned());
        if self.confirm && fact.authority != Authority::Api {
            reading.inquiries.push(Inquiry {
                kind: TRANSACTION.to_owned(),
                id: id.to_owned(),
                about: Some(about),
            });
            return;
        }
        reading.movements.push(Movement { about, fact });
    }

    /// When it was completed, else when it was sent. Paysight writes no zone.
    fn time(&self, element: &Element<'_>) -> Result<Time, Unreadable> {
        let mut written = [&element.completed, &element.sent]
            .into_iter()
            .flatten()
            .map(|Text(text)| text.trim())
            .filter(|text| !text.is_empty());
        let text = needed("sent", written.next())?;
        let zoneless = Time::parse(&format!("{text}Z"));
        let at = match zoneless {
            Ok(at) => Some(at.plus(-self.utc_offset_ms)),
            Err(_) => Time::parse(text).ok(),
        };
        let plausible = |at: &Time| Time::from_seconds(seconds(*at)).is_some();
        at.filter(plausible)
            .ok_or_else(|| Unreadable::field("sent", "is not a time"))
    }
}

fn seconds(at: Time) -> i64 {
    at.ms().div_euclid(SECOND_MS)
}

/// An id that may be written as a number, if there is one.
fn text(field: &str, raw: Option<&RawValue>) -> Result<Option<String>, Unreadable> {
    let Some(raw) = raw else {
        return Ok(None);
    };
    let id = checks::scalar(raw).ok_or_else(|| Unreadable::field(field, "is no id"))?;
    checks::plain_id(field, &id)?;
    Ok(Some(id))
}

fn fact(id: &str, authority: Authority, currency: Currency, at: Time) -> Fact {
    Fact {
        class: Class::Capture,
        id: id.to_owned(),
        basis: Basis::Each,
        rank: rank::PENDING,
        version: seconds(at),
        authority,
        amount: 0,
        currency,
        at,
        partial_capture: false,
        product_key: None,
        category_key: None,
    }
}

/// What lookup rules may use. The partner's session goes by two names: only the
/// one that a rule has to ask for by name is a customer key as it stands.
fn add_clues(element: &Element<'_>, payment: &str, version: i64, reading: &mut Reading) {
    let values = [
        ("session", element.partner_session),
        ("partnerSession", element.partner_session),
        ("paysight_session", element.paysight_session),
        ("customer", element.customer_id),
        ("order", element.order_id),
        ("email", element.email),
    ];
    for (field, raw) in values {
        let value = raw.and_then(checks::scalar);
        if let Some(value) = value.as_deref().and_then(checks::clue) {
            reading.clues.push(Clue {
                payment_id: payment.to_owned(),
                field: field.to_owned(),
                value: value.to_owned(),
                version,
            });
        }
    }
}
