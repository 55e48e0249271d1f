//! Chargebee's side of the demo: events as Chargebee writes them, with HTTP
//! Basic.
//!
//! Only the fields that matter are written, in the shapes of API v2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::event::Event;
use super::script;
use super::{Player, Proof};
use crate::money::Minor;
use crate::time::{MINUTE_MS, SECOND_MS, Time};

/// Chargebee's part.
pub(super) const PLAYER: Player = Player {
    source: "chargebee",
    settings: "",
    proof: Proof::Shared,
    asked: false,
    opening,
    story,
};

/// The user whose password the demo's secret is.
const USER: &str = "demo";

fn opening(at: Time) -> Vec<Event> {
    let created = |key| {
        let id = customer_id(key);
        let customer = json!({
            "id": id, "object": "customer", "resource_version": at.ms(),
            "meta_data": {"customer_key": key},
        });
        let content = json!({"customer": customer});
        event(&format!("{id}_created"), "customer_created", at, &content)
    };
    script::customers().map(created).collect()
}

fn customer_id(key: &str) -> String {
    format!("demo {key}")
}

/// What a payment is made of.
struct Payment {
    number: usize,
    customer: &'static str,
    amount: Minor,
    currency: &'static str,
    at: Time,
}

/// One payment: its sale first, then what went back.
fn story(number: usize, at: Time, rng: &mut StdRng) -> Vec<Event> {
    let (amount, currency) = match number % 8 {
        0 => (rng.random_range(500..90_000), "JPY"),
        _ => (rng.random_range(499..60_000), "USD"),
    };
    let payment = Payment {
        number,
        customer: script::customer(rng),
        amount,
        currency,
        at,
    };
    history(&payment, rng)
}

impl Payment {
    fn id(&self) -> String {
        format!("txn_demo{:04}", self.number)
    }

    fn later(&self, minutes: i64) -> Time {
        self.at.plus(minutes * MINUTE_MS)
    }

    /// The transaction as it is at `now`.
    fn transaction(&self, status: &str, now: Time) -> Value {
        json!({
            "id": self.id(), "object": "transaction", "type": "payment", "status": status,
            "customer_id": customer_id(self.customer), "amount": self.amount,
            "currency_code": self.currency, "date": self.at.ms() / SECOND_MS,
            "resource_version": now.ms(), "gateway": "chargebee", "payment_method": "card",
            "id_at_gateway": format!("cb_{}", self.id()),
            "linked_invoices": [{"invoice_id": self.invoice(), "applied_amount": self.amount}],
        })
    }

    fn invoice(&self) -> String {
        format!("DEMO-{:04}", self.number)
    }

    /// The customer with its metadata in one of the forms that occur; where
    /// there is none, the customer is found by its link.
    fn customer(&self) -> Value {
        let mut customer = json!({"id": customer_id(self.customer), "object": "customer"});
        let metadata = json!({"customer_key": self.customer});
        match self.number % 3 {
            0 => customer["meta_data"] = metadata,
            1 => customer["meta_data"] = json!(metadata.to_string()),
            _ => {}
        }
        customer
    }

    /// An event with the payment itself.
    fn told(&self, name: &str, status: &str, at: Time) -> Event {
        let content = json!({
            "transaction": self.transaction(status, at),
            "invoice": {"id": self.invoice(), "object": "invoice"},
            "customer": self.customer(),
        });
        event(&format!("{}_{name}", self.id()), name, at, &content)
    }

    /// An event with a refund of it that names it.
    fn refund(&self, part: usize, amount: Minor, status: &str, minutes: i64) -> Event {
        let name = match status {
            "success" => "payment_refunded",
            "in_progress" => "refund_initiated",
            _ => "transaction_updated",
        };
        let more = json!({"refunded_txn_id": self.id()});
        self.reversal(name, part, (amount, status), minutes, &more)
    }

    /// An event with a refund and `more` of its fields.
    fn reversal(
        &self,
        name: &str,
        part: usize,
        (amount, status): (Minor, &str),
        minutes: i64,
        more: &Value,
    ) -> Event {
        let at = self.later(minutes);
        let id = format!("{}_r{part}", self.id());
        let mut refund = json!({
            "id": id, "object": "transaction", "type": "refund", "status": status,
            "customer_id": customer_id(self.customer), "amount": amount,
            "currency_code": self.currency, "date": at.ms() / SECOND_MS,
            "resource_version": at.ms(), "gateway": "chargebee", "payment_method": "card",
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            refund[field] = value.clone();
        }
        let content = json!({"transaction": refund});
        event(&format!("{id}_{name}"), name, at, &content)
    }
}

fn event(id: &str, name: &str, at: Time, content: &Value) -> Event {
    let event = json!({
        "id": format!("ev_{id}"), "object": "event", "api_version": "v2",
        "occurred_at": at.ms() / SECOND_MS, "event_type": name,
        "webhook_status": "not_configured", "content": content,
    });
    Event::delivery(PLAYER.source, event.to_string(), sign)
}

/// The `Authorization` header; Chargebee signs nothing.
fn sign(secret: &str, _: &str, _: Time) -> Vec<(&'static str, String)> {
    let credentials = STANDARD.encode(format!("{USER}:{secret}"));
    vec![("Authorization", format!("Basic {credentials}"))]
}

/// One payment's events: the sale first, then what went back.
fn history(payment: &Payment, rng: &mut StdRng) -> Vec<Event> {
    let mut events = vec![payment.told("payment_succeeded", "success", payment.at)];
    let all = payment.amount;
    let part: Minor = (all / 10).max(1) + rng.random_range(0..5);
    match payment.number % 12 {
        1 => events.push(payment.refund(1, part, "success", 5)),
        // A direct debit that was returned.
        2 => events.push(payment.told("payment_failed", "late_failure", payment.later(900))),
        // Two parts, and all of it in two steps.
        3 => events.extend([
            payment.refund(1, part, "success", 5),
            payment.refund(2, part, "success", 9),
        ]),
        5 => events.extend([
            payment.refund(1, part, "success", 5),
            payment.refund(2, all - part, "success", 6),
        ]),
        // Announced first, then made.
        4 => events.extend([
            payment.refund(1, part, "in_progress", 5),
            payment.refund(1, part, "success", 60),
        ]),
        // A refund that was voided gives the money back.
        7 => events.extend([
            payment.refund(1, part, "success", 5),
            payment.refund(1, part, "voided", 60),
        ]),
        // The payment was deleted.
        8 => events.push(payment.told("transaction_deleted", "success", payment.later(30))),
        // A chargeback.
        9 => events.push(payment.reversal(
            "payment_refunded",
            1,
            (all, "success"),
            90,
            &json!({"refunded_txn_id": payment.id(), "payment_method": "chargeback"}),
        )),
        // A refund that is only told as one of the invoice.
        10 => events.push(payment.reversal(
            "payment_refunded",
            1,
            (part, "success"),
            5,
            &json!({"linked_credit_notes": [{"cn_reference_invoice_id": payment.invoice()}]}),
        )),
        // A refund that was deleted names nothing any more.
        11 => events.extend([
            payment.refund(1, part, "success", 5),
            payment.reversal(
                "transaction_deleted",
                1,
                (part, "success"),
                60,
                &json!({"deleted": true, "linked_credit_notes": []}),
            ),
        ]),
        _ => {}
    }
    events
}
