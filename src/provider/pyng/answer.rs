//! What Pyng's API answers about a payment intent: the amount that was charged.
//!
//! The answer does not repeat the intent's id, and a session's payment goes by
//! another one; so it speaks of whichever payment carries the intent.

use serde::Deserialize;

use super::{INTENT, Pyng, decode};
use crate::movement::{Authority, Fact, Movement, Reading, Subject};
use crate::provider::checks::{self, Text};
use crate::provider::{Asked, Unreadable};
use crate::time::SECOND_MS;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    data: Option<Answer<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow, default)]
    transaction_status: Option<Text<'a>>,
    #[serde(default)]
    transaction_updated: Option<i64>,
    #[serde(default)]
    amount_paid: Option<i64>,
}

/// Reads an answer. It was asked because a webhook said that the money is
/// there, so an amount is believed whatever the status is called.
pub(super) fn read(pyng: &Pyng, asked: &Asked, text: &str) -> Result<Reading, Unreadable> {
    if asked.kind != INTENT {
        return Err(Unreadable::because("nothing of this kind is ever asked"));
    }
    let envelope: Envelope<'_> = decode(text)?;
    let answer = checks::needed("data", envelope.data)?;
    let status = answer.transaction_status.as_ref();
    checks::needed_id("data.transactionStatus", status)?;
    let mut reading = Reading {
        event: format!("answer.{INTENT}"),
        scope: asked.scope.clone(),
        ..Reading::default()
    };
    let Some(amount) = checks::amount("data.amountPaid", answer.amount_paid)? else {
        reading.ignored = Some("the API does not say what was paid".to_owned());
        return Ok(reading);
    };
    let updated = checks::time("data.transactionUpdated", answer.transaction_updated)?;
    reading.movements.push(Movement {
        about: Subject::Reference {
            kind: INTENT.to_owned(),
            id: asked.id.clone(),
        },
        fact: Fact {
            version: asked.at.ms().div_euclid(SECOND_MS),
            authority: Authority::Api,
            ..pyng.capture(&asked.id, amount, updated.unwrap_or(asked.at))
        },
    });
    Ok(reading)
}
