//! A transaction as Recurly's API answers it.
//!
//! Source: the OpenAPI description of Recurly's API, version 2021-02-25, the
//! Transaction. It says what holds now and not what happened, so a payment that
//! was voided before anybody asked is stated whole: that it was taken and that
//! it was undone.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::thin::{TRANSACTION, UUID};
use crate::money::{Currency, Minor};
use crate::movement::{
    Alias, Authority, Basis, Class, Clue, Fact, Inquiry, Movement, Reading, Subject, rank,
};
use crate::provider::checks::{self, Text};
use crate::provider::{Asked, Unreadable};
use crate::time::{SECOND_MS, Time};

/// The kind of alias under which a payment carries its short id, by which
/// refunds name it.
const SHORT_ID: &str = "id";

/// Subscriptions named in one transaction, as in a notification.
const SUBSCRIPTIONS_MAX: usize = 1_000;

/// The fields that are read.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    uuid: Option<Text<'a>>,
    #[serde(borrow)]
    original_transaction_id: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    currency: Option<Text<'a>>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    #[serde(borrow)]
    account: Option<Account<'a>>,
    #[serde(borrow)]
    invoice: Option<Invoice<'a>>,
    #[serde(borrow)]
    subscription_ids: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    collected_at: Option<Text<'a>>,
    #[serde(borrow)]
    created_at: Option<Text<'a>>,
    #[serde(borrow)]
    updated_at: Option<Text<'a>>,
    #[serde(borrow)]
    voided_at: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Account<'a> {
    #[serde(borrow)]
    code: Option<Text<'a>>,
    #[serde(borrow)]
    email: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Invoice<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    /// A text; notifications have it as a number.
    #[serde(borrow)]
    number: Option<&'a RawValue>,
}

/// Where a transaction stands.
enum Standing {
    /// A payment whose money is under way.
    UnderWay,
    /// A payment that went through.
    Taken,
    /// A payment that went through and was undone before it was settled.
    Voided,
    /// A payment that failed, at once or at last.
    Failed,
    /// A refund, at this rank.
    GivenBack(u8),
}

/// A transaction about money, checked.
struct Transaction<'a> {
    /// The long id, which the notifications in XML call the id.
    uuid: &'a str,
    /// The short id.
    id: Option<&'a str>,
    original: Option<&'a str>,
    amount: Minor,
    currency: Currency,
    /// When the money moved.
    at: Time,
    /// When it was undone.
    undone_at: Time,
    /// The time of its last change in seconds.
    version: i64,
}

/// Reads the answer to what was asked.
pub fn read(asked: &Asked, body: &str) -> Result<Reading, Unreadable> {
    if asked.kind != TRANSACTION {
        return Err(Unreadable::because("nothing of this kind is ever asked"));
    }
    let answer: Answer<'_> = serde_json::from_str(body)
        .map_err(|_| Unreadable::because("the answer is not a transaction of Recurly's"))?;
    let event = "inquiry.transaction";
    let Some(standing) = standing(&answer)? else {
        let why = "the transaction neither takes money nor gives it back";
        let ignored = Reading::ignored(event, why);
        let scope = asked.scope.clone();
        return Ok(Reading { scope, ..ignored });
    };
    let transaction = transaction(&answer)?;
    let is_it = match asked.id.strip_prefix(UUID) {
        Some(uuid) => uuid == transaction.uuid,
        None => Some(asked.id.as_str()) == transaction.id,
    };
    if !is_it {
        return Err(Unreadable::field("id", "is not the one that was asked for"));
    }
    let mut reading = Reading {
        event: event.to_owned(),
        scope: asked.scope.clone(),
        ..Reading::default()
    };
    match standing {
        Standing::GivenBack(rank) => give_back(&transaction, rank, &mut reading),
        Standing::UnderWay => take(&transaction, rank::PENDING, &mut reading),
        Standing::Taken => take(&transaction, rank::CAPTURED, &mut reading),
        Standing::Voided => {
            take(&transaction, rank::CAPTURED, &mut reading);
            undo(&transaction, &mut reading);
        }
        // Only notifications of success and of late changes raise the question,
        // so what has failed meanwhile is undone, as in XML.
        Standing::Failed => {
            take(&transaction, rank::FAILED, &mut reading);
            undo(&transaction, &mut reading);
        }
    }
    if !matches!(standing, Standing::GivenBack(_)) {
        name(&transaction, &answer, &mut reading)?;
    }
    Ok(reading)
}

/// `None` where it is not about money.
fn standing(answer: &Answer<'_>) -> Result<Option<Standing>, Unreadable> {
    let kind = checks::needed_id("type", answer.kind.as_ref())?;
    let status = checks::needed_id("status", answer.status.as_ref())?;
    let standing = match (kind, status) {
        ("authorization" | "verify", _) => return Ok(None),
        ("purchase" | "capture", "success") => Standing::Taken,
        ("purchase" | "capture", "void") => Standing::Voided,
        ("purchase" | "capture", "declined" | "error") => Standing::Failed,
        ("purchase" | "capture", "pending" | "processing" | "scheduled") => Standing::UnderWay,
        // A lost chargeback may stand there as a refund with a status of its own.
        ("refund", "success" | "chargeback") => Standing::GivenBack(rank::LIVE),
        ("refund", "void" | "declined" | "error") => Standing::GivenBack(rank::UNDONE),
        ("refund", "pending" | "processing" | "scheduled") => Standing::GivenBack(rank::ANNOUNCED),
        _ => {
            let why = "does not go with the type of the transaction";
            return Err(Unreadable::field("status", why));
        }
    };
    Ok(Some(standing))
}

fn transaction<'a>(answer: &'a Answer<'_>) -> Result<Transaction<'a>, Unreadable> {
    let currency = checks::currency("currency", answer.currency.as_ref())?;
    let amount = checks::decimal("amount", answer.amount, currency)?;
    let amount = checks::needed("amount", amount)?;
    let original = answer.original_transaction_id.as_ref();
    let created = moment("created_at", answer.created_at.as_ref())?;
    let created = checks::needed("created_at", created)?;
    let collected = moment("collected_at", answer.collected_at.as_ref())?;
    let updated = moment("updated_at", answer.updated_at.as_ref())?.unwrap_or(created);
    Ok(Transaction {
        uuid: checks::needed_id("uuid", answer.uuid.as_ref())?,
        id: checks::id("id", answer.id.as_ref())?,
        original: checks::id("original_transaction_id", original)?,
        amount: match amount < 0 {
            // Recurly's lists show what was given back as negative.
            true if original.is_some() => -amount,
            true => return Err(Unreadable::field("amount", "is negative")),
            false => amount,
        },
        currency,
        at: collected.unwrap_or(created),
        undone_at: moment("voided_at", answer.voided_at.as_ref())?.unwrap_or(updated),
        version: updated.ms() / SECOND_MS,
    })
}

fn moment(path: &str, text: Option<&Text<'_>>) -> Result<Option<Time>, Unreadable> {
    let Some(Text(text)) = text else {
        return Ok(None);
    };
    let at = Time::parse(text).ok();
    at.filter(|at| Time::from_seconds(at.ms() / SECOND_MS).is_some() && at.ms() >= 0)
        .map(Some)
        .ok_or_else(|| Unreadable::field(path, "is not a time"))
}

impl Transaction<'_> {
    fn fact(&self, class: Class, rank: u8, at: Time) -> Fact {
        Fact {
            class,
            id: self.uuid.to_owned(),
            basis: Basis::Each,
            rank,
            version: self.version,
            authority: Authority::Api,
            amount: self.amount,
            currency: self.currency,
            at,
            partial_capture: false,
            product_key: None,
            category_key: None,
        }
    }

    fn payment(&self) -> Subject {
        Subject::Payment(self.uuid.to_owned())
    }
}

fn take(transaction: &Transaction<'_>, rank: u8, reading: &mut Reading) {
    reading.movements.push(Movement {
        about: transaction.payment(),
        fact: transaction.fact(Class::Capture, rank, transaction.at),
    });
}

fn undo(transaction: &Transaction<'_>, reading: &mut Reading) {
    reading.movements.push(Movement {
        about: transaction.payment(),
        fact: transaction.fact(Class::Void, rank::LIVE, transaction.undone_at),
    });
}

/// A refund, which names its payment by the short id. Payments that were told
/// by XML do not carry it, so the payment is asked about as well.
fn give_back(transaction: &Transaction<'_>, rank: u8, reading: &mut Reading) {
    let why = match (transaction.original, transaction.amount) {
        (None, _) => "the refund names no payment; state it with the payment it is of",
        (_, 0) => "the refund is of nothing",
        (Some(original), _) => {
            let about = Subject::Reference {
                kind: SHORT_ID.to_owned(),
                id: original.to_owned(),
            };
            let at = match rank {
                rank::UNDONE => transaction.undone_at,
                _ => transaction.at,
            };
            reading.movements.push(Movement {
                about: about.clone(),
                fact: transaction.fact(Class::Refund, rank, at),
            });
            reading.inquiries.push(Inquiry {
                kind: TRANSACTION.to_owned(),
                id: original.to_owned(),
                about: Some(about),
            });
            return;
        }
    };
    reading.ignored = Some(why.to_owned());
}

/// The other ids of a payment, and what lookup rules may use.
fn name(
    transaction: &Transaction<'_>,
    answer: &Answer<'_>,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let mut alias = |kind: &str, id: Option<&str>, money: bool| {
        let alias = id.map(|id| Alias {
            payment_id: transaction.uuid.to_owned(),
            kind: kind.to_owned(),
            id: id.to_owned(),
            money,
        });
        if let Some(alias) = alias.filter(|alias| !reading.aliases.contains(alias)) {
            reading.aliases.push(alias);
        }
    };
    alias("transaction", Some(transaction.uuid), true);
    alias(SHORT_ID, transaction.id, true);
    let took = |movement: &Movement| {
        let fact = &movement.fact;
        (fact.class, fact.rank) == (Class::Capture, rank::CAPTURED)
    };
    // Only payments that went through carry their invoice: a refund that names
    // it must not meet the attempts before.
    if let Some(invoice) = &answer.invoice
        && reading.movements.iter().any(took)
    {
        let id = checks::id("invoice.id", invoice.id.as_ref())?;
        let number = invoice.number.and_then(checks::scalar);
        let number = number.as_deref().and_then(checks::clue);
        alias("invoice", id, false);
        alias("invoice_number", number, false);
    }
    let path = "subscription_ids";
    let subscriptions = answer.subscription_ids.as_deref().unwrap_or_default();
    if subscriptions.len() > SUBSCRIPTIONS_MAX {
        return Err(Unreadable::field(path, "lists more than 1000"));
    }
    for id in subscriptions {
        alias("subscription", checks::id(path, Some(id))?, false);
    }
    let account = answer.account.as_ref();
    let code = account.and_then(|account| account.code.as_ref());
    let email = account.and_then(|account| account.email.as_ref());
    for (field, value) in [("account_code", code), ("account", code), ("email", email)] {
        let value = value.and_then(|Text(value)| checks::clue(value));
        reading.clues.extend(value.map(|value| Clue {
            payment_id: transaction.uuid.to_owned(),
            field: field.to_owned(),
            value: value.to_owned(),
            version: transaction.version,
        }));
    }
    Ok(())
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
