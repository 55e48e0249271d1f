//! What an XML notification means.
//!
//! Source: Recurly's documentation, "Webhooks", payment notifications. The name
//! of the root element is the event. Amounts name no currency, which is the
//! source's or else asked for, and a refund names only an invoice; both are said
//! where they matter below.

use sha2::{Digest as _, Sha256};

use super::xml::Element;
use super::{EVENTS, Recurly, WORD_BYTES_MAX, is_word, thin};
use crate::money::{Currency, LARGEST_MINOR, Minor};
use crate::movement::{
    Alias, Authority, Basis, Class, Clue, Fact, Inquiry, Movement, Reading, Scope, Subject, rank,
};
use crate::provider::Unreadable;
use crate::time::{SECOND_MS, Time};

/// Subscriptions named in one transaction. One invoice can renew many.
const SUBSCRIPTIONS_MAX: usize = 1_000;

/// Hexadecimal digits of a derived delivery id: 128 bits.
const ID_DIGITS: usize = 32;

/// The year 2200, as for every other time here.
const LATEST_SECONDS: i64 = 7_258_118_400;

/// Reads a notification.
pub fn read(recurly: &Recurly, root: &Element) -> Result<Reading, Unreadable> {
    let event = root.name.as_str();
    if event.len() > WORD_BYTES_MAX || !event.bytes().all(is_word) {
        return Err(Unreadable::because(
            "the root element is not the name of a notification",
        ));
    }
    if !EVENTS.contains(&event) {
        let mut reading = Reading::ignored(event, foreign(event));
        // Nothing in what is ignored can make it unreadable.
        if let Ok(Some(element)) = root.child("transaction", "transaction") {
            reading.delivery_id = delivery_id(event, element).unwrap_or_default();
            reading.scope = scope(element).unwrap_or_default();
        }
        return Ok(reading);
    }
    let element = needed("transaction", root.child("transaction", "transaction")?)?;
    let mut reading = Reading {
        delivery_id: delivery_id(event, element)?,
        event: event.to_owned(),
        scope: scope(element)?,
        ..Reading::default()
    };
    let outcome = outcome(event, element)?;
    if let Outcome::Nothing(why) = outcome {
        reading.ignored = Some(why.to_owned());
        return Ok(reading);
    }
    let Some(currency) = recurly.currency else {
        reading.inquiries.push(inquiry(&outcome, element)?);
        return Ok(reading);
    };
    let transaction = transaction(recurly, currency, element)?;
    match outcome {
        Outcome::Taken => take(&transaction, root, &mut reading)?,
        Outcome::Undone { failed } => undo(&transaction, failed, &mut reading),
        Outcome::GivenBack { rank } => give_back(&transaction, rank, &mut reading),
        Outcome::Nothing(_) => {}
    }
    Ok(reading)
}

/// The question that stands for an amount whose currency nobody told. The
/// answer also says which payment a refund is of.
fn inquiry(outcome: &Outcome, element: &Element) -> Result<Inquiry, Unreadable> {
    let id = needed("transaction.id", element.value_of("transaction.id", "id")?)?;
    let is_payment = matches!(outcome, Outcome::Taken | Outcome::Undone { .. });
    Ok(thin::inquiry(id, is_payment))
}

/// Why a notification is not looked into.
fn foreign(event: &str) -> &'static str {
    match event {
        "failed_payment_notification" => {
            "the attempt took no money, and it undoes no payment that went through"
        }
        "scheduled_payment_notification" | "processing_payment_notification" => {
            "the money is under way; another notification follows once it went through"
        }
        "transaction_authorized_notification" => {
            "the amount was only authorised; no money has moved yet"
        }
        "fraud_info_updated_notification" => "what is known of a fraud risk changed, and no money",
        _ if event.contains("invoice") => {
            "an invoice says what is owed; the money is told by payment notifications"
        }
        _ if event.contains("account") || event.contains("billing_info") => {
            "every payment names its account by itself, so nothing is needed from this"
        }
        _ => "notifications of this type say nothing about payments or refunds",
    }
}

/// What became of the money.
enum Outcome {
    /// The customer paid.
    Taken,
    /// A payment was undone as a whole; `failed`: it never came to be.
    Undone { failed: bool },
    /// A refund, at this rank.
    GivenBack { rank: u8 },
    /// Nothing, for this reason.
    Nothing(&'static str),
}

/// Whether a transaction takes money or gives it back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Purchase,
    Credit,
}

fn outcome(event: &str, element: &Element) -> Result<Outcome, Unreadable> {
    let lower = |path: &str, name: &str| {
        let word = needed(path, element.value_of(path, name)?)?;
        Ok(word.to_ascii_lowercase())
    };
    let action = match lower("transaction.action", "action")?.as_str() {
        "purchase" | "capture" => Action::Purchase,
        "credit" | "refund" => Action::Credit,
        _ => {
            let why = "the transaction neither takes money nor gives it back";
            return Ok(Outcome::Nothing(why));
        }
    };
    let status = lower("transaction.status", "status")?;
    let updated = event == "transaction_status_updated_notification";
    let outcome = match (action, status.as_str()) {
        (Action::Purchase, "success") => Outcome::Taken,
        (Action::Purchase, "void") => Outcome::Undone { failed: false },
        (Action::Purchase, "declined") if updated => Outcome::Undone { failed: true },
        // A lost chargeback may come as a refund with a status of its own.
        (Action::Credit, "success" | "chargeback") => Outcome::GivenBack { rank: rank::LIVE },
        (Action::Credit, "void" | "declined") => Outcome::GivenBack { rank: rank::UNDONE },
        (_, "pending" | "processing" | "scheduled") if updated => {
            return Ok(Outcome::Nothing("the money is still under way"));
        }
        _ => {
            return Err(Unreadable::field(
                "transaction.status",
                "does not go with this notification",
            ));
        }
    };
    let fits = match event {
        "successful_payment_notification" => matches!(outcome, Outcome::Taken),
        "successful_refund_notification" => {
            matches!(outcome, Outcome::GivenBack { rank: rank::LIVE })
        }
        "void_payment_notification" => matches!(
            outcome,
            Outcome::Undone { .. } | Outcome::GivenBack { rank: rank::UNDONE }
        ),
        _ => true,
    };
    match fits {
        true => Ok(outcome),
        false => Err(Unreadable::field(
            "transaction",
            "has an action or a status that does not go with this notification",
        )),
    }
}

/// A transaction about money, checked.
struct Transaction<'e> {
    id: &'e str,
    invoice: Option<&'e str>,
    /// With its prefix, as people read it.
    invoice_number: Option<String>,
    subscriptions: Vec<&'e str>,
    amount: Minor,
    currency: Currency,
    at: Time,
}

fn transaction<'e>(
    recurly: &Recurly,
    currency: Currency,
    element: &'e Element,
) -> Result<Transaction<'e>, Unreadable> {
    let id = element.value_of("transaction.id", "id")?;
    let cents = element.value_of(AMOUNT, "amount_in_cents")?;
    let date = element.value_of("transaction.date", "date")?;
    let prefix = element.value_of("transaction.invoice_number_prefix", "invoice_number_prefix")?;
    let number = element.value_of("transaction.invoice_number", "invoice_number")?;
    Ok(Transaction {
        id: needed("transaction.id", id)?,
        invoice: element.value_of("transaction.invoice_id", "invoice_id")?,
        invoice_number: number.map(|number| format!("{}{number}", prefix.unwrap_or_default())),
        subscriptions: subscriptions(element)?,
        amount: recurly.minor(AMOUNT, cents_of(needed(AMOUNT, cents)?)?, currency)?,
        currency,
        at: moment(needed("transaction.date", date)?)?,
    })
}

const AMOUNT: &str = "transaction.amount_in_cents";

/// Plain digits. A sign would say more than Recurly documents: refunds are
/// positive, and their notification says what they are.
fn cents_of(text: &str) -> Result<Minor, Unreadable> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Unreadable::field(AMOUNT, "is not a whole number of cents"));
    }
    match text.parse() {
        Ok(cents) if cents <= LARGEST_MINOR => Ok(cents),
        _ => Err(Unreadable::field(AMOUNT, "is larger than any payment")),
    }
}

fn moment(text: &str) -> Result<Time, Unreadable> {
    let at = Time::parse(text).ok();
    at.filter(|at| (0..=LATEST_SECONDS).contains(&(at.ms() / SECOND_MS)))
        .ok_or_else(|| Unreadable::field("transaction.date", "is not a time"))
}

/// The ids in `subscription_id` and in the list `subscription_ids`, once each.
fn subscriptions(element: &Element) -> Result<Vec<&str>, Unreadable> {
    let path = "transaction.subscription_ids";
    let single = element.value_of("transaction.subscription_id", "subscription_id")?;
    let mut ids: Vec<&str> = single.into_iter().collect();
    let list = element.child(path, "subscription_ids")?;
    for listed in list.iter().flat_map(|list| list.all("subscription_id")) {
        if let Some(id) = listed.value(path)?
            && single != Some(id)
        {
            ids.push(id);
        }
        if ids.len() > SUBSCRIPTIONS_MAX {
            return Err(Unreadable::field(path, "lists more than 1000"));
        }
    }
    Ok(ids)
}

impl Transaction<'_> {
    /// A fact that carries this transaction's own id.
    fn fact(&self, class: Class, rank: u8, version: i64) -> Fact {
        Fact {
            class,
            id: self.id.to_owned(),
            basis: Basis::Each,
            rank,
            version,
            authority: Authority::Webhook,
            amount: self.amount,
            currency: self.currency,
            at: self.at,
            partial_capture: false,
            product_key: None,
            category_key: None,
        }
    }

    /// The transaction's time in seconds, which orders what is said of it.
    fn version(&self) -> i64 {
        self.at.ms() / SECOND_MS
    }

    fn alias(&self, kind: &str, id: &str, money: bool) -> Alias {
        Alias {
            payment_id: self.id.to_owned(),
            kind: kind.to_owned(),
            id: id.to_owned(),
            money,
        }
    }
}

/// A payment that went through, at once or at last.
fn take(
    transaction: &Transaction<'_>,
    root: &Element,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    reading.movements.push(Movement {
        about: Subject::Payment(transaction.id.to_owned()),
        fact: transaction.fact(Class::Capture, rank::CAPTURED, 0),
    });
    let aliases = &mut reading.aliases;
    aliases.push(transaction.alias("transaction", transaction.id, true));
    // Only payments that went through carry their invoice: a refund that names
    // it must not meet the attempts before.
    aliases.extend(
        transaction
            .invoice
            .map(|id| transaction.alias("invoice", id, false)),
    );
    let number = transaction.invoice_number.as_deref();
    aliases.extend(number.map(|id| transaction.alias("invoice_number", id, false)));
    for id in &transaction.subscriptions {
        let alias = transaction.alias("subscription", id, false);
        if !aliases.contains(&alias) {
            aliases.push(alias);
        }
    }
    let Some(account) = root.child("account", "account")? else {
        return Ok(());
    };
    let code = account.value_of("account.account_code", "account_code")?;
    let email = account.value_of("account.email", "email")?;
    for (field, value) in [("account_code", code), ("account", code), ("email", email)] {
        reading.clues.extend(value.map(|value| Clue {
            payment_id: transaction.id.to_owned(),
            field: field.to_owned(),
            value: value.to_owned(),
            version: transaction.version(),
        }));
    }
    Ok(())
}

/// A payment that was undone as a whole, under its own id. One that failed at
/// last says so as well, so that it does not wait for money that never comes;
/// a success told before or after outranks that, and the void still stands.
fn undo(transaction: &Transaction<'_>, failed: bool, reading: &mut Reading) {
    let about = Subject::Payment(transaction.id.to_owned());
    if failed {
        reading.movements.push(Movement {
            about: about.clone(),
            fact: transaction.fact(Class::Capture, rank::FAILED, 0),
        });
    }
    reading.movements.push(Movement {
        about,
        fact: transaction.fact(Class::Void, rank::LIVE, transaction.version()),
    });
}

/// A refund. It has a transaction of its own and names no payment, so it looks
/// for the payment of its invoice.
fn give_back(transaction: &Transaction<'_>, rank: u8, reading: &mut Reading) {
    let number = transaction.invoice_number.as_deref();
    let by_id = transaction.invoice.map(|id| ("invoice", id));
    let invoice = by_id.or(number.map(|number| ("invoice_number", number)));
    let why = match (invoice, transaction.amount) {
        (None, _) => "the refund names no invoice, so it cannot be told which payment it is of",
        (_, 0) => "the refund is of nothing",
        (Some((kind, id)), _) => {
            let (kind, id) = (kind.to_owned(), id.to_owned());
            reading.movements.push(Movement {
                about: Subject::Reference { kind, id },
                fact: transaction.fact(Class::Refund, rank, transaction.version()),
            });
            return;
        }
    };
    reading.ignored = Some(why.to_owned());
}

/// Where the ids live: a transaction of a test gateway says so.
fn scope(element: &Element) -> Result<Scope, Unreadable> {
    let live = match element.value_of("transaction.test", "test")? {
        None => None,
        Some("true") => Some(false),
        Some("false") => Some(true),
        Some(_) => {
            let why = "is neither true nor false";
            return Err(Unreadable::field("transaction.test", why));
        }
    };
    Ok(Scope {
        live,
        account: String::new(),
    })
}

/// XML carries no id of the delivery. One made of what the notification says
/// is the same for a resend, and another one for a void of the same payment.
fn delivery_id(event: &str, element: &Element) -> Result<Option<String>, Unreadable> {
    let Some(id) = element.value_of("transaction.id", "id")? else {
        return Ok(None);
    };
    let status = element.value_of("transaction.status", "status")?;
    let amount = element.value_of(AMOUNT, "amount_in_cents")?;
    let (status, amount) = (status.unwrap_or_default(), amount.unwrap_or_default());
    // No value holds a line end, so the parts cannot run into each other.
    let digest = Sha256::digest([event, id, status, amount].join("\n"));
    let digits: String = hex::encode(digest).chars().take(ID_DIGITS).collect();
    Ok(Some(format!("recurly-{digits}")))
}

/// What must be there.
fn needed<T>(path: &str, value: Option<T>) -> Result<T, Unreadable> {
    value.ok_or_else(|| Unreadable::field(path, "is missing"))
}

#[cfg(test)]
#[path = "notification_tests.rs"]
mod tests;
