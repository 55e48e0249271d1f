//! Stripe's side of the demo: events as Stripe writes them, signed.
//!
//! Only the fields that matter are written; the shapes are those of the API
//! version named in each event. Some customers are never announced, some events
//! are thin and some refunds are told only in sums: those Stripe's API is asked
//! about.

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sha2::Sha256;

use super::event::Event;
use super::script;
use super::{Player, Proof};
use crate::money::Minor;
use crate::time::{DAY_MS, MINUTE_MS, SECOND_MS, Time};

/// The version whose shapes are used.
const API_VERSION: &str = "2026-10-28.endive";

/// Stripe's part.
pub(super) const PLAYER: Player = Player {
    source: "stripe",
    settings: "",
    proof: Proof::Shared,
    asked: true,
    opening,
    story,
};

fn opening(at: Time) -> Vec<Event> {
    script::customers()
        .map(|key| customer_created(&customer_id(key), key, at))
        .collect()
}

fn customer_id(key: &str) -> String {
    format!("cus_{}", key.replace('-', ""))
}

/// One payment: its sale first, then what went back.
fn story(number: usize, at: Time, rng: &mut StdRng) -> Vec<Event> {
    let (amount, currency) = match number % 6 {
        0 => (rng.random_range(500..90_000), "jpy"),
        1 => (rng.random_range(900..30_000), "eur"),
        _ => (rng.random_range(499..60_000), "usd"),
    };
    let key = script::customer(rng);
    let charge = Charge {
        id: format!("ch_demo{number:04}"),
        customer: match number % 10 {
            // Nobody announces this one.
            0 => format!("cus_demo{number:04}"),
            _ => customer_id(key),
        },
        customer_key: key,
        amount,
        currency,
        at,
        live: !number.is_multiple_of(17),
    };
    history(&charge, number, rng)
}

/// Sales that stay without a customer until a person links them, one whose customer
/// the destination does not know, and one with a refund in another currency, which a
/// person has to decide; each with its time.
pub(super) fn strays(now: Time) -> Vec<(Time, Vec<Event>)> {
    let charge = |number: i64, customer: &str| Charge {
        id: format!("ch_stray{number:02}"),
        customer: customer.to_owned(),
        customer_key: "",
        amount: 4_900 + 3_100 * number,
        currency: if number % 4 == 0 { "eur" } else { "usd" },
        at: now.plus(-number * 2 * DAY_MS - MINUTE_MS),
        live: true,
    };
    let sold = |charge: &Charge| {
        let object = charge_object(charge, 0);
        let id = format!("{}_ok", charge.id);
        event(&id, "charge.succeeded", charge.at, true, object)
    };
    let customers = ["cus_newcomer", "cus_newcomer", "cus_byphone"];
    let mut strays: Vec<(Time, Vec<Event>)> = (1..=9)
        .zip(customers.iter().cycle())
        .map(|(number, customer)| charge(number, customer))
        .map(|charge| (charge.at, vec![sold(&charge)]))
        .collect();
    let mut abroad = charge(10, "cus_abroad");
    abroad.customer_key = "wayne-enterprises";
    let mut object = charge_object(&abroad, 0);
    object["metadata"] = json!({"customer_key": abroad.customer_key});
    let told = event("stray_abroad", "charge.succeeded", abroad.at, true, object);
    strays.push((abroad.at, vec![told]));
    let mut mixed = charge(11, &customer_id("acme-corp"));
    mixed.customer_key = "acme-corp";
    let mut refund = refund_object(&mixed, "re_mixed", 900, "succeeded", mixed.at);
    refund["currency"] = json!("gbp");
    let told = event("re_mixed", "refund.created", mixed.at, true, refund);
    strays.push((mixed.at, vec![sold(&mixed), told]));
    strays
}

/// What a charge is made of.
#[derive(Clone, Debug)]
struct Charge {
    id: String,
    customer: String,
    customer_key: &'static str,
    amount: Minor,
    currency: &'static str,
    at: Time,
    live: bool,
}

fn event(id: &str, kind: &str, at: Time, live: bool, object: Value) -> Event {
    let event = json!({
        "id": format!("evt_{id}"),
        "object": "event",
        "api_version": API_VERSION,
        "created": at.ms() / SECOND_MS,
        "type": kind,
        "livemode": live,
        "pending_webhooks": 1,
        "request": {"id": null, "idempotency_key": null},
        "data": {"object": object},
    });
    Event::delivery(PLAYER.source, event.to_string(), sign)
}

/// A thin event about the charge.
fn thin(charge: &Charge, kind: &str) -> Event {
    let event = json!({
        "id": format!("evt_{}_thin", charge.id),
        "object": "v2.core.event",
        "type": format!("v1.{kind}"),
        "created": charge.at.to_string(),
        "livemode": charge.live,
        "context": null,
        "related_object": {
            "id": charge.id, "type": "charge", "url": format!("/v1/charges/{}", charge.id),
        },
    });
    known_at_stripe(
        charge,
        Event::delivery(PLAYER.source, event.to_string(), sign),
    )
}

/// From this event on Stripe's API knows the charge and its customer.
fn known_at_stripe(charge: &Charge, event: Event) -> Event {
    let customer = customer_object(&charge.customer, charge.customer_key, charge.at);
    event
        .answered(
            format!("/v1/customers/{}", charge.customer),
            customer.to_string(),
        )
        .answered(
            format!("/v1/charges/{}", charge.id),
            charge_object(charge, 0).to_string(),
        )
}

fn customer_object(id: &str, customer_key: &str, at: Time) -> Value {
    json!({
        "id": id, "object": "customer", "created": at.ms() / SECOND_MS,
        "metadata": {"customer_key": customer_key},
    })
}

fn customer_created(id: &str, customer_key: &str, at: Time) -> Event {
    event(
        &format!("{id}_created"),
        "customer.created",
        at,
        true,
        customer_object(id, customer_key, at),
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

fn charge_succeeded(charge: &Charge) -> Event {
    let id = format!("{}_ok", charge.id);
    let object = charge_object(charge, 0);
    let told = event(&id, "charge.succeeded", charge.at, charge.live, object);
    known_at_stripe(charge, told)
}

/// The cumulative form of a refund.
fn charge_refunded(charge: &Charge, refunded: Minor, at: Time) -> Event {
    let id = format!("{}_refunded_{refunded}", charge.id);
    event(
        &id,
        "charge.refunded",
        at,
        charge.live,
        charge_object(charge, refunded),
    )
}

/// The form of a refund by itself, with its status.
fn refund(charge: &Charge, id: &str, amount: Minor, status: &str, at: Time) -> Event {
    let kind = match status {
        "failed" => "refund.failed",
        _ => "refund.created",
    };
    let object = refund_object(charge, id, amount, status, at);
    event(&format!("{id}_{status}"), kind, at, charge.live, object)
}

fn refund_object(charge: &Charge, id: &str, amount: Minor, status: &str, at: Time) -> Value {
    json!({
        "id": id, "object": "refund", "amount": amount, "charge": charge.id,
        "payment_intent": format!("pi_{}", charge.id), "currency": charge.currency,
        "created": at.ms() / SECOND_MS, "status": status,
    })
}

/// Two refunds that only their sum tells of, of which one fails: how much stands
/// then is known from the list alone.
fn sum_and_failure(charge: &Charge, part: Minor, (at, failed): (Time, Time)) -> [Event; 2] {
    let id = |number: usize| format!("re_{}_{number}", charge.id);
    let list = json!({
        "object": "list",
        "data": [
            refund_object(charge, &id(1), part, "succeeded", at),
            refund_object(charge, &id(2), part, "failed", at),
        ],
        "has_more": false,
    });
    let path = format!("/v1/refunds?charge={}&limit=100", charge.id);
    [
        charge_refunded(charge, part * 2, at),
        refund(charge, &id(2), part, "failed", failed),
    ]
    .map(|event| event.answered(path.clone(), list.to_string()))
}

/// A dispute that withdrew the whole charge, or gave it back.
fn dispute(charge: &Charge, what: &str, status: &str, at: Time) -> Event {
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
    let id = format!("{}_{what}", charge.id);
    event(
        &id,
        &format!("charge.dispute.{what}"),
        at,
        charge.live,
        object,
    )
}

/// The `Stripe-Signature` header of a body sent now.
fn sign(secret: &str, body: &str, now: Time) -> Vec<(&'static str, String)> {
    let t = now.ms() / SECOND_MS;
    // HMAC takes a key of any length, so there is always one.
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(format!("{t}.{body}").as_bytes());
        hex::encode(mac.finalize().into_bytes())
    });
    vec![(
        "Stripe-Signature",
        format!("t={t},v1={}", mac.unwrap_or_default()),
    )]
}

/// One charge's events: the sale first, then what went back.
fn history(charge: &Charge, kind: usize, rng: &mut StdRng) -> Vec<Event> {
    let mut events = vec![charge_succeeded(charge)];
    let later = |minutes: i64| charge.at.plus(minutes * MINUTE_MS);
    let part: Minor = (charge.amount / 10).max(1) + rng.random_range(0..5);
    let id = |number: usize| format!("re_{}_{number}", charge.id);
    match kind % 12 {
        // A refund told in both forms counts once.
        1 => events.extend([
            refund(charge, &id(1), part, "succeeded", later(5)),
            charge_refunded(charge, part, later(5)),
        ]),
        // A thin event, and nothing beside it.
        2 => events = vec![thin(charge, "charge.succeeded")],
        // Two refunds, told only as a growing sum.
        3 => events.extend([
            charge_refunded(charge, part, later(5)),
            charge_refunded(charge, part * 2, later(9)),
        ]),
        // All of it, in two steps.
        5 => events.extend([
            refund(charge, &id(1), part, "succeeded", later(5)),
            refund(charge, &id(2), charge.amount - part, "succeeded", later(6)),
        ]),
        // A refund that failed gives the money back.
        7 => events.extend([
            refund(charge, &id(1), part, "succeeded", later(5)),
            refund(charge, &id(1), part, "failed", later(60)),
        ]),
        8 => events.extend(sum_and_failure(charge, part, (later(5), later(60)))),
        // A dispute that was lost, and one that was won.
        9 => events.push(dispute(
            charge,
            "funds_withdrawn",
            "needs_response",
            later(90),
        )),
        11 => events.extend([
            dispute(charge, "funds_withdrawn", "needs_response", later(90)),
            dispute(charge, "closed", "won", later(900)),
        ]),
        _ => {}
    }
    events
}
