//! Thin events: that something happened to an object, and no more.
//!
//! Source: Stripe's documentation, "Thin events", whose `type` is that of the
//! snapshot event with `v1.` before it. They carry no amount, so each one that
//! is looked into is a question to Stripe's API; `answer` reads what comes
//! back. The URL in a thin event is never used.

use super::objects::Envelope;
use super::{EVENTS, Stripe, checks, kind_by_name};
use crate::movement::{Inquiry, Reading, Subject};
use crate::provider::Unreadable;
use crate::provider::ask::{self, Kind};

/// What `object` says in a thin event.
pub const OBJECT: &str = "v2.core.event";

/// What a thin event's type has before the name of the snapshot event.
const PREFIX: &str = "v1.";

/// The list of one charge's refunds.
pub const REFUNDS: &str = "refunds";

/// The kinds of objects that can be asked for, by the names that Stripe gives
/// them, and where they are.
const OBJECTS: [(&str, &str); 6] = [
    ("charge", "/v1/charges/{id}"),
    ("customer", "/v1/customers/{id}"),
    ("dispute", "/v1/disputes/{id}"),
    ("invoice", "/v1/invoices/{id}"),
    ("invoice_payment", "/v1/invoice_payments/{id}"),
    ("refund", "/v1/refunds/{id}"),
];

/// How Stripe's API is asked. The refunds of a payment are asked for only where
/// every payment is a charge: the list knows no invoices.
pub fn api(stripe: &Stripe) -> ask::Api {
    let mut kinds: Vec<Kind> = OBJECTS.map(|(kind, path)| Kind::at(kind, path)).into();
    if stripe.charges_only() {
        kinds.push(Kind::at(REFUNDS, "/v1/refunds?charge={id}&limit=100"));
    }
    ask::Api {
        base_url: Some("https://api.stripe.com"),
        auth: ask::Auth::Bearer,
        headers: Vec::new(),
        account_header: Some("Stripe-Account"),
        kinds,
    }
}

/// Reads a thin event into `reading`, which has its name and scope already.
pub fn read(
    stripe: &Stripe,
    envelope: &Envelope<'_>,
    name: &str,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let snapshot = name.strip_prefix(PREFIX).unwrap_or_default();
    if let Some(why) = foreign(stripe, snapshot) {
        reading.ignored = Some(why.to_owned());
        return Ok(());
    }
    reading.scope.account = account(envelope)?;
    let related = checks::needed("related_object", envelope.related_object.as_ref())?;
    let id = checks::needed_id("related_object.id", related.id.as_ref())?;
    let said = checks::id("related_object.type", related.name.as_ref())?;
    let kind = said.unwrap_or_else(|| kind_by_name(snapshot));
    let Some((kind, _)) = OBJECTS.iter().find(|(known, _)| *known == kind) else {
        return Err(Unreadable::field(
            "related_object.type",
            "does not go with this event",
        ));
    };
    reading.inquiries.push(Inquiry {
        kind: (*kind).to_owned(),
        id: id.to_owned(),
        about: about(stripe, kind, id),
    });
    Ok(())
}

/// Why a thin event is not asked about.
fn foreign(stripe: &Stripe, snapshot: &str) -> Option<&'static str> {
    if !EVENTS.contains(&snapshot) {
        return Some(super::uncounted(snapshot));
    }
    let of_invoice = matches!(kind_by_name(snapshot), "invoice" | "invoice_payment");
    if of_invoice && stripe.charges_only() {
        return Some(super::invoice::CHARGES_COUNT);
    }
    match snapshot {
        "customer.deleted" => Some(super::customer::DELETED),
        _ => None,
    }
}

/// What waits for the answer: the payment where the id alone names it, else
/// whatever carries the id. Nothing waits for a customer by itself.
fn about(stripe: &Stripe, kind: &str, id: &str) -> Option<Subject> {
    let (kind, id) = (kind.to_owned(), id.to_owned());
    match kind.as_str() {
        "customer" => None,
        "charge" if stripe.charges_only() => Some(Subject::Payment(id)),
        _ => Some(Subject::Reference { kind, id }),
    }
}

/// The connected account, which thin events call their context.
fn account(envelope: &Envelope<'_>) -> Result<String, Unreadable> {
    let Some(context) = checks::id("context", envelope.context.as_ref())? else {
        return super::account(envelope);
    };
    let plain = context.starts_with("acct_") && !context.contains('/');
    match plain {
        true => Ok(context.to_owned()),
        false => Err(Unreadable::field("context", "is not an account")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refunds_are_listed_only_where_every_payment_is_a_charge() {
        let lists = |settings: &str| {
            let stripe = Stripe::new(settings.parse().unwrap()).unwrap();
            api(&stripe).kinds.iter().any(|kind| kind.kind == REFUNDS)
        };
        assert!(lists(""));
        assert!(!lists("payment_event = \"invoice\""));
        assert!(!lists("switched_at = \"2026-06-01T00:00:00Z\""));
    }

    #[test]
    fn what_an_event_carries_can_be_asked_for() {
        for name in EVENTS {
            let kind = kind_by_name(name);
            assert!(OBJECTS.iter().any(|(known, _)| *known == kind), "{name}");
        }
    }
}
