//! Pats' side of the demo: thin webhooks, signed with RSA and SHA-1, and an API
//! that says the rest.
//!
//! The key pair was made for the demo and opens nothing. It is short, because a
//! build without optimisation signs some hundred times with it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use num_bigint::BigUint;
use rand::RngExt as _;
use rand::rngs::StdRng;
use ring::digest;
use serde_json::{Value, json};

use super::event::Event;
use super::script;
use super::{Player, Proof};
use crate::money::Minor;
use crate::time::{MINUTE_MS, Time};

/// Pats' part. The links of its orders and its API say what its webhooks do not.
pub(super) const PLAYER: Player = Player {
    source: "pats",
    settings: "currency = \"EUR\"\n",
    proof: Proof::Pair {
        private: PRIVATE,
        public: PUBLIC,
    },
    asked: true,
    opening,
    story,
};

/// The private exponent of the demo's key, in hexadecimal digits.
const PRIVATE: &str = "\
384616d8f7f933693b6487f7c02cd2532535519595fed1aae46f96c47779e49dd51c7171a8ef\
a90b894777b09ac9247906fdc70854af77583a934e918f208a3023dd0b0c5fcb08f3382b5c4d\
5341f41a44885fc41f6c411623ff048a0203efcb3c7820fb3713c32497abf1bf4aeef4e2c56f\
f3606b2b615c67ea0990e44d4201";

/// The modulus of the demo's key.
const MODULUS: &str = "\
c2b34dea1701354134f9b182501fd22828fbcb46e4c9506209ed2d2aed3f02060623b6c706b1\
b8a1588267bddd43601edc62afb90406534d4debbe3891c602fd4222eae05096a15dcc4ac3e5\
5ebb825fcd29070ef52b720b3d1aecdf2e526797c39bd960f457751c7d3e25ca0992a69b4a08\
8681394cbe616f61bd233cf15205";

/// The public key, as a merchant pastes it.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDCs03qFwE1QTT5sYJQH9IoKPvL\n\
RuTJUGIJ7S0q7T8CBgYjtscGsbihWIJnvd1DYB7cYq+5BAZTTU3rvjiRxgL9QiLq\n\
4FCWoV3MSsPlXruCX80pBw71K3ILPRrs3y5SZ5fDm9lg9Fd1HH0+JcoJkqabSgiG\n\
gTlMvmFvYb0jPPFSBQIDAQAB\n\
-----END PUBLIC KEY-----";

/// Bytes of the modulus, and of every signature.
const MODULUS_BYTES: usize = 128;

/// What stands before a SHA-1 digest in a signature of PKCS#1 v1.5.
const SHA1_PREFIX: &str = "3021300906052b0e03021a05000414";

/// Nothing comes before the payments: each has its link.
fn opening(_at: Time) -> Vec<Event> {
    Vec::new()
}

/// One payment: its link, its settlement, then what went back.
fn story(number: usize, at: Time, rng: &mut StdRng) -> Vec<Event> {
    let amount: Minor = rng.random_range(900..80_000);
    let part = amount / 4;
    let link = Event::link(
        PLAYER.source,
        "reference",
        order(number),
        script::customer(rng),
        None,
    );
    let mut events = match number % 8 {
        2 => {
            return vec![webhook(
                "transaction",
                &payment(number),
                "DECLINED",
                Some(amount),
                None,
            )];
        }
        // The webhook does not say how much, so the API is asked.
        7 => vec![link, paid(number, None, amount, at)],
        _ => vec![link, paid(number, Some(amount), amount, at)],
    };
    match number % 8 {
        1 => events.push(refund(number, 1, part, at)),
        3 => events.extend([
            refund(number, 1, part, at),
            refund(number, 2, amount - part, at),
        ]),
        5 => events.push(chargeback(number, "LOST", "LOST", amount, at)),
        // The two come in any order; the API says how it ended.
        6 => events.extend([
            chargeback(number, "LOST", "WON", amount, at),
            chargeback(number, "WON", "WON", amount, at),
        ]),
        _ => {}
    }
    events
}

fn payment(number: usize) -> String {
    format!("5d0c7a10-{number:04}")
}

fn order(number: usize) -> String {
    format!("pats-order-{number:04}")
}

fn webhook(
    kind: &str,
    id: &str,
    status: &str,
    amount: Option<Minor>,
    reference: Option<String>,
) -> Event {
    let mut body = json!({ "type": kind, "id": id, "status": status });
    if let Some(amount) = amount {
        body["amount"] = amount.into();
    }
    if let Some(reference) = reference {
        body["merchant_reference"] = reference.into();
    }
    Event::delivery(PLAYER.source, body.to_string(), sign)
}

fn paid(number: usize, told: Option<Minor>, amount: Minor, at: Time) -> Event {
    let id = payment(number);
    let answer = json!({
        "id": id,
        "payment_profile": "prof-1",
        "amount": amount,
        "status": "SETTLEMENT_COMPLETED",
        "merchant_reference": order(number),
        "last_status_update": at.to_string(),
    });
    let reference = Some(order(number));
    webhook("transaction", &id, "SETTLEMENT_COMPLETED", told, reference)
        .answered(format!("/transaction/{id}"), answer.to_string())
}

/// A reversal: the webhook has its id, the API its payment.
fn reversal(kind: &str, id: &str, (told, known): (&str, &str), amount: Minor, of: Value) -> Event {
    let mut answer = of;
    answer["_id"] = id.into();
    answer["amount"] = amount.into();
    answer["status"] = known.into();
    webhook(kind, id, told, Some(amount), None)
        .answered(format!("/{kind}/{id}"), answer.to_string())
}

fn refund(number: usize, which: usize, amount: Minor, at: Time) -> Event {
    let of = json!({
        "transaction": { "_id": payment(number) },
        "lastStatusUpdate": at.plus(30 * MINUTE_MS).to_string(),
    });
    let id = format!("6e1c7a1{which}-{number:04}");
    reversal("refund", &id, ("PROCESSED", "PROCESSED"), amount, of)
}

fn chargeback(number: usize, told: &str, known: &str, amount: Minor, at: Time) -> Event {
    let of = json!({
        "transaction": payment(number),
        "lastStatusUpdate": at.plus(90 * MINUTE_MS).to_string(),
    });
    let id = format!("7f2c7a10-{number:04}");
    reversal("chargeback", &id, (told, known), amount, of)
}

/// The headers of a body: RSASSA-PKCS1-v1_5 with SHA-1, by the book, because
/// nothing that is kept up signs with SHA-1 any more.
fn sign(private: &str, body: &str, _now: Time) -> Vec<(&'static str, String)> {
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, body.as_bytes());
    let mut block = String::from("0001");
    let filled = MODULUS_BYTES - 3 - SHA1_PREFIX.len() / 2 - digest.as_ref().len();
    block.push_str(&"ff".repeat(filled));
    let _ = write!(block, "00{SHA1_PREFIX}{}", hex::encode(digest.as_ref()));
    let number = |digits: &str| BigUint::parse_bytes(digits.as_bytes(), 16).unwrap_or_default();
    let signed = number(&block).modpow(&number(private), &number(MODULUS));
    let bytes = signed.to_bytes_be();
    // A number may be shorter than the modulus; a signature is not.
    let mut signature = vec![0; MODULUS_BYTES.saturating_sub(bytes.len())];
    signature.extend(bytes);
    vec![
        ("Content-Type", "application/json".to_owned()),
        ("X-Signature", STANDARD.encode(signature)),
    ]
}
