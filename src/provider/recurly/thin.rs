//! JSON notifications: that something happened to a transaction, and no more.
//!
//! Source: Recurly's documentation, "Webhooks", its page of JSON notifications.
//! They carry no amount, no currency and no account, so each one that moves
//! money is a question to Recurly's API; `answer` reads what comes back.

use serde::Deserialize;

use super::{WORD_BYTES_MAX, is_word};
use crate::movement::{Inquiry, Reading, Subject};
use crate::provider::checks::{self, Text};
use crate::provider::{Unreadable, ask};

/// What is asked for: one transaction. Payments carry their long id as an alias
/// of the same name.
pub const TRANSACTION: &str = "transaction";

/// What says in the API's paths that an id is the long one.
pub const UUID: &str = "uuid-";

/// What a JSON notification says of itself.
#[derive(Deserialize)]
struct Thin<'a> {
    #[serde(borrow)]
    object_type: Option<Text<'a>>,
    #[serde(borrow)]
    event_type: Option<Text<'a>>,
    #[serde(borrow)]
    uuid: Option<Text<'a>>,
}

/// Reads a JSON notification.
pub fn read(body: &str) -> Result<Reading, Unreadable> {
    let thin: Thin<'_> = serde_json::from_str(body)
        .map_err(|_| Unreadable::because("the body is not a JSON notification of Recurly's"))?;
    let object = word("object_type", thin.object_type.as_ref())?;
    let event = word("event_type", thin.event_type.as_ref())?;
    let name = format!("{object}.{event}");
    if let Some(why) = foreign(object, event) {
        return Ok(Reading::ignored(&name, why));
    }
    let uuid = checks::needed_id("uuid", thin.uuid.as_ref())?;
    let went_through = event == "succeeded";
    Ok(Reading {
        event: name,
        inquiries: vec![inquiry(uuid, went_through)],
        ..Reading::default()
    })
}

/// The question about the transaction with this long id. What was refunded,
/// voided or updated may be a refund by itself, so it is only looked for among
/// the payments.
pub fn inquiry(uuid: &str, is_payment: bool) -> Inquiry {
    let about = match is_payment {
        true => Subject::Payment(uuid.to_owned()),
        false => Subject::Reference {
            kind: TRANSACTION.to_owned(),
            id: uuid.to_owned(),
        },
    };
    Inquiry {
        kind: TRANSACTION.to_owned(),
        id: format!("{UUID}{uuid}"),
        about: Some(about),
    }
}

/// How Recurly's API is asked. Sites in Europe have a host of their own, which
/// the configuration names.
pub fn api() -> ask::Api {
    ask::Api {
        base_url: Some("https://v3.recurly.com"),
        auth: ask::Auth::BasicUser,
        // Without a version the API answers 406.
        headers: vec![("accept", "application/vnd.recurly.v2021-02-25".to_owned())],
        account_header: None,
        kinds: vec![ask::Kind::at(TRANSACTION, "/transactions/{id}")],
    }
}

/// Why a notification is not looked into.
fn foreign(object: &str, event: &str) -> Option<&'static str> {
    Some(match (object, event) {
        ("payment", "succeeded" | "refunded" | "voided" | "transaction_status_updated") => {
            return None;
        }
        ("payment", "failed") => {
            "the attempt took no money, and it undoes no payment that went through"
        }
        ("payment", "scheduled" | "processing") => {
            "the money is under way; another notification follows once it went through"
        }
        ("payment", "authorized") => "the amount was only authorised; no money has moved yet",
        ("credit_payment", _) => "a credit was applied to an invoice, and no money moved",
        ("charge_invoice" | "credit_invoice", _) => {
            "an invoice says what is owed; the money is told by payment notifications"
        }
        _ => "notifications of this type say nothing about payments or refunds",
    })
}

fn word<'t>(path: &str, word: Option<&'t Text<'_>>) -> Result<&'t str, Unreadable> {
    let Text(word) = checks::needed(path, word)?;
    match !word.is_empty() && word.len() <= WORD_BYTES_MAX && word.bytes().all(is_word) {
        true => Ok(word),
        false => Err(Unreadable::field(path, "is not a word")),
    }
}
