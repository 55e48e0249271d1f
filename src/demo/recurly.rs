//! Recurly's side of the demo: XML notifications as Recurly writes them, with
//! the password of the endpoint.
//!
//! Only the elements that matter are written. Customers need no opening: every
//! payment names its account.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngExt as _;
use rand::rngs::StdRng;

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
    asked: false,
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
    history(&payment, rng)
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
