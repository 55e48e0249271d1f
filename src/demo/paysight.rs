//! Paysight's side of the demo: batches of transactions, each kind to its own
//! URL behind the secret.
//!
//! The merchant's back end links every session, before or after the charge:
//! that is how Paysight's customers are found.

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::event::Event;
use super::script;
use super::{Player, Proof};
use crate::money::{Currency, Minor};
use crate::time::{MINUTE_MS, Time};

/// Paysight's part.
pub(super) const PLAYER: Player = Player {
    source: "paysight",
    settings: "alerts = true\n",
    proof: Proof::PathToken,
    asked: false,
    opening,
    story,
};

/// The applications that take money back.
const REFUND: i64 = 200;
const CHARGEBACK: i64 = 201;
const ALERT: i64 = 202;

/// Nothing comes before the payments.
fn opening(_at: Time) -> Vec<Event> {
    Vec::new()
}

/// What a payment is made of.
struct Payment {
    number: usize,
    amount: Minor,
    currency: &'static str,
    at: Time,
}

/// One payment: its charge, the link of its session, what goes back.
fn story(number: usize, at: Time, rng: &mut StdRng) -> Vec<Event> {
    let customer = script::customer(rng);
    let payment = Payment {
        number,
        amount: rng.random_range(900..80_000),
        currency: if number % 8 == 6 { "JPY" } else { "USD" },
        at,
    };
    let later = |minutes: i64| at.plus(minutes * MINUTE_MS);
    let part = payment.amount / 7;
    let back = |application, which, amount, minutes| {
        let element = reversal(&payment, (application, which), amount, later(minutes));
        sent("new-transaction", vec![element])
    };
    let charged = charge(&payment, "Approved");
    let mut events = vec![Event::link(
        PLAYER.source,
        "session",
        session(&payment),
        customer,
        None,
    )];
    events.push(match number % 8 {
        // Authorised first, captured later: two URLs, one payment.
        2 => sent("updated-transaction", vec![charged]),
        // A declined attempt comes in the same batch and stops nothing.
        4 => sent("new-transaction", vec![declined(&payment), charged]),
        _ => sent("new-transaction", vec![charged]),
    });
    match number % 8 {
        1 => events.push(back(REFUND, 1, part, 40)),
        2 => events.push(sent(
            "new-transaction",
            vec![charge(&payment, "Authorized")],
        )),
        3 => events.extend([
            back(REFUND, 1, part, 40),
            back(REFUND, 2, payment.amount - part, 90),
        ]),
        5 => events.push(back(CHARGEBACK, 1, payment.amount, 9_000)),
        // The alert is a floor under the refund that follows it.
        7 => events.extend([
            back(ALERT, 1, payment.amount, 3_000),
            back(REFUND, 2, payment.amount, 3_100),
        ]),
        _ => {}
    }
    events
}

fn session(payment: &Payment) -> String {
    format!("visit-{:04}", payment.number)
}

/// An amount in major units; without a zone the time is in UTC.
fn element(payment: &Payment, id: String, amount: Minor, at: Time) -> Value {
    let shown = match payment.currency.parse::<Currency>() {
        Ok(currency) => currency.show(amount),
        Err(_) => String::new(),
    };
    json!({
        "transactionId": id,
        "orderId": payment.number,
        "sent": at.to_string().trim_end_matches('Z'),
        "sandbox": false,
        "applicationId": 100,
        "success": true,
        "currency": payment.currency,
        "amount": shown.split(' ').next().unwrap_or_default(),
        "partnerSession": session(payment),
        "paysightSession": format!("20260601{:08}", payment.number),
    })
}

fn charge(payment: &Payment, status: &str) -> Value {
    let id = format!("pst-{:04}", payment.number);
    let mut charge = element(payment, id, payment.amount, payment.at);
    charge["status"] = status.into();
    charge
}

fn declined(payment: &Payment) -> Value {
    let id = format!("psd-{:04}", payment.number);
    let mut charge = element(payment, id, payment.amount, payment.at);
    charge["status"] = "Declined".into();
    charge["success"] = false.into();
    charge
}

fn reversal(
    payment: &Payment,
    (application, which): (i64, usize),
    amount: Minor,
    at: Time,
) -> Value {
    let id = format!("psx{which}-{:04}", payment.number);
    let mut reversal = element(payment, id, -amount, at);
    reversal["applicationId"] = application.into();
    reversal["status"] = "Approved".into();
    reversal["originalTransactionId"] = format!("pst-{:04}", payment.number).into();
    reversal
}

fn sent(kind: &'static str, elements: Vec<Value>) -> Event {
    let body = Value::Array(elements).to_string();
    Event::delivery(PLAYER.source, body, sign).to(kind)
}

/// Nothing is signed: the secret stands in the path.
fn sign(_secret: &str, _body: &str, _now: Time) -> Vec<(&'static str, String)> {
    vec![("Content-Type", "application/json".to_owned())]
}
