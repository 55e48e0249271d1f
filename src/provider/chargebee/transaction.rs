//! Transactions: payments, refunds and reversals of payments.
//!
//! Source: Chargebee API reference, the transaction object and the pages of the
//! events that carry it, with the types of the official SDKs. A transaction is
//! read as what it is now, whatever the event is called. Nothing here adds up;
//! `position` does.

use crate::money::{Currency, Minor};
use crate::movement::{Alias, Authority, Basis, Class, Fact, Movement, Reading, Subject, rank};
use crate::provider::Unreadable;
use crate::provider::checks;
use crate::time::Time;

use super::customer::{self, usable};
use super::objects::{Content, Invoice, Text, Transaction};
use super::{Chargebee, Event};

/// Invoices that one payment may pay, of which the ids are kept; a payment of
/// more than this is no payment of a subscription.
const INVOICES_MAX: usize = 1_000;

/// The kinds of ids by which a reversal may name its payment.
const INVOICE: &str = "invoice";
const REFUND: &str = "refund";

const ID: &str = "content.transaction.id";
const AMOUNT: &str = "content.transaction.amount";

/// What every kind of transaction says, checked.
struct Stated<'t> {
    id: &'t str,
    kind: &'t str,
    status: &'t str,
    deleted: bool,
    amount: Option<Minor>,
    currency: Option<Currency>,
    date: Option<Time>,
    version: i64,
}

/// Reads the transaction of an event.
pub fn read(
    chargebee: &Chargebee,
    event: &Event<'_>,
    content: &Content<'_>,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let transaction = checks::needed("content.transaction", content.transaction.as_ref())?;
    let stated = stated(event, transaction)?;
    match stated.kind {
        "payment" => read_payment(chargebee, event, content, transaction, &stated, reading),
        "refund" => read_refund(event, content, transaction, &stated, reading),
        "payment_reversal" => read_reversal(event, transaction, &stated, reading),
        "authorization" => ignore(reading, "an authorisation moves no money"),
        _ => ignore(reading, "the transaction is of a type that is not read"),
    }
}

fn stated<'t>(
    event: &Event<'_>,
    transaction: &'t Transaction<'_>,
) -> Result<Stated<'t>, Unreadable> {
    let id = checks::id(ID, transaction.id.as_ref())?;
    let word = |text: &'t Option<Text<'_>>| text.as_ref().map(|Text(word)| word.as_ref());
    // Both are documented, the status as optional; the name of the event says
    // what a transaction that leaves them out must be.
    let (kind, status) = match event.name {
        "payment_succeeded" => (Some("payment"), "success"),
        "payment_refunded" => (Some("refund"), "success"),
        "refund_initiated" => (Some("refund"), "in_progress"),
        "payment_failed" => (Some("payment"), "failure"),
        _ => (None, ""),
    };
    let code = transaction.currency_code.as_ref();
    Ok(Stated {
        id: checks::needed(ID, id)?,
        kind: checks::needed("content.transaction.type", word(&transaction.kind).or(kind))?,
        status: word(&transaction.status).unwrap_or(status),
        deleted: event.name == "transaction_deleted" || transaction.deleted == Some(true),
        amount: checks::amount(AMOUNT, transaction.amount)?,
        currency: code
            .map(|code| checks::currency("content.transaction.currency_code", Some(code)))
            .transpose()?,
        date: checks::time("content.transaction.date", transaction.date)?,
        // Milliseconds in both cases, so that the two can be compared.
        version: transaction.resource_version.unwrap_or(event.at.ms()),
    })
}

fn ignore(reading: &mut Reading, why: &str) -> Result<(), Unreadable> {
    reading.ignored = Some(why.to_owned());
    Ok(())
}

fn read_payment(
    chargebee: &Chargebee,
    event: &Event<'_>,
    content: &Content<'_>,
    transaction: &Transaction<'_>,
    stated: &Stated<'_>,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    match stated.status {
        // Undone counts even where offline payments do not: this one may have
        // been forwarded before the setting was changed.
        _ if stated.deleted => void(event, stated, stated.id, reading),
        "voided" | "late_failure" => void(event, stated, stated.id, reading),
        "success" if offline(transaction) && !chargebee.offline_payments => ignore(
            reading,
            "the payment was made offline, and offline_payments is false",
        ),
        "success" => capture(event, content, transaction, stated, reading),
        "failure" => ignore(
            reading,
            "no money was taken, so there is nothing to count and nothing to give back",
        ),
        "in_progress" | "timeout" | "needs_attention" => ignore(
            reading,
            "the payment is under way; payment_succeeded follows if it goes through",
        ),
        _ => ignore(reading, "the payment has a status that is not read"),
    }
}

/// Whether somebody wrote the payment down that no gateway made.
fn offline(transaction: &Transaction<'_>) -> bool {
    let word = |text: &Option<Text<'_>>, words: &[&str]| {
        let word = text.as_ref().map(|Text(word)| word.as_ref());
        word.map(|word| words.contains(&word))
    };
    let by_hand = ["cash", "check", "bank_transfer", "other"];
    word(&transaction.gateway, &["not_applicable"])
        .or_else(|| word(&transaction.payment_method, &by_hand))
        .unwrap_or(false)
}

/// A fact of the transaction itself. The currency must be there, and the amount
/// unless the fact says that it does not count any more.
fn fact(stated: &Stated<'_>, class: Class, rank: u8, at: Time) -> Result<Fact, Unreadable> {
    let undone = class == Class::Void || (class == Class::Refund && rank == rank::UNDONE);
    Ok(Fact {
        class,
        id: stated.id.to_owned(),
        basis: Basis::Each,
        rank,
        version: stated.version,
        authority: Authority::Webhook,
        amount: checks::needed(AMOUNT, stated.amount.or(undone.then_some(0)))?,
        currency: checks::needed("content.transaction.currency_code", stated.currency)?,
        at,
        partial_capture: false,
        product_key: None,
        category_key: None,
    })
}

fn state(reading: &mut Reading, about: Subject, fact: Fact) {
    reading.movements.push(Movement { about, fact });
}

/// Money was taken.
fn capture(
    event: &Event<'_>,
    content: &Content<'_>,
    transaction: &Transaction<'_>,
    stated: &Stated<'_>,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let at = stated.date.unwrap_or(event.at);
    let fact = Fact {
        // What was taken does not change, so no statement of it is newer.
        version: 0,
        product_key: content.invoice.as_ref().and_then(plan),
        ..fact(stated, Class::Capture, rank::CAPTURED, at)?
    };
    state(reading, Subject::Payment(stated.id.to_owned()), fact);
    name_payment(content, transaction, stated.id, reading)?;
    let customer = content.customer.as_ref();
    let own = customer.and_then(|customer| customer.id.as_ref());
    let own = checks::id("content.customer.id", own)?;
    let named = transaction.customer_id.as_ref();
    let named = checks::id("content.transaction.customer_id", named)?;
    customer::clues(event, stated.id, customer, own.or(named), reading);
    Ok(())
}

/// The plan of the invoice's first line.
fn plan(invoice: &Invoice<'_>) -> Option<String> {
    let line = invoice.line_items.as_ref()?.first()?;
    let Text(entity) = line.entity_type.as_ref()?;
    let Text(id) = line.entity_id.as_ref()?;
    let id = id.trim();
    (entity.starts_with("plan") && usable(id)).then(|| id.to_owned())
}

/// The ids of a payment.
fn name_payment(
    content: &Content<'_>,
    transaction: &Transaction<'_>,
    id: &str,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    alias(reading, id, "transaction", id, true);
    let gateway = transaction.gateway.as_ref();
    let gateway = checks::id("content.transaction.gateway", gateway)?;
    let there = transaction.id_at_gateway.as_ref();
    let there = checks::id("content.transaction.id_at_gateway", there)?;
    if let (Some(gateway), Some(there)) = (gateway, there) {
        alias(reading, id, "gateway", &format!("{gateway}:{there}"), true);
    }
    let linked = transaction.linked_invoices.as_deref().unwrap_or_default();
    if linked.len() > INVOICES_MAX {
        return Err(Unreadable::field(
            "content.transaction.linked_invoices",
            "lists more than 1000 invoices",
        ));
    }
    for (index, invoice) in linked.iter().enumerate() {
        let path = format!("content.transaction.linked_invoices[{index}].invoice_id");
        if let Some(invoice) = checks::id(&path, invoice.invoice_id.as_ref())? {
            alias(reading, id, INVOICE, invoice, false);
        }
    }
    if let Some(invoice) = own_invoice(content)? {
        alias(reading, id, INVOICE, invoice, false);
    }
    Ok(())
}

fn own_invoice<'c>(content: &'c Content<'_>) -> Result<Option<&'c str>, Unreadable> {
    let invoice = content.invoice.as_ref();
    checks::id(
        "content.invoice.id",
        invoice.and_then(|invoice| invoice.id.as_ref()),
    )
}

/// Adds an alias of `payment_id` unless it is there.
fn alias(reading: &mut Reading, payment_id: &str, kind: &str, id: &str, money: bool) {
    let alias = Alias {
        payment_id: payment_id.to_owned(),
        kind: kind.to_owned(),
        id: id.to_owned(),
        money,
    };
    if !reading.aliases.contains(&alias) {
        reading.aliases.push(alias);
    }
}

/// The whole of `payment` was undone.
fn void(
    event: &Event<'_>,
    stated: &Stated<'_>,
    payment: &str,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    // The transaction's own date is that of the sale, or of nothing.
    let fact = fact(stated, Class::Void, rank::LIVE, event.at)?;
    state(reading, Subject::Payment(payment.to_owned()), fact);
    Ok(())
}

/// Reads a reversal: a bank took back what it had paid.
fn read_reversal(
    event: &Event<'_>,
    transaction: &Transaction<'_>,
    stated: &Stated<'_>,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let unmade = matches!(
        stated.status,
        "voided" | "in_progress" | "timeout" | "needs_attention"
    );
    if stated.deleted || unmade {
        return ignore(
            reading,
            "the reversal has not gone through, so the payment stands",
        );
    }
    let named = transaction.reference_transaction_id.as_ref();
    let named = checks::id("content.transaction.reference_transaction_id", named)?;
    let linked = transaction.linked_payments.as_deref().unwrap_or_default();
    let linked = match linked {
        [only] => checks::id(
            "content.transaction.linked_payments[0].id",
            only.id.as_ref(),
        )?,
        _ => None,
    };
    match named.or(linked) {
        Some(payment) => void(event, stated, payment, reading),
        None => ignore(reading, "the reversal does not name the payment it undoes"),
    }
}

fn read_refund(
    event: &Event<'_>,
    content: &Content<'_>,
    transaction: &Transaction<'_>,
    stated: &Stated<'_>,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let Some(rank) = refund_rank(stated) else {
        return ignore(reading, "the refund has a status that is not read");
    };
    let at = match rank {
        rank::UNDONE => event.at,
        _ => stated.date.unwrap_or(event.at),
    };
    let fact = fact(stated, Class::Refund, rank, at)?;
    if fact.amount == 0 && rank != rank::UNDONE {
        return ignore(reading, "the refund is of nothing");
    }
    let payment = transaction.refunded_txn_id.as_ref();
    let payment = checks::id("content.transaction.refunded_txn_id", payment)?;
    let about = match payment {
        Some(payment) => {
            // A refund that is deleted later no longer names its payment.
            alias(reading, payment, REFUND, stated.id, false);
            Subject::Payment(payment.to_owned())
        }
        None if rank == rank::ANNOUNCED => {
            let why = "the refund is announced and names no payment; payment_refunded follows";
            return ignore(reading, why);
        }
        None => reference(content, transaction, stated)?,
    };
    state(reading, about, fact);
    Ok(())
}

/// Where a refund stands.
fn refund_rank(stated: &Stated<'_>) -> Option<u8> {
    match stated.status {
        _ if stated.deleted => Some(rank::UNDONE),
        "success" => Some(rank::LIVE),
        "voided" | "failure" | "late_failure" => Some(rank::UNDONE),
        "in_progress" | "timeout" | "needs_attention" => Some(rank::ANNOUNCED),
        _ => None,
    }
}

/// What a refund that names no payment is about: the payment of the invoice
/// that its credit note corrects, else the payment that it named before.
fn reference(
    content: &Content<'_>,
    transaction: &Transaction<'_>,
    stated: &Stated<'_>,
) -> Result<Subject, Unreadable> {
    let notes = transaction.linked_credit_notes.as_deref();
    let linked = notes.unwrap_or_default().iter().enumerate();
    let mut invoice = None;
    for (index, note) in linked {
        let path =
            format!("content.transaction.linked_credit_notes[{index}].cn_reference_invoice_id");
        invoice = invoice.or(checks::id(&path, note.cn_reference_invoice_id.as_ref())?);
    }
    if invoice.is_none() {
        let note = content.credit_note.as_ref();
        let field = "content.credit_note.reference_invoice_id";
        invoice = checks::id(
            field,
            note.and_then(|note| note.reference_invoice_id.as_ref()),
        )?;
    }
    let invoice = match invoice {
        None => own_invoice(content)?,
        found => found,
    };
    let (kind, id) = match invoice {
        Some(invoice) => (INVOICE, invoice),
        None => (REFUND, stated.id),
    };
    Ok(Subject::Reference {
        kind: kind.to_owned(),
        id: id.to_owned(),
    })
}
