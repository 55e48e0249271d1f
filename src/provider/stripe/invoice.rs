//! Invoices as payments, for sources that count them instead of charges.
//!
//! Source: Stripe API reference, the Invoice and Invoice Payment objects, and
//! the changelog of 2025-03-31.basil, which took charge and payment intent off
//! the invoice. Refunds and disputes never name an invoice; they find it by the
//! aliases stated here.

use crate::money::Minor;
use crate::movement::{Basis, Class, Fact, Reading, Subject, rank};
use crate::provider::Unreadable;
use crate::time::Time;

use super::charge::alias;
use super::customer::{Clues, expanded_link, named_key, usable};
use super::objects::{Details, Invoice, InvoicePayment, Line, Metadata, Payer, Transitions};
use super::{Event, InvoiceAmount, PaymentEvent, Stripe, checks, ignore_if_silent, state};

/// Payments listed in one invoice; Stripe lists ten.
const PAYMENTS_MAX: usize = 1_000;

/// Why nothing comes of an invoice where charges are the payments.
pub const CHARGES_COUNT: &str = "charges are the payments here, so invoices are not counted";

/// Reads a paid invoice.
pub fn read(
    stripe: &Stripe,
    event: &Event<'_>,
    invoice: &Invoice<'_>,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let id = checks::own_id(invoice.id.as_ref())?;
    let at = paid_at(event, invoice.status_transitions.as_ref())?;
    if stripe.payment_event_at(at) == PaymentEvent::Charge {
        reading.ignored = Some(CHARGES_COUNT.to_owned());
        return Ok(());
    }
    let currency = checks::currency("data.object.currency", invoice.currency.as_ref())?;
    let paid = checks::amount("data.object.amount_paid", invoice.amount_paid)?;
    let paid = checks::needed("data.object.amount_paid", paid)?;
    if paid == 0 && invoice.paid_out_of_band == Some(true) {
        let why = "the invoice was marked as paid outside of Stripe; no money moved here";
        reading.ignored = Some(why.to_owned());
        return Ok(());
    }
    let metadata = invoice.metadata.as_ref();
    let subscription = subscription_metadata(invoice);
    let fact = Fact {
        class: Class::Capture,
        id: id.to_owned(),
        basis: Basis::Each,
        rank: rank::CAPTURED,
        version: 0,
        authority: event.authority,
        amount: figure(stripe, invoice, paid)?,
        currency,
        at,
        partial_capture: false,
        product_key: named_key(metadata, "product_key").or_else(|| first_product(invoice)),
        category_key: named_key(metadata, "category_key"),
    };
    state(reading, &Subject::Payment(id.to_owned()), fact);
    name_money(id, invoice, reading)?;
    let customer = checks::ref_id("data.object.customer", invoice.customer.as_ref())?;
    reading
        .links
        .extend(expanded_link(invoice.customer.as_ref(), customer, event));
    let mut clues = Clues {
        payment_id: id,
        version: event.version,
        clues: &mut reading.clues,
    };
    clues.add_metadata(metadata);
    for metadata in subscription {
        clues.add_metadata(Some(metadata));
    }
    clues.add("customer", customer);
    let email = invoice.customer_email.as_ref();
    clues.add("email", email.map(|email| email.0.as_ref()));
    Ok(())
}

/// When the invoice was paid; the event's own time where it does not say.
fn paid_at(event: &Event<'_>, transitions: Option<&Transitions>) -> Result<Time, Unreadable> {
    let seconds = transitions.and_then(|transitions| transitions.paid_at);
    let at = checks::time("data.object.status_transitions.paid_at", seconds)?;
    Ok(at.unwrap_or(event.at))
}

/// The figure that counts. Where nothing was paid nothing counts, whatever the
/// subtotal before a full discount says.
fn figure(stripe: &Stripe, invoice: &Invoice<'_>, paid: Minor) -> Result<Minor, Unreadable> {
    let (field, value) = match stripe.invoice_amount {
        _ if paid == 0 => return Ok(0),
        InvoiceAmount::AmountPaid => return Ok(paid),
        InvoiceAmount::Subtotal => ("data.object.subtotal", invoice.subtotal),
        InvoiceAmount::TotalExcludingTax => (
            "data.object.total_excluding_tax",
            // The field is younger than `total` and `tax`, its two parts.
            invoice.total_excluding_tax.or_else(|| {
                let tax = invoice.tax.unwrap_or(0);
                invoice.total.and_then(|total| total.checked_sub(tax))
            }),
        ),
    };
    checks::needed(field, checks::amount(field, value)?)
}

/// The metadata of the subscription, new shape before old.
fn subscription_metadata<'i>(invoice: &'i Invoice<'_>) -> Vec<&'i Metadata<'i>> {
    let parent = invoice.parent.as_ref();
    let new = parent.and_then(|parent| parent.subscription_details.as_ref());
    let old = invoice.subscription_details.as_ref();
    let metadata = |details: &'i Details<'_>| details.metadata.as_ref();
    [new, old]
        .into_iter()
        .flatten()
        .filter_map(metadata)
        .collect()
}

/// The product of the first line, in any of the three shapes.
fn first_product(invoice: &Invoice<'_>) -> Option<String> {
    let line: &Line<'_> = invoice.lines.as_ref()?.0.first()?;
    let new = line.pricing.as_ref();
    let prices = [
        new.and_then(|pricing| pricing.price_details.as_ref()),
        line.price.as_ref(),
        line.plan.as_ref(),
    ];
    prices
        .into_iter()
        .flatten()
        .filter_map(|price| price.product.as_ref()?.id.as_ref())
        .map(|id| id.0.trim())
        .find(|id| usable(id))
        .map(str::to_owned)
}

/// The charge and the payment intent behind an invoice, as aliases.
fn name_money(id: &str, invoice: &Invoice<'_>, reading: &mut Reading) -> Result<(), Unreadable> {
    let charge = checks::ref_id("data.object.charge", invoice.charge.as_ref())?;
    let intent = checks::ref_id(
        "data.object.payment_intent",
        invoice.payment_intent.as_ref(),
    )?;
    alias(reading, id, "charge", charge, true);
    alias(reading, id, "payment_intent", intent, true);
    let Some(payments) = &invoice.payments else {
        return Ok(());
    };
    if payments.0.len() > PAYMENTS_MAX {
        return Err(Unreadable::field(
            "data.object.payments",
            "lists more than 1000 payments",
        ));
    }
    for (index, payment) in payments.0.iter().enumerate() {
        let path = format!("data.object.payments.data[{index}]");
        name_payer(id, &path, payment.payment.as_ref(), reading)?;
    }
    Ok(())
}

fn name_payer(
    invoice: &str,
    path: &str,
    payer: Option<&Payer<'_>>,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let Some(payer) = payer else {
        return Ok(());
    };
    let charge = checks::ref_id(&format!("{path}.payment.charge"), payer.charge.as_ref())?;
    let intent = checks::ref_id(
        &format!("{path}.payment.payment_intent"),
        payer.payment_intent.as_ref(),
    )?;
    alias(reading, invoice, "charge", charge, true);
    alias(reading, invoice, "payment_intent", intent, true);
    Ok(())
}

/// Reads a payment of an invoice, which ties the invoice to its money.
pub fn read_payment(
    stripe: &Stripe,
    event: &Event<'_>,
    payment: &InvoicePayment<'_>,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let at = paid_at(event, payment.status_transitions.as_ref())?;
    if stripe.payment_event_at(at) == PaymentEvent::Charge {
        reading.ignored = Some(CHARGES_COUNT.to_owned());
        return Ok(());
    }
    let invoice = checks::ref_id("data.object.invoice", payment.invoice.as_ref())?;
    let invoice = checks::needed("data.object.invoice", invoice)?;
    name_payer(invoice, "data.object", payment.payment.as_ref(), reading)?;
    ignore_if_silent(
        reading,
        "the invoice was paid by no charge and no payment intent",
    );
    Ok(())
}
