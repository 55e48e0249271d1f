//! Answers that become one payment, in every order.

use super::*;
use crate::movement::Scope;
use crate::position::{Unfinished, position};

fn tell(kind: &str, status: &str, updated: &str) -> Reading {
    let body = format!(
        r#"{{"id":"s1","uuid":"u1","type":"{kind}","status":"{status}","currency":"USD",
            "amount":49.99,"created_at":"2026-06-01T10:00:00Z","updated_at":"{updated}",
            "original_transaction_id":{original},"invoice":{{"number":"1044"}}}}"#,
        original = match kind {
            "refund" => "\"s0\"",
            _ => "null",
        }
    );
    read(&asked("uuid-u1"), &body).unwrap()
}

fn asked(id: &str) -> Asked {
    Asked {
        kind: TRANSACTION.to_owned(),
        id: id.to_owned(),
        scope: Scope::default(),
        at: Time(0),
    }
}

fn facts(readings: &[&Reading]) -> Vec<Fact> {
    let movements = readings.iter().flat_map(|reading| &reading.movements);
    movements.map(|movement| movement.fact.clone()).collect()
}

const EARLY: &str = "2026-06-01T10:00:01Z";
const LATE: &str = "2026-06-04T10:00:01Z";

#[test]
fn a_success_and_what_undid_it_give_the_same_books_in_both_orders() {
    let paid = tell("purchase", "success", EARLY);
    assert_eq!(position(&facts(&[&paid])).net(), Some(4_999));
    for status in ["void", "declined", "error"] {
        let undone = tell("purchase", status, LATE);
        let there = position(&facts(&[&paid, &undone]));
        assert_eq!(there.net(), Some(0), "{status}");
        assert_eq!(position(&facts(&[&undone, &paid])), there, "{status}");
    }
}

#[test]
fn a_void_that_was_asked_about_twice_is_a_whole_payment() {
    let void = tell("capture", "void", LATE);
    let there = position(&facts(&[&void, &void]));
    assert_eq!((there.gross(), there.net()), (Some(4_999), Some(0)));
    let failed = position(&facts(&[&tell("purchase", "declined", LATE)]));
    assert_eq!(failed.unfinished, Some(Unfinished::Failed));
    let under_way = position(&facts(&[&tell("purchase", "processing", EARLY)]));
    assert_eq!(under_way.unfinished, Some(Unfinished::Pending));
}

#[test]
fn only_a_payment_that_went_through_carries_its_invoice() {
    let carries = |status: &str| {
        let aliases = tell("purchase", status, EARLY).aliases;
        aliases.iter().any(|alias| alias.kind == "invoice_number")
    };
    assert!(carries("success") && carries("void"));
    assert!(!carries("declined") && !carries("processing"));
}

#[test]
fn a_refund_asks_for_its_payment_by_the_short_id() {
    let refund = tell("refund", "void", LATE);
    assert_eq!(refund.movements[0].fact.rank, rank::UNDONE);
    assert_eq!(refund.inquiries[0].id, "s0");
    assert_eq!(
        refund.inquiries[0].about.as_ref(),
        Some(&refund.movements[0].about)
    );
}

#[test]
fn an_answer_about_another_transaction_is_not_read() {
    let body = r#"{"id":"s1","uuid":"u1","type":"purchase","status":"success",
        "currency":"JPY","amount":1000.0,"created_at":"2026-06-01T10:00:00Z"}"#;
    assert!(read(&asked("s1"), body).is_ok());
    for id in ["uuid-s1", "u1", "s2"] {
        assert!(read(&asked(id), body).is_err(), "{id}");
    }
}
