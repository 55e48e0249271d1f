//! Notifications that become one payment, in every order.

use super::*;
use crate::position::{Unfinished, position};
use crate::provider::recurly::xml;

fn tell(event: &str, status: &str, action: &str) -> Reading {
    let settings = "currency = \"USD\"".parse().unwrap();
    let recurly = Recurly::new(settings).unwrap();
    let text = format!(
        "<{event}><transaction><id>t1</id><invoice_id>i1</invoice_id><action>{action}</action>\
         <date>2026-06-01T10:00:00Z</date><amount_in_cents>4999</amount_in_cents>\
         <status>{status}</status></transaction></{event}>"
    );
    read(&recurly, &xml::read(&text).unwrap()).unwrap()
}

fn facts(readings: &[&Reading]) -> Vec<Fact> {
    let movements = readings.iter().flat_map(|reading| &reading.movements);
    movements.map(|movement| movement.fact.clone()).collect()
}

#[test]
fn a_failed_attempt_leaves_a_success_alone_in_both_orders() {
    let paid = tell("successful_payment_notification", "success", "purchase");
    let failed = tell("failed_payment_notification", "Declined", "purchase");
    assert!(failed.ignored.is_some());
    let alone = position(&facts(&[&paid]));
    assert_eq!(alone.net(), Some(4999));
    assert_eq!(position(&facts(&[&paid, &failed])), alone);
    assert_eq!(position(&facts(&[&failed, &paid])), alone);
}

#[test]
fn a_late_failure_undoes_a_success_in_both_orders() {
    let paid = tell("successful_payment_notification", "success", "purchase");
    for status in ["Declined", "void"] {
        let late = tell(
            "transaction_status_updated_notification",
            status,
            "purchase",
        );
        let there = position(&facts(&[&paid, &late]));
        assert_eq!(there.net(), Some(0), "{status}");
        assert_eq!(position(&facts(&[&late, &paid])), there, "{status}");
    }
    let declined = tell(
        "transaction_status_updated_notification",
        "declined",
        "purchase",
    );
    let alone = position(&facts(&[&declined]));
    assert_eq!(
        (alone.net(), alone.unfinished),
        (None, Some(Unfinished::Failed))
    );
}

#[test]
fn a_refund_that_is_voided_gives_the_money_back() {
    let undone = tell("void_payment_notification", "void", "credit");
    let fact = &facts(&[&undone])[0];
    assert_eq!((fact.class, fact.rank), (Class::Refund, rank::UNDONE));
}

#[test]
fn a_resend_has_the_same_id_and_a_void_another() {
    let id = |event: &str, status: &str| tell(event, status, "purchase").delivery_id.unwrap();
    let paid = id("successful_payment_notification", "success");
    assert_eq!(paid.len(), "recurly-".len() + ID_DIGITS);
    assert_eq!(paid, id("successful_payment_notification", "success"));
    assert_ne!(paid, id("void_payment_notification", "void"));
    assert_ne!(
        paid,
        id("transaction_status_updated_notification", "success")
    );
}
