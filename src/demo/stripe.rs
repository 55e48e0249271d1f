//! Stripe's side of the demo: events as Stripe writes them, signed.
//!
//! Only the fields that matter are written; the shapes are those of the API
//! version named in each event.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::money::Minor;
use crate::time::{SECOND_MS, Time};

/// The version whose shapes are used.
const API_VERSION: &str = "2026-10-28.endive";

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Event(Value);

/// What a charge is made of.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    pub id: String,
    pub customer: Option<String>,
    pub amount: Minor,
    pub currency: &'static str,
    pub at: Time,
    pub live: bool,
}

impl Event {
    fn new(id: &str, kind: &str, at: Time, live: bool, object: Value) -> Event {
        Event(json!({
            "id": format!("evt_{id}"),
            "object": "event",
            "api_version": API_VERSION,
            "created": at.ms() / SECOND_MS,
            "type": kind,
            "livemode": live,
            "pending_webhooks": 1,
            "request": {"id": null, "idempotency_key": null},
            "data": {"object": object},
        }))
    }

    /// The bytes to send.
    pub fn body(&self) -> String {
        self.0.to_string()
    }
}

pub(super) fn customer_created(id: &str, customer_key: &str, at: Time) -> Event {
    let object = json!({
        "id": id, "object": "customer", "created": at.ms() / SECOND_MS,
        "metadata": {"customer_key": customer_key},
    });
    Event::new(
        &format!("{id}_created"),
        "customer.created",
        at,
        true,
        object,
    )
}

fn charge_object(charge: &Charge, refunded: Minor) -> Value {
    json!({
        "id": charge.id, "object": "charge", "amount": charge.amount,
        "amount_captured": charge.amount, "amount_refunded": refunded, "captured": true,
        "paid": true, "status": "succeeded", "currency": charge.currency,
        "customer": charge.customer, "payment_intent": format!("pi_{}", charge.id),
        "created": charge.at.ms() / SECOND_MS, "refunded": refunded == charge.amount,
        "livemode": charge.live, "metadata": {},
    })
}

pub(super) fn charge_succeeded(charge: &Charge) -> Event {
    let id = format!("{}_ok", charge.id);
    Event::new(
        &id,
        "charge.succeeded",
        charge.at,
        charge.live,
        charge_object(charge, 0),
    )
}

/// The cumulative form of a refund.
pub(super) fn charge_refunded(charge: &Charge, refunded: Minor, at: Time) -> Event {
    let id = format!("{}_refunded_{refunded}", charge.id);
    Event::new(
        &id,
        "charge.refunded",
        at,
        charge.live,
        charge_object(charge, refunded),
    )
}

/// The form of a refund by itself, with its status.
pub(super) fn refund(charge: &Charge, id: &str, amount: Minor, status: &str, at: Time) -> Event {
    let kind = match status {
        "failed" => "refund.failed",
        _ => "refund.created",
    };
    let object = json!({
        "id": id, "object": "refund", "amount": amount, "charge": charge.id,
        "payment_intent": format!("pi_{}", charge.id), "currency": charge.currency,
        "created": at.ms() / SECOND_MS, "status": status,
    });
    Event::new(&format!("{id}_{status}"), kind, at, charge.live, object)
}

/// A dispute that withdrew the whole charge, or gave it back.
pub(super) fn dispute(charge: &Charge, event: &str, status: &str, at: Time) -> Event {
    let mut entries = vec![json!({
        "amount": -charge.amount, "currency": charge.currency, "reporting_category": "dispute",
    })];
    if status == "won" {
        entries.push(json!({
            "amount": charge.amount, "currency": charge.currency,
            "reporting_category": "dispute_reversal",
        }));
    }
    let object = json!({
        "id": format!("dp_{}", charge.id), "object": "dispute", "amount": charge.amount,
        "charge": charge.id, "payment_intent": format!("pi_{}", charge.id),
        "currency": charge.currency, "status": status, "balance_transactions": entries,
    });
    let id = format!("{}_{event}", charge.id);
    Event::new(
        &id,
        &format!("charge.dispute.{event}"),
        at,
        charge.live,
        object,
    )
}

/// The `Stripe-Signature` header of a body sent now.
pub(super) fn signature(secret: &str, body: &str, now: Time) -> String {
    let t = now.ms() / SECOND_MS;
    // HMAC takes a key of any length, so there is always one.
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(format!("{t}.{body}").as_bytes());
        hex::encode(mac.finalize().into_bytes())
    });
    format!("t={t},v1={}", mac.unwrap_or_default())
}
