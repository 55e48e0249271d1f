//! What several notifications come to together, in either order.

use super::*;
use crate::movement::{Fact, Subject};
use crate::position::position;
use crate::provider::Kept;

fn read(settings: &str, name: &str, payload: &str) -> Reading {
    let paysafe = Paysafe::new(settings.parse().unwrap()).unwrap();
    let body = format!(
        r#"{{"eventName":"{name}","eventDate":"2026-06-02T08:00:00Z","payload":{payload}}}"#
    );
    paysafe
        .parse(&Document {
            body: body.as_bytes(),
            kept: &Kept::default(),
        })
        .unwrap()
}

/// The facts about the payment `s` in the order given, and in the other.
fn both_orders(readings: &[Reading]) -> [Vec<Fact>; 2] {
    let ours = |about: &Subject| match about {
        Subject::Payment(id) => id == "s",
        Subject::Reference { id, .. } => id == "s",
    };
    let all = readings.iter().flat_map(|reading| &reading.movements);
    let facts: Vec<Fact> = all
        .filter(|movement| ours(&movement.about))
        .map(|movement| movement.fact.clone())
        .collect();
    let back = facts.iter().rev().cloned().collect();
    [facts, back]
}

const PAID: &str = r#"{"id":"p","settlementId":"s","settleWithAuth":true,"amount":900,
    "currencyCode":"USD","txnTime":"2026-06-02T07:59:00Z","paymentType":"ACH"}"#;
const SETTLED: &str = r#"{"id":"s","amount":900,"currencyCode":"USD",
    "txnTime":"2026-06-02T08:30:00Z","paymentType":"ACH"}"#;

fn comes_to(readings: &[Reading], gross: Option<i64>, net: Option<i64>) {
    for facts in both_orders(readings) {
        let position = position(&facts);
        assert_eq!(
            (position.gross(), position.net()),
            (gross, net),
            "{facts:?}"
        );
        assert_eq!(position.doubt, None);
    }
}

#[test]
fn one_settlement_is_one_payment() {
    let paid = read("", "PAYMENT_COMPLETED", PAID);
    let settled = read("", "SETTLEMENT_COMPLETED", SETTLED);
    comes_to(&[paid, settled], Some(900), Some(900));
}

#[test]
fn what_is_not_settled_after_all_is_no_payment() {
    let paid = read("", "PAYMENT_COMPLETED", PAID);
    let failed = read("", "SETTLEMENT_FAILED", SETTLED);
    comes_to(&[paid, failed], Some(900), Some(0));
}

#[test]
fn a_return_takes_what_it_states() {
    let paid = read("", "PAYMENT_COMPLETED", PAID);
    for (amount, net) in [(r#""amount":300,"#, 600), (r#""amount":900,"#, 0), ("", 0)] {
        let returned = format!(r#"{{"id":"r","settlementId":"s",{amount}"currencyCode":"USD"}}"#);
        let returned = read("", "PAYMENT_RETURN_COMPLETED", &returned);
        comes_to(&[paid.clone(), returned], Some(900), Some(net));
    }
}

#[test]
fn a_bank_debit_can_wait_to_be_cleared() {
    const WAIT: &str = "wait_for_cleared = true";
    let paid = read(WAIT, "PAYMENT_COMPLETED", PAID);
    let settled = read(WAIT, "SETTLEMENT_COMPLETED", SETTLED);
    let cleared = read(WAIT, "SETTLEMENT_CLEARED", SETTLED);
    comes_to(&[paid.clone(), settled.clone()], None, None);
    comes_to(&[paid, settled, cleared], Some(900), Some(900));
}

#[test]
fn a_settings_error_names_the_key() {
    let key = |text: &str| {
        let table: toml::Table = text.parse().unwrap();
        Paysafe::new(table).err().map(|error| error.key)
    };
    assert_eq!(key("hmac_key_encoding = \"base64\""), None);
    for (text, at) in [
        ("hmac_key_encoding = \"hex\"", "hmac_key_encoding"),
        ("currency = \"dollars\"", "currency"),
        (
            "refund_reference_pattern = \"(\"",
            "refund_reference_pattern",
        ),
        ("chargeback_events = \"X\"", "chargeback_events"),
        ("count = 1", "count"),
    ] {
        assert_eq!(key(text).as_deref(), Some(at), "{text}");
    }
}
