//! A sender of nobody's in the demo: signed by Standard Webhooks, read by rules
//! of the configuration alone.
//!
//! Only the fields that the rules name are written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::event::Event;
use super::script;
use super::{Player, Proof};
use crate::money::Minor;
use crate::time::{MINUTE_MS, SECOND_MS, Time};

/// The custom provider's part. The secret of the demo is no Base64, so that its
/// own bytes are the key.
pub(super) const PLAYER: Player = Player {
    source: "custom",
    settings: r#"
        [sources.custom.signature]
        scheme = "standard-webhooks"
        key = "utf8"
        [sources.custom.event]
        name = "/type"
        id_header = "webhook-id"
        time = "/at"
        [[sources.custom.rules]]
        movement = "payment"
        when = { "/type" = "order.paid" }
        payment_id = "/order"
        amount = "/amount"
        amount_form = "decimal"
        currency = "/currency"
        clues = { "metadata.customer_key" = "/customer" }
        [[sources.custom.rules]]
        movement = "refund"
        when = { "/type" = "refund.done" }
        payment_id = "/order"
        id = "/refund"
        amount = "/amount"
        amount_form = "decimal"
        currency = "/currency"
        [[sources.custom.rules]]
        movement = "refund_failed"
        when = { "/type" = "refund.failed" }
        payment_id = "/order"
        id = "/refund"
        amount = "/amount"
        amount_form = "decimal"
        currency = "/currency"
        [[sources.custom.rules]]
        movement = "void"
        when = { "/type" = "order.voided" }
        payment_id = "/order"
        currency = "/currency"
    "#,
    proof: Proof::Shared,
    asked: false,
    opening,
    story,
};

/// Nothing comes before the payments: each names its customer.
fn opening(_at: Time) -> Vec<Event> {
    Vec::new()
}

/// One payment: its sale first, then what went back.
fn story(number: usize, at: Time, rng: &mut StdRng) -> Vec<Event> {
    let amount: Minor = rng.random_range(900..80_000);
    let currency = ["USD", "JPY", "KWD"][number % 3];
    let decimal = |minor: Minor| {
        let shown = currency
            .parse()
            .map(|it: crate::money::Currency| it.show(minor));
        let shown = shown.unwrap_or_default();
        shown.split(' ').next().unwrap_or_default().to_owned()
    };
    let later = |minutes: i64| at.plus(minutes * MINUTE_MS);
    let order = format!("ord_{number:04}");
    let event = |name: &str, at: Time, more: Value| {
        let mut body = json!({
            "type": name, "at": at.to_string(), "order": order, "currency": currency,
        });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        Event::delivery(PLAYER.source, body.to_string(), sign)
    };
    let refund = |name: &str, which: usize, part: Minor, at: Time| {
        let id = format!("ref_{number:04}_{which}");
        event(name, at, json!({"refund": id, "amount": decimal(part)}))
    };
    let paid = json!({"amount": decimal(amount), "customer": script::customer(rng)});
    let part = amount / 7;
    // The last is of no rule and must change nothing.
    let mut events = vec![
        event("order.paid", at, paid),
        event("order.shipped", later(1), json!({})),
    ];
    match number % 8 {
        1 => events.push(refund("refund.done", 1, part, later(7))),
        3 => events.extend([
            refund("refund.done", 1, part, later(7)),
            refund("refund.done", 2, amount - part, later(50)),
        ]),
        5 => events.extend([
            refund("refund.done", 1, part, later(7)),
            refund("refund.failed", 1, part, later(9)),
        ]),
        7 => events.push(event("order.voided", later(90), json!({}))),
        _ => {}
    }
    events
}

/// The headers of a body. A body that is sent again is the same delivery.
fn sign(secret: &str, body: &str, now: Time) -> Vec<(&'static str, String)> {
    let digest = hex::encode(Sha256::digest(body.as_bytes()));
    let id = format!("msg_{}", digest.get(..24).unwrap_or_default());
    let seconds = now.ms().div_euclid(SECOND_MS);
    // HMAC takes a key of any length, so there is always one.
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    });
    vec![
        ("Content-Type", "application/json".to_owned()),
        ("Webhook-Id", id),
        ("Webhook-Timestamp", seconds.to_string()),
        (
            "Webhook-Signature",
            format!("v1,{}", mac.unwrap_or_default()),
        ),
    ]
}
