//! Charges and refunds.
//!
//! Source: Stripe API reference, the Charge and Refund objects. A charge is a
//! snapshot: its `amount_refunded` is the sum so far, and after a partial
//! capture it also counts the part that was released and never taken. Nothing
//! here adds up; `position` does.

use crate::money::{Currency, Minor};
use crate::movement::{Alias, Basis, Class, Fact, Reading, Subject, rank};
use crate::provider::Unreadable;
use crate::time::Time;

use super::customer::{Clues, expanded_link, named_key};
use super::objects::{Charge, Refund, Text};
use super::{Event, PaymentEvent, Stripe, checks, ignore_if_silent, state};

/// Refunds listed in one charge. Stripe lists ten; a charge cannot carry more
/// than some hundreds.
const REFUNDS_MAX: usize = 1_000;

/// What a charge says, checked.
struct Snapshot<'c> {
    id: &'c str,
    currency: Currency,
    created: Time,
    rank: u8,
    /// The captured amount, or the authorised one where nothing was captured.
    amount: Minor,
    /// The authorised amount that a partial capture let go.
    released: Minor,
    refunded: Minor,
    customer: Option<&'c str>,
    intent: Option<&'c str>,
    invoice: Option<&'c str>,
}

impl Snapshot<'_> {
    fn captured(&self) -> bool {
        self.rank == rank::CAPTURED
    }

    fn partial(&self) -> bool {
        self.captured() && self.released > 0
    }
}

/// Reads a charge, in whichever event it comes.
pub fn read(
    stripe: &Stripe,
    event: &Event<'_>,
    charge: &Charge<'_>,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let snapshot = snapshot(charge)?;
    let customer = charge.customer.as_ref();
    reading
        .links
        .extend(expanded_link(customer, snapshot.customer, event));
    match stripe.payment_event_at(snapshot.created) {
        PaymentEvent::Charge => {
            let about = Subject::Payment(snapshot.id.to_owned());
            state(reading, &about, capture(event, charge, &snapshot));
            state_refunds(event, charge, &snapshot, &about, reading)?;
            name_charge(event, charge, &snapshot, reading);
        }
        PaymentEvent::Invoice => {
            let about = match snapshot.invoice {
                Some(invoice) => Some(Subject::Payment(invoice.to_owned())),
                None => stripe.subject(Some(snapshot.id), snapshot.intent),
            };
            if let Some(about) = about {
                state_refunds(event, charge, &snapshot, &about, reading)?;
            }
            if let Some(invoice) = snapshot.invoice {
                alias(reading, invoice, "charge", Some(snapshot.id), true);
                alias(reading, invoice, "payment_intent", snapshot.intent, true);
            }
            let why = "invoices are the payments here, so the charge itself is not counted";
            ignore_if_silent(reading, why);
        }
    }
    Ok(())
}

fn snapshot<'c>(charge: &'c Charge<'_>) -> Result<Snapshot<'c>, Unreadable> {
    let id = checks::own_id(charge.id.as_ref())?;
    let amount = checks::amount("data.object.amount", charge.amount)?;
    let amount = checks::needed("data.object.amount", amount)?;
    let captured = checks::amount("data.object.amount_captured", charge.amount_captured)?;
    let refunded = checks::amount("data.object.amount_refunded", charge.amount_refunded)?;
    let created = checks::time("data.object.created", charge.created)?;
    let rank = outcome(charge, captured);
    let taken = match rank {
        rank::CAPTURED => captured.unwrap_or(amount),
        _ => amount,
    };
    Ok(Snapshot {
        id,
        currency: checks::currency("data.object.currency", charge.currency.as_ref())?,
        created: checks::needed("data.object.created", created)?,
        rank,
        amount: taken,
        released: (amount - taken).max(0),
        refunded: refunded.unwrap_or(0),
        customer: checks::ref_id("data.object.customer", charge.customer.as_ref())?,
        intent: checks::ref_id("data.object.payment_intent", charge.payment_intent.as_ref())?,
        invoice: checks::ref_id("data.object.invoice", charge.invoice.as_ref())?,
    })
}

/// How far the charge got. `paid` as a status is what `succeeded` was called
/// before the versions of February 2015.
fn outcome(charge: &Charge<'_>, captured: Option<Minor>) -> u8 {
    let taken = charge.captured.unwrap_or(captured != Some(0));
    let status = charge.status.as_ref().map(|status| status.0.as_ref());
    match (status, charge.paid) {
        (Some("failed"), _) => rank::FAILED,
        _ if !taken => rank::PENDING,
        (Some("pending"), _) | (_, Some(false)) => rank::PENDING,
        (None | Some("succeeded" | "paid"), _) | (_, Some(true)) => rank::CAPTURED,
        (Some(_), None) => rank::PENDING,
    }
}

fn capture(event: &Event<'_>, charge: &Charge<'_>, snapshot: &Snapshot<'_>) -> Fact {
    let metadata = charge.metadata.as_ref();
    Fact {
        class: Class::Capture,
        id: snapshot.id.to_owned(),
        basis: Basis::Each,
        rank: snapshot.rank,
        version: 0,
        authority: event.authority,
        amount: snapshot.amount,
        currency: snapshot.currency,
        at: match event.name {
            // The authorisation is older than the money.
            "charge.captured" => event.at,
            _ => snapshot.created,
        },
        partial_capture: snapshot.partial(),
        product_key: named_key(metadata, "product_key"),
        category_key: named_key(metadata, "category_key"),
    }
}

/// States what was given back of a captured charge. What a cancelled
/// authorisation "refunds" was never taken.
fn state_refunds(
    event: &Event<'_>,
    charge: &Charge<'_>,
    snapshot: &Snapshot<'_>,
    about: &Subject,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    if !snapshot.captured() {
        return Ok(());
    }
    let total = (snapshot.refunded - snapshot.released).max(0);
    if total > 0 {
        let fact = Fact {
            class: Class::Refund,
            id: snapshot.id.to_owned(),
            basis: Basis::Total,
            rank: rank::LIVE,
            version: event.version,
            authority: event.authority,
            amount: total,
            currency: snapshot.currency,
            at: event.at,
            partial_capture: false,
            product_key: None,
            category_key: None,
        };
        state(reading, about, fact);
    }
    // Old shapes list the released part of a partial capture as a refund.
    let listed = match &charge.refunds {
        Some(refunds) if !snapshot.partial() => refunds.0.as_slice(),
        _ => &[],
    };
    if listed.len() > REFUNDS_MAX {
        return Err(Unreadable::field(
            "data.object.refunds",
            "lists more than 1000 refunds",
        ));
    }
    for (index, refund) in listed.iter().enumerate() {
        let path = format!("data.object.refunds.data[{index}]");
        let status = refund.status.as_ref();
        // Before refunds had a status, a refund that was listed had been made.
        let rank = status.map_or(rank::LIVE, refund_rank);
        let fact = refund_fact(event, &path, refund, rank, Some(snapshot.currency))?;
        if fact.amount > 0 {
            state(reading, about, fact);
        }
    }
    Ok(())
}

/// The ids of a charge and what lookup rules may use.
fn name_charge(
    event: &Event<'_>,
    charge: &Charge<'_>,
    snapshot: &Snapshot<'_>,
    reading: &mut Reading,
) {
    let id = snapshot.id;
    alias(reading, id, "charge", Some(id), true);
    alias(reading, id, "payment_intent", snapshot.intent, true);
    alias(reading, id, "invoice", snapshot.invoice, false);
    let mut clues = Clues {
        payment_id: id,
        version: event.version,
        clues: &mut reading.clues,
    };
    clues.add_metadata(charge.metadata.as_ref());
    clues.add("customer", snapshot.customer);
    let text = |text: &'_ Option<Text<'_>>| text.as_ref().map(|text| text.0.to_string());
    let billed = charge.billing_details.as_ref();
    clues.add(
        "email",
        billed.and_then(|billed| text(&billed.email)).as_deref(),
    );
    clues.add("email", text(&charge.receipt_email).as_deref());
}

/// Adds an alias of `payment_id` where there is an id.
pub fn alias(reading: &mut Reading, payment_id: &str, kind: &str, id: Option<&str>, money: bool) {
    let Some(id) = id else {
        return;
    };
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

/// Reads a refund that comes by itself.
pub fn read_refund(
    stripe: &Stripe,
    event: &Event<'_>,
    refund: &Refund<'_>,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let charge = checks::ref_id("data.object.charge", refund.charge.as_ref())?;
    let intent = checks::ref_id("data.object.payment_intent", refund.payment_intent.as_ref())?;
    let rank = match &refund.status {
        Some(status) => refund_rank(status),
        None if event.name == "refund.failed" => rank::UNDONE,
        None => rank::ANNOUNCED,
    };
    let fact = refund_fact(event, "data.object", refund, rank, None)?;
    let Some(about) = stripe.subject(charge, intent) else {
        let why =
            "the refund names neither a charge nor a payment intent, so it is not of a payment";
        reading.ignored = Some(why.to_owned());
        return Ok(());
    };
    if fact.amount == 0 {
        reading.ignored = Some("the refund is of nothing".to_owned());
        return Ok(());
    }
    state(reading, &about, fact);
    Ok(())
}

/// States a refund of a list of which every one is of the payment `about`.
pub fn state_refund(
    event: &Event<'_>,
    path: &str,
    refund: &Refund<'_>,
    about: &Subject,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    // Before refunds had a status, a refund that was listed had been made.
    let rank = refund.status.as_ref().map_or(rank::LIVE, refund_rank);
    let fact = refund_fact(event, path, refund, rank, None)?;
    if fact.amount > 0 {
        state(reading, about, fact);
    }
    Ok(())
}

/// Where a refund stands (Stripe API reference, Refund object, `status`).
fn refund_rank(status: &Text<'_>) -> u8 {
    match status.0.as_ref() {
        "succeeded" => rank::LIVE,
        "failed" | "canceled" => rank::UNDONE,
        _ => rank::ANNOUNCED,
    }
}

/// One refund. A listed one may leave its currency to the charge.
fn refund_fact(
    event: &Event<'_>,
    path: &str,
    refund: &Refund<'_>,
    rank: u8,
    listed_in: Option<Currency>,
) -> Result<Fact, Unreadable> {
    let field = |name: &str| format!("{path}.{name}");
    let id = checks::id(&field("id"), refund.id.as_ref())?;
    let amount = checks::amount(&field("amount"), refund.amount)?;
    let currency = match (listed_in, &refund.currency) {
        (Some(currency), None) => currency,
        (_, text) => checks::currency(&field("currency"), text.as_ref())?,
    };
    let created = checks::time(&field("created"), refund.created)?;
    Ok(Fact {
        class: Class::Refund,
        id: checks::needed(&field("id"), id)?.to_owned(),
        basis: Basis::Each,
        rank,
        version: event.version,
        authority: event.authority,
        amount: checks::needed(&field("amount"), amount)?,
        currency,
        // When a refund failed Stripe does not say; that it has is told at once.
        at: created.filter(|_| rank != rank::UNDONE).unwrap_or(event.at),
        partial_capture: false,
        product_key: None,
        category_key: None,
    })
}
