//! Pyng's side of the demo: the end of checkout sessions, signed with Ed25519.
//!
//! No webhook states an amount, and none tells of a refund: the merchant's back
//! end says with the order's link what was to be paid. The key pair was made for
//! the demo and opens nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngExt as _;
use rand::rngs::StdRng;
use ring::signature::Ed25519KeyPair;
use serde_json::json;

use super::event::Event;
use super::script;
use super::{Player, Proof};
use crate::money::Minor;
use crate::time::{SECOND_MS, Time};

/// Pyng's part.
pub(super) const PLAYER: Player = Player {
    source: "pyng",
    settings: "scheme = \"session\"\n",
    proof: Proof::Pair {
        private: SEED,
        public: PUBLIC,
    },
    asked: false,
    opening,
    story,
};

/// The seed of the demo's key, in hexadecimal digits.
const SEED: &str = "cf97cc378f463ddae3a003cf0e158056c5884158053d5724aaf0d44b8b428523";

/// The public key under the name that its signatures carry.
const PUBLIC: &str = "kid: demo\n\
-----BEGIN PUBLIC KEY-----\n\
MCowBQYDK2VwAyEAMWl+gPIX1Ah/hKNv+Azy8RdSH+hcZGeBOYyWk9nEGGY=\n\
-----END PUBLIC KEY-----";

/// Nothing comes before the payments: each has its link.
fn opening(_at: Time) -> Vec<Event> {
    Vec::new()
}

/// One session and its link; the link may come after the payment.
fn story(number: usize, at: Time, rng: &mut StdRng) -> Vec<Event> {
    let amount: Minor = rng.random_range(900..80_000);
    let link = Event::link(
        PLAYER.source,
        "order",
        order(number),
        script::customer(rng),
        Some((amount, "AUD")),
    );
    match number % 8 {
        2 => vec![session(number, "Expired", "Expired", at)],
        4 => vec![session(number, "Cancelled", "Cancelled", at)],
        _ => vec![link, session(number, "Completed", "Succeeded", at)],
    }
}

fn order(number: usize) -> String {
    format!("pyng-order-{number:04}")
}

fn session(number: usize, status: &str, outcome: &str, at: Time) -> Event {
    let body = json!({
        "data": {
            "checkoutSessionId": format!("cs-{number:04}"),
            "orderId": order(number),
            "siteId": "site-1",
            "status": status,
            "outcome": outcome,
            "paymentIntentId": format!("pi-{number:04}"),
            "updatedAt": at.to_string(),
        },
        "traceId": format!("trace-{number:04}"),
    });
    Event::delivery(PLAYER.source, body.to_string(), sign)
}

/// The headers of a body.
fn sign(seed: &str, body: &str, now: Time) -> Vec<(&'static str, String)> {
    let stamp = now.ms().div_euclid(SECOND_MS).to_string();
    let pair = Ed25519KeyPair::from_seed_unchecked(&hex::decode(seed).unwrap_or_default());
    // The seed is ours, so there is always a signature.
    let signed = pair.map(|pair| {
        let message = format!("{stamp}.{body}");
        STANDARD.encode(pair.sign(message.as_bytes()))
    });
    vec![
        ("Content-Type", "application/json".to_owned()),
        ("X-Pyng-Signature", signed.unwrap_or_default()),
        ("X-Pyng-Signature-Kid", "demo".to_owned()),
        ("X-Pyng-Timestamp", stamp),
    ]
}
