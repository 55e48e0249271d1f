//! Recurly's side of the demo: XML notifications as Recurly writes them, with
//! the password of the endpoint, and some in JSON, signed, with what Recurly's
//! API answers about them.
//!
//! Only what matters is written. Customers need no opening: every payment names
//! its account.

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

/// Recurly's part.
pub(super) const PLAYER: Player = Player {
    source: "recurly",
    settings: "currency = \"USD\"\n",
    proof: Proof::Shared,
    asked: true,
    opening,
    story,
};

/// The user of the endpoint; only the password is secret.
const USER: &str = "tributary";

fn opening(_: Time) -> Vec<Event> {
    Vec::new()
}

/// One payment: its sale first, then what went back.
fn story(number: usize, at: Time, rng: &mut StdRng) -> Vec<Event> {
    let payment = Payment {
        number,
        account: script::customer(rng),
        amount: rng.random_range(499..60_000),
        at,
        test: number.is_multiple_of(17),
    };
    match number % 12 {
        2 | 6 | 10 => thin_history(&payment),
        _ => history(&payment, rng),
    }
}

/// What a payment is made of.
struct Payment {
    number: usize,
    account: &'static str,
    amount: Minor,
    at: Time,
    test: bool,
}

/// What a notification says of a transaction.
struct Said<'a> {
    root: &'a str,
    id: String,
    action: &'a str,
    status: &'a str,
    amount: Minor,
    at: Time,
}

impl Payment {
    fn id(&self) -> String {
        format!("demo{:04}purchase", self.number)
    }

    /// A notification about the payment's own transaction.
    fn purchase(&self, root: &str, status: &str, minutes: i64) -> Event {
        self.notification(&Said {
            root,
            id: self.id(),
            action: "purchase",
            status,
            amount: self.amount,
            at: self.at.plus(minutes * MINUTE_MS),
        })
    }

    fn paid(&self) -> Event {
        self.purchase("successful_payment_notification", "success", 0)
    }

    fn updated(&self, status: &str, minutes: i64) -> Event {
        let root = "transaction_status_updated_notification";
        self.purchase(root, status, minutes)
    }

    /// A refund: a transaction of its own that names the invoice.
    fn refunded(&self, number: usize, amount: Minor, minutes: i64) -> Event {
        self.notification(&Said {
            root: "successful_refund_notification",
            id: format!("demo{:04}refund{number}", self.number),
            action: "credit",
            status: "success",
            amount,
            at: self.at.plus(minutes * MINUTE_MS),
        })
    }

    fn notification(&self, said: &Said<'_>) -> Event {
        let Said {
            root,
            id,
            action,
            status,
            amount,
            at,
        } = said;
        let (number, account, test) = (self.number, self.account, self.test);
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <{root}>\n\
             \x20 <account>\n\
             \x20   <account_code>{account}</account_code>\n\
             \x20   <company_name nil=\"true\"></company_name>\n\
             \x20 </account>\n\
             \x20 <transaction>\n\
             \x20   <id>{id}</id>\n\
             \x20   <invoice_id>demo{number:04}invoice</invoice_id>\n\
             \x20   <invoice_number type=\"integer\">{number}</invoice_number>\n\
             \x20   <action>{action}</action>\n\
             \x20   <date type=\"datetime\">{at}</date>\n\
             \x20   <amount_in_cents type=\"integer\">{amount}</amount_in_cents>\n\
             \x20   <status>{status}</status>\n\
             \x20   <test type=\"boolean\">{test}</test>\n\
             \x20 </transaction>\n\
             </{root}>\n"
        );
        Event::delivery(PLAYER.source, body, sign)
    }
}

/// One payment whose notifications are in JSON: kept, refunded or voided.
fn thin_history(payment: &Payment) -> Vec<Event> {
    match payment.number % 12 {
        2 => vec![payment.thin("succeeded", &payment.id(), "success")],
        6 => vec![
            payment.thin("succeeded", &payment.id(), "success"),
            payment.thin("refunded", &payment.refund_id(), "success"),
        ],
        _ => vec![
            payment.thin("succeeded", &payment.id(), "void"),
            payment.thin("voided", &payment.id(), "void"),
        ],
    }
}

impl Payment {
    fn refund_id(&self) -> String {
        format!("demo{:04}refund", self.number)
    }

    /// The short id, by which a refund names its payment.
    fn short_id(&self) -> String {
        format!("d{:04}", self.number)
    }

    /// A notification in JSON. Whatever is asked, and whenever, Recurly's API
    /// says what has become of the payment: `status`.
    fn thin(&self, event: &str, uuid: &str, status: &str) -> Event {
        let body = json!({
            "id": self.short_id(), "object_type": "payment", "site_id": "demo",
            "event_type": event, "event_time": self.at.to_string(), "uuid": uuid,
        });
        let (paid, id) = (self.answer("purchase", status), self.short_id());
        Event::delivery(PLAYER.source, body.to_string(), sign_json)
            .answered(format!("/transactions/uuid-{}", self.id()), paid.clone())
            .answered(format!("/transactions/{id}"), paid)
            .answered(
                format!("/transactions/uuid-{}", self.refund_id()),
                self.answer("refund", "success"),
            )
    }

    /// The payment's own transaction, or the refund of a tenth of it.
    fn answer(&self, kind: &str, status: &str) -> String {
        let refund = kind == "refund";
        let (cents, uuid) = match refund {
            true => ((self.amount / 10).max(1), self.refund_id()),
            false => (self.amount, self.id()),
        };
        let answer = json!({
            "id": if refund { format!("{}r", self.short_id()) } else { self.short_id() },
            "object": "transaction",
            "uuid": uuid,
            "original_transaction_id": if refund { Value::from(self.short_id()) } else { Value::Null },
            "account": {"code": self.account},
            "type": kind,
            "status": status,
            "currency": "USD",
            "amount": format!("{}.{:02}", cents / 100, cents % 100),
            "created_at": self.at.to_string(),
            "updated_at": self.at.plus(MINUTE_MS).to_string(),
        });
        answer.to_string()
    }
}

/// JSON is signed, over the time and the body.
fn sign_json(secret: &str, body: &str, now: Time) -> Vec<(&'static str, String)> {
    let t = now.ms();
    // HMAC takes a key of any length, so there is always one.
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(format!("{t}.{body}").as_bytes());
        hex::encode(mac.finalize().into_bytes())
    });
    let signature = format!("{t},{}", mac.unwrap_or_default());
    vec![
        ("Content-Type", "application/json".to_owned()),
        ("Recurly-Signature", signature),
    ]
}

/// XML is not signed: the password is all that proves it.
fn sign(secret: &str, _: &str, _: Time) -> Vec<(&'static str, String)> {
    let credentials = STANDARD.encode(format!("{USER}:{secret}"));
    vec![
        ("Content-Type", "application/xml; charset=utf-8".to_owned()),
        ("Authorization", format!("Basic {credentials}")),
    ]
}

/// One payment's notifications: the sale first, then what went back.
fn history(payment: &Payment, rng: &mut StdRng) -> Vec<Event> {
    let part: Minor = (payment.amount / 10).max(1) + rng.random_range(0..5);
    let failed = "failed_payment_notification";
    let mut events = vec![payment.paid()];
    match payment.number % 12 {
        1 => events.push(payment.refunded(1, part, 5)),
        // All of it, in two steps.
        3 => events.extend([
            payment.refunded(1, part, 5),
            payment.refunded(2, payment.amount - part, 6),
        ]),
        // Undone before it was settled, under its own id.
        5 => events.push(payment.purchase("void_payment_notification", "void", 90)),
        // A failed attempt takes nothing away from the success.
        7 => events.push(payment.purchase(failed, "Declined", -5)),
        // A bank debit that went through at last, told in both ways.
        9 => events.extend([
            payment.purchase("processing_payment_notification", "processing", -90),
            payment.updated("success", 0),
        ]),
        // A bank debit that was taken back later.
        11 => events.push(payment.updated("declined", 900)),
        _ => {}
    }
    events
}
