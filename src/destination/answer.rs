//! What an answer of the destination means: pure functions from status and body
//! to an [`Outcome`].
//!
//! Nothing here calls anybody. The envelopes are those of PartnerStack's
//! documentation: v2 `{"data", "message", "status"}`, v1 `{"rdata", "message",
//! "status", "error"}`. Most codes are not documented, so the rule where it is
//! silent: what cannot be told is unknown, and never "missing" or "done".

use serde::Deserialize;
use serde_json::Value;

use super::{CustomerAnswer, NewTransaction, Outcome, Page, Row, Who};
use crate::call::Content;
use crate::money::Currency;
use crate::plan::CustomerBy;
use crate::time::Time;

/// The longest message kept, in characters: enough for a validation error, and
/// short enough for a table cell.
const MESSAGE_CHARACTERS: usize = 300;

const CONFLICT: &str = "The destination may already hold this transaction.";
const SERVER: &str = "The destination failed while it answered.";
const TIMED_OUT: &str = "The destination gave up waiting for the request.";
const ODD_STATUS: &str = "The destination answered with a status that means nothing here.";
const INCOMPLETE: &str = "The answer broke off or was too long to read.";
const NO_KEY: &str = "The answer says yes but does not show our key.";
const NO_AMOUNT: &str = "The answer shows our key with an amount that is no whole number.";
const NO_PAGE: &str = "The answer is not a list page.";
const STUCK: &str = "The list says that there is more but does not move on.";
const NO_CUSTOMER: &str = "The answer is not a customer.";

/// An answer, as far as it is ever looked at.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Time>,
    pub(super) content: Content,
}

/// What was asked; one status means different things for different calls.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    Post(&'a NewTransaction),
    Delete,
    Patch,
    /// A read of something that always exists, such as a list.
    Read,
    /// A read of a list without which money is forwarded all the same: that this
    /// account has none of it, or these keys may not see it, stops nothing else.
    Roster,
}

impl Answer {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn parsed<T: for<'a> Deserialize<'a>>(&self) -> Option<T> {
        match &self.content {
            Content::Whole(bytes) => serde_json::from_slice(bytes).ok(),
            Content::Cut | Content::TooLong => None,
        }
    }

    /// Whether the body is a whole JSON object, as all of the API's own are. A
    /// 404 without one is some gateway's.
    fn is_object(&self) -> bool {
        self.parsed::<Value>().is_some_and(|body| body.is_object())
    }
}

/// The object inside either envelope.
#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
    rdata: Option<T>,
}

impl<T> Envelope<T> {
    fn inner(self) -> Option<T> {
        self.data.or(self.rdata)
    }
}

/// A transaction as shown. Everything is a [`Value`], so that one field of an
/// unexpected shape costs that field and not the row.
#[derive(Deserialize)]
struct Shown {
    key: String,
    #[serde(default)]
    amount: Value,
    #[serde(default)]
    currency: Value,
    #[serde(default)]
    customer_external_key: Value,
    #[serde(default)]
    customer_key: Value,
    #[serde(default)]
    customer_email: Value,
    #[serde(default)]
    customer: Value,
    #[serde(default)]
    created_at: Value,
    #[serde(default)]
    archived: Value,
    #[serde(default)]
    metadata: Value,
}

impl Shown {
    /// The names that can only be the customer's external key.
    fn external_key(&self) -> Option<&str> {
        text(&self.customer_external_key).or_else(|| text(&self.customer["customer_key"]))
    }

    fn row(self) -> Row {
        Row {
            amount: self.amount.as_i64(),
            currency: self.currency.as_str().and_then(|code| code.parse().ok()),
            customer_external_key: self.external_key().map(str::to_owned),
            customer_key: text(&self.customer_key)
                .or_else(|| text(&self.customer["key"]))
                .map(str::to_owned),
            customer_email: text(&self.customer_email)
                .or_else(|| text(&self.customer["email"]))
                .map(str::to_owned),
            payment_id: text(&self.metadata["payment_id"]).map(str::to_owned),
            created_at: self.created_at.as_i64().map(Time),
            archived: self.archived == Value::Bool(true),
            key: self.key,
        }
    }
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
    has_more: bool,
}

pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// What an answer to a call proves.
pub(super) fn verdict(answer: &Answer, asked: Asked<'_>, secrets: &[&str]) -> Outcome {
    let status = answer.status;
    match (status, asked) {
        (200..=299, Asked::Post(transaction)) => posted(answer, transaction),
        (200..=299, _) => Outcome::Accepted,
        (300..=399, _) | (404, Asked::Read) => Outcome::Misdirected { status },
        (403, Asked::Roster) => refused(answer, asked, secrets),
        (404, Asked::Roster) if answer.is_object() => refused(answer, asked, secrets),
        (401 | 403, _) => Outcome::WrongCredentials { status },
        (404, Asked::Post(_) | Asked::Patch) if answer.is_object() => Outcome::CustomerUnknown,
        (404 | 410, Asked::Delete) if answer.is_object() => Outcome::Gone,
        (404 | 425 | 429, _) => Outcome::Later {
            retry_after: answer.retry_after,
            status,
        },
        (408, _) => Outcome::Unknown { why: TIMED_OUT },
        (409, Asked::Post(_) | Asked::Delete) => conflict(asked),
        (400..=499, _) => refused(answer, asked, secrets),
        (500..=599, _) => Outcome::Unknown { why: SERVER },
        _ => Outcome::Unknown { why: ODD_STATUS },
    }
}

/// A 2xx on a post is believed only where it shows our key.
fn posted(answer: &Answer, sent: &NewTransaction) -> Outcome {
    if !matches!(answer.content, Content::Whole(_)) {
        return Outcome::Unknown { why: INCOMPLETE };
    }
    let shown = answer
        .parsed::<Envelope<Shown>>()
        .and_then(Envelope::inner)
        .filter(|shown| shown.key == sent.key);
    let Some(shown) = shown else {
        return Outcome::Unknown { why: NO_KEY };
    };
    let mut differs = Vec::new();
    match shown.amount.as_i64() {
        Some(amount) if amount == sent.amount => {}
        Some(amount) => differs.push(format!("amount {amount} instead of {}", sent.amount)),
        None if shown.amount.is_null() => {}
        None => return Outcome::Unknown { why: NO_AMOUNT },
    }
    if let Some(code) = text(&shown.currency)
        && code.parse::<Currency>().ok() != Some(sent.currency)
    {
        differs.push(format!("a currency other than {}", sent.currency));
    }
    if another_customer(&shown, sent) {
        differs.push("another customer".to_owned());
    }
    if differs.is_empty() {
        return Outcome::Accepted;
    }
    let detail = differs.join(", ");
    Outcome::Mismatch {
        detail: format!("The destination shows our key with {detail}."),
    }
}

/// Whether the answer shows a name of the kind we sent, and no name shown is the
/// one we sent. Names of another kind alone prove nothing: the same customer has
/// an internal key, an external key and an email address.
fn another_customer(shown: &Shown, sent: &NewTransaction) -> bool {
    let email = text(&shown.customer_email).or_else(|| text(&shown.customer["email"]));
    let ours = &sent.customer.value;
    match sent.customer.by {
        CustomerBy::Email => email.is_some_and(|email| !email.eq_ignore_ascii_case(ours)),
        CustomerBy::Key => {
            let internal = [&shown.customer_key, &shown.customer["key"]].map(text);
            let external = shown.external_key();
            let all = internal.into_iter().chain([external, email]).flatten();
            external.is_some() && !all.into_iter().any(|name| name == ours)
        }
    }
}

/// What is there already: a post's own key; of a delete nobody can tell.
fn conflict(asked: Asked<'_>) -> Outcome {
    match asked {
        Asked::Post(_) => Outcome::Repeated,
        _ => Outcome::Unknown { why: CONFLICT },
    }
}

/// A definite no, unless it may be the no of a second post.
fn refused(answer: &Answer, asked: Asked<'_>, secrets: &[&str]) -> Outcome {
    let Content::Whole(bytes) = &answer.content else {
        return Outcome::Unknown { why: INCOMPLETE };
    };
    let writes_a_row = matches!(asked, Asked::Post(_) | Asked::Delete);
    if writes_a_row && speaks_of_a_duplicate(bytes) {
        return conflict(asked);
    }
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let message = text(&body["message"])
        .or_else(|| text(&body["error"]))
        .map(|message| sanitise(message, secrets))
        .unwrap_or_else(|| "The destination gave no readable reason.".to_owned());
    Outcome::Refused {
        status: answer.status,
        message,
    }
}

/// Whether a body says, anywhere, that the transaction may be there already. The
/// answer to a repeated key is not documented, so any of these words will do.
fn speaks_of_a_duplicate(body: &[u8]) -> bool {
    let body = String::from_utf8_lossy(body).to_ascii_lowercase();
    ["already", "duplicate", "unique"]
        .iter()
        .any(|word| body.contains(word))
}

/// A list page, or why there is none.
pub(super) fn page(
    answer: &Answer,
    after: Option<&str>,
    secrets: &[&str],
) -> Result<Page, Outcome> {
    let key = |row: &Shown| Some(row.key.clone());
    let (items, next) = items(answer, Asked::Read, after, secrets, key)?;
    Ok(Page {
        rows: items.into_iter().map(Shown::row).collect(),
        next,
    })
}

/// The items of a list page, and where the next page starts, or why there are
/// none. `key` reads what a cursor names.
pub(super) fn items<T: for<'a> Deserialize<'a>>(
    answer: &Answer,
    asked: Asked<'_>,
    after: Option<&str>,
    secrets: &[&str],
    key: impl Fn(&T) -> Option<String>,
) -> Result<(Vec<T>, Option<String>), Outcome> {
    if !answer.is_success() {
        return Err(verdict(answer, asked, secrets));
    }
    if !matches!(answer.content, Content::Whole(_)) {
        return Err(Outcome::Unknown { why: INCOMPLETE });
    }
    let page = answer
        .parsed::<Envelope<Items<T>>>()
        .and_then(Envelope::inner)
        .ok_or(Outcome::Unknown { why: NO_PAGE })?;
    let last = page.items.last().and_then(key);
    if page.has_more && (last.is_none() || last.as_deref() == after) {
        return Err(Outcome::Unknown { why: STUCK });
    }
    Ok((page.items, last.filter(|_| page.has_more)))
}

/// A customer, or its proven absence, or why neither is known.
pub(super) fn customer(answer: &Answer, secrets: &[&str]) -> Result<CustomerAnswer, Outcome> {
    if answer.status == 404 && answer.is_object() {
        return Ok(CustomerAnswer::Missing);
    }
    if answer.status == 404 {
        return Err(Outcome::Later {
            retry_after: answer.retry_after,
            status: answer.status,
        });
    }
    if !answer.is_success() {
        return Err(verdict(answer, Asked::Read, secrets));
    }
    let shown = answer
        .parsed::<Envelope<Value>>()
        .and_then(Envelope::inner)
        .filter(Value::is_object)
        .ok_or(Outcome::Unknown { why: NO_CUSTOMER })?;
    let named = |name: &str| text(&shown[name]).map(str::to_owned);
    Ok(CustomerAnswer::Found {
        provider_key: named("provider_key"),
        partner_key: named("partner_key"),
    })
}

/// Whether anybody answered who did not turn the credentials away: any verdict
/// but a stop, a failure or "later".
pub(super) fn presence(answer: &Answer, secrets: &[&str]) -> Result<Who, Outcome> {
    if matches!(answer.status, 404 | 405) {
        return Ok(Who { proven: false });
    }
    match verdict(answer, Asked::Read, secrets) {
        Outcome::Accepted => Ok(Who { proven: true }),
        Outcome::Refused { .. } => Ok(Who { proven: false }),
        other => Err(other),
    }
}

/// A message of the destination made fit for logs and pages: `secrets` and
/// whatever looks like an email address masked, control and direction characters
/// removed, cut to [`MESSAGE_CHARACTERS`].
pub(super) fn sanitise(message: &str, secrets: &[&str]) -> String {
    let mut clean: String = message.chars().filter(|c| !is_unseen(*c)).collect();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        clean = clean.replace(secret, "[secret]");
    }
    let ends = |c: char| c.is_whitespace() || "\"'`<>()[]{},;:=|/&?\\".contains(c);
    let masked: String = clean
        .split_inclusive(ends)
        .map(|piece| {
            let word = piece.trim_end_matches(ends);
            let is_email = word.contains('@') || word.to_ascii_lowercase().contains("%40");
            match is_email {
                true => format!("[email]{}", &piece[word.len()..]),
                false => piece.to_owned(),
            }
        })
        .collect();
    masked.chars().take(MESSAGE_CHARACTERS).collect()
}

/// Characters that a reader does not see: controls, and the marks that hide or
/// turn around the text beside them.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
