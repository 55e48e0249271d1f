//! Chargify's side of the demo: forms as Chargify posts them, signed.
//!
//! Only the fields that matter are written. The site's currency is a setting,
//! because refunds name none.

use form_urlencoded::byte_serialize;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use rand::rngs::StdRng;
use sha2::Sha256;

use super::event::Event;
use super::script;
use super::{Player, Proof};
use crate::money::Minor;
use crate::time::{MINUTE_MS, Time};

/// Chargify's part.
pub(super) const PLAYER: Player = Player {
    source: "chargify",
    settings: "currency = \"USD\"\n",
    proof: Proof::Shared,
    asked: false,
    opening,
    story,
};

/// Nothing comes before the payments: each names its customer.
fn opening(_at: Time) -> Vec<Event> {
    Vec::new()
}

/// What a payment is made of.
struct Payment {
    number: usize,
    customer: &'static str,
    amount: Minor,
    currency: &'static str,
    gateway: &'static str,
    at: Time,
}

/// One payment: its sale first, then what went back.
fn story(number: usize, at: Time, rng: &mut StdRng) -> Vec<Event> {
    let payment = Payment {
        number,
        customer: script::customer(rng),
        amount: rng.random_range(900..80_000),
        // Payments in another currency than the site's are not refunded here.
        currency: if number % 8 == 4 { "EUR" } else { "USD" },
        gateway: if number.is_multiple_of(19) {
            "bogus"
        } else {
            "braintree_blue"
        },
        at,
    };
    let later = |minutes: i64| at.plus(minutes * MINUTE_MS);
    let part = payment.amount / 7;
    // The renewal tells of the same money and must not be counted.
    let mut events = vec![payment_success(&payment), renewal_success(&payment)];
    match number % 8 {
        1 => events.push(refund_success(&payment, 1, part, later(7))),
        3 => events.extend([
            refund_success(&payment, 1, part, later(7)),
            refund_success(&payment, 2, payment.amount - part, later(50)),
        ]),
        5 => events.push(refund_success(&payment, 1, payment.amount, later(3))),
        7 => events.push(direct_debit_rejected(&payment, later(4_000))),
        _ => {}
    }
    events
}

/// The payment's id; none of Stripe's looks like it.
fn transaction(payment: &Payment) -> String {
    format!("9100{:04}", payment.number)
}

fn event(id: &str, name: &str, fields: &[(&str, String)]) -> Event {
    let mut body = format!("id={id}&event={name}");
    for (field, value) in fields {
        let value: String = byte_serialize(value.as_bytes()).collect();
        body.push_str(&format!("&payload{field}={value}"));
    }
    Event::delivery(PLAYER.source, body, sign)
}

fn subscription(payment: &Payment) -> Vec<(&'static str, String)> {
    vec![
        ("[subscription][id]", format!("3300{:04}", payment.number)),
        ("[subscription][currency]", payment.currency.to_owned()),
        (
            "[subscription][customer][reference]",
            payment.customer.to_owned(),
        ),
        ("[subscription][product][handle]", "team".to_owned()),
    ]
}

fn transaction_of(payment: &Payment, success: bool) -> Vec<(&'static str, String)> {
    let mut fields = subscription(payment);
    fields.extend([
        ("[transaction][id]", transaction(payment)),
        ("[transaction][type]", "Payment".to_owned()),
        ("[transaction][success]", success.to_string()),
        ("[transaction][amount_in_cents]", payment.amount.to_string()),
        ("[transaction][created_at]", payment.at.to_string()),
        ("[transaction][gateway_used]", payment.gateway.to_owned()),
        (
            "[transaction][gateway_transaction_id]",
            format!("gt{:04}", payment.number),
        ),
    ]);
    fields
}

fn payment_success(payment: &Payment) -> Event {
    let id = format!("7801{:04}", payment.number);
    event(&id, "payment_success", &transaction_of(payment, true))
}

fn renewal_success(payment: &Payment) -> Event {
    let id = format!("7802{:04}", payment.number);
    event(&id, "renewal_success", &subscription(payment))
}

/// A refund is flat: it has no subscription and no currency.
fn refund_success(payment: &Payment, which: usize, amount: Minor, at: Time) -> Event {
    let fields = [
        ("[refund_id]", format!("92{which:02}{:04}", payment.number)),
        ("[payment_id]", transaction(payment)),
        ("[amount_in_cents]", amount.to_string()),
        ("[payment_amount_in_cents]", payment.amount.to_string()),
        ("[customer_reference]", payment.customer.to_owned()),
        ("[gateway_used]", payment.gateway.to_owned()),
        ("[timestamp]", at.to_string()),
    ];
    let id = format!("781{which}{:04}", payment.number);
    event(&id, "refund_success", &fields)
}

/// The bank took a direct debit back after it had succeeded.
fn direct_debit_rejected(payment: &Payment, at: Time) -> Event {
    let mut fields = transaction_of(payment, false);
    fields.push(("[timestamp]", at.to_string()));
    let id = format!("7820{:04}", payment.number);
    event(&id, "direct_debit_payment_rejected", &fields)
}

/// The headers of a body.
fn sign(secret: &str, body: &str, _now: Time) -> Vec<(&'static str, String)> {
    // HMAC takes a key of any length, so there is always one.
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(body.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    });
    vec![
        (
            "Content-Type",
            "application/x-www-form-urlencoded".to_owned(),
        ),
        (
            "X-Chargify-Webhook-Signature-Hmac-Sha-256",
            mac.unwrap_or_default(),
        ),
    ]
}
