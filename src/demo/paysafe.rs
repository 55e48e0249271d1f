//! Paysafe's side of the demo: signed notifications of its several envelopes.
//!
//! Every reference holds the customer's key, as a merchant would do it who uses
//! a pattern; rebills carry none and are found by the subscription's link.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sha2::Sha256;

use super::event::Event;
use super::script;
use super::{Player, Proof};
use crate::money::Minor;
use crate::time::{MINUTE_MS, Time};

/// Paysafe's part.
pub(super) const PLAYER: Player = Player {
    source: "paysafe",
    settings: "currency = \"USD\"\n\
               customer_key = [\"link:subscription\", \"merchantRefNum ~ ^([^.]+)[.]\"]\n",
    proof: Proof::Shared,
    asked: false,
    opening,
    story,
};

/// Nothing comes before the payments.
fn opening(_at: Time) -> Vec<Event> {
    Vec::new()
}

/// What a payment is made of.
struct Payment {
    number: usize,
    customer: &'static str,
    amount: Minor,
    currency: &'static str,
    at: Time,
}

/// One payment: what is authorised, what is settled, what goes back.
fn story(number: usize, at: Time, rng: &mut StdRng) -> Vec<Event> {
    let payment = Payment {
        number,
        customer: script::customer(rng),
        amount: rng.random_range(900..80_000),
        currency: if number % 8 == 6 { "EUR" } else { "USD" },
        at,
    };
    let later = |minutes: i64| at.plus(minutes * MINUTE_MS);
    let part = payment.amount / 7;
    let own = format!("psp-{number:04}");
    let mut events = match number % 8 {
        4 => return rebill(&payment),
        // Authorised first; the settlement has an id of its own.
        2 => vec![
            paid(&payment, &own, false),
            settled(&payment, &format!("pss-{number:04}"), later(600)),
        ],
        // One payment tells of its settlement before the settlement does.
        _ => vec![
            paid(&payment, &own, true),
            settled(&payment, &own, later(1)),
        ],
    };
    match number % 8 {
        1 => events.push(refund(&payment, 1, part, later(700))),
        3 => events.extend([
            refund(&payment, 1, part, later(700)),
            refund(&payment, 2, payment.amount - part, later(900)),
        ]),
        5 => events.push(refund(&payment, 1, payment.amount, later(30))),
        7 => events.push(returned(&payment, &own, later(4_000))),
        _ => {}
    }
    events
}

/// A rebill of the scheduler, and the link that says whose it is.
fn rebill(payment: &Payment) -> Vec<Event> {
    let subscription = format!("psub-{:04}", payment.number);
    let scheduled = format!("psch-{:04}", payment.number);
    let body = json!({ "scheduledPayment": {
        "id": scheduled,
        "amount": payment.amount,
        "paymentType": "CARD",
        "subscriptionId": subscription,
        "processedPaymentDetails": {
            "id": format!("psp-{:04}", payment.number),
            "txnTime": payment.at.to_string(),
            "status": "COMPLETED",
            "merchantRefNum": scheduled,
        },
    }});
    let customer = payment.customer;
    vec![
        Event::delivery(PLAYER.source, body.to_string(), sign),
        Event::link(PLAYER.source, "subscription", subscription, customer, None),
    ]
}

fn reference(payment: &Payment) -> String {
    format!("{}.{:04}", payment.customer, payment.number)
}

fn event(name: &str, payload: Value, at: Time) -> Event {
    let body = json!({
        "payload": payload,
        "attemptNumber": "1",
        "eventDate": at.to_string(),
        "eventName": name,
    });
    Event::delivery(PLAYER.source, body.to_string(), sign)
}

fn paid(payment: &Payment, id: &str, with_settlement: bool) -> Event {
    let mut payload = json!({
        "id": id,
        "merchantRefNum": reference(payment),
        "amount": payment.amount,
        "currencyCode": payment.currency,
        "status": "COMPLETED",
        "paymentType": if payment.number % 8 == 7 { "ACH" } else { "CARD" },
        "txnTime": payment.at.to_string(),
        "settleWithAuth": with_settlement,
    });
    if with_settlement {
        payload["settlementId"] = id.into();
    }
    event("PAYMENT_COMPLETED", payload, payment.at)
}

fn settled(payment: &Payment, id: &str, at: Time) -> Event {
    let payload = json!({
        "id": id,
        "merchantRefNum": reference(payment),
        "amount": payment.amount,
        "currencyCode": payment.currency,
        "status": "COMPLETED",
        "txnTime": at.to_string(),
    });
    event("SETTLEMENT_COMPLETED", payload, at)
}

/// A refund names no payment: it carries the payment's reference.
fn refund(payment: &Payment, which: usize, amount: Minor, at: Time) -> Event {
    let payload = json!({
        "id": format!("psr{which}-{:04}", payment.number),
        "merchantRefNum": reference(payment),
        "amount": amount,
        "currencyCode": payment.currency,
        "status": "COMPLETED",
        "txnTime": at.to_string(),
    });
    event("REFUND_COMPLETED", payload, at)
}

/// The bank took a debit back after it had been settled.
fn returned(payment: &Payment, id: &str, at: Time) -> Event {
    let payload = json!({
        "id": format!("psb-{:04}", payment.number),
        "paymentId": id,
        "settlementId": id,
        "amount": payment.amount,
        "currencyCode": payment.currency,
        "status": "COMPLETED",
        "txnTime": at.to_string(),
    });
    event("PAYMENT_RETURN_COMPLETED", payload, at)
}

/// The headers of a body.
fn sign(secret: &str, body: &str, _now: Time) -> Vec<(&'static str, String)> {
    // HMAC takes a key of any length, so there is always one.
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(body.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    });
    vec![
        ("Content-Type", "application/json".to_owned()),
        ("Signature", mac.unwrap_or_default()),
    ]
}
