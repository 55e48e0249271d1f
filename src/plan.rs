//! The next call that brings the destination nearer the position.
//!
//! [`plan`] compares what is true with what the destination believes. It does
//! no I/O, reads no clock and knows no provider. Repeating "plan, call, settle"
//! ends at [`Step::Nothing`] with the destination's live transactions summing
//! to the target, which is the net under every policy but `delete`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::money::{Currency, Minor};
use crate::position::{Doubt, Position};
use crate::time::Time;

/// What happens at the destination when a part of a payment goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Post a negative transaction for the difference, under its own key.
    #[default]
    Negative,
    /// Delete, then post the net under a new key with the original time.
    Replace,
    /// Any refund removes the sale, as PartnerStack's own integration does.
    Delete,
    /// A person decides.
    Hold,
}

/// Whom a transaction belongs to, in the destination's terms.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Customer {
    /// How the destination finds the customer.
    pub by: CustomerBy,
    /// The customer key, or the email address.
    pub value: String,
}

/// Keeps an email address out of logs; a key is not a secret.
impl fmt::Debug for Customer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            CustomerBy::Key => write!(f, "Key({:?})", self.value),
            CustomerBy::Email => f.write_str("Email([email])"),
        }
    }
}

impl Customer {
    /// A customer named by the key that the destination knows.
    #[must_use]
    pub fn key(value: impl Into<String>) -> Customer {
        Customer {
            by: CustomerBy::Key,
            value: value.into(),
        }
    }
}

/// How the destination finds a customer.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CustomerBy {
    /// By the merchant's own customer key.
    Key,
    /// By email address: the weakest rule, opt-in.
    Email,
}

/// A call that changes the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Create a transaction.
    Post,
    /// Delete a transaction.
    Delete,
}

/// What is known of one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// Surely not at the destination: refused, never sent, or read back and not
    /// found. The same key may be sent again. A crash changes nothing.
    Absent,
    /// A post was begun and its outcome is not known. Only a read-back moves
    /// it on; after a crash it stays what it is.
    PostUnknown,
    /// A delete was begun and its outcome is not known. Only a read-back moves
    /// it on; after a crash it stays what it is.
    DeleteUnknown,
    /// At the destination.
    Live,
    /// Deleted, as we asked.
    Gone,
    /// We believed it live and the destination does not have it. A person moves it on.
    Missing,
    /// The destination holds something else under our key. A person moves it on.
    Suspect,
}

impl RowState {
    /// The state for a person.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            RowState::Absent => "absent",
            RowState::PostUnknown => "post unknown",
            RowState::DeleteUnknown => "delete unknown",
            RowState::Live => "live",
            RowState::Gone => "gone",
            RowState::Missing => "missing",
            RowState::Suspect => "suspect",
        }
    }
}

/// One transaction of a payment, as the ledger knows the destination's side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = TransactionRow)]
pub struct Row {
    /// Counts the keys of a payment from 1.
    pub seq: u32,
    /// Whom it was posted for.
    pub customer: Customer,
    /// Its currency.
    pub currency: Currency,
    /// Minor units; negative for a reversal row.
    pub amount: Minor,
    /// What is known of it.
    pub state: RowState,
    /// True once the destination refused to delete it.
    pub undeletable: bool,
    /// What is wrong with it, for a person.
    pub note: Option<String>,
}

/// What the source and its destination allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The policy for partial refunds.
    pub policy: Policy,
    /// False where the destination has no v2: it can neither list nor delete.
    pub v2_available: bool,
}

/// What people decided about a payment, folded from the stored decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// Skipped at this position: nothing is forwarded.
    pub skipped: Option<String>,
    /// "Go on in spite of it", for this position only.
    pub accepted: Option<String>,
    /// Another policy, for this position only.
    pub policy: Option<(Policy, String)>,
    /// The customer whom a person named.
    pub customer: Option<Customer>,
    /// True once a person released it to be forwarded although it is old.
    pub released: bool,
    /// True where an import recorded it as history only; a release undoes it.
    pub history: bool,
    /// Rows of it were read back into a restored ledger, up to this time of the
    /// money, and what the ledger knows has not explained them yet.
    pub adopted: Option<Time>,
}

impl Ruling {
    /// Whether a person said "go on in spite of it" at the position of this fingerprint.
    #[must_use]
    pub fn accepts(&self, fingerprint: &str) -> bool {
        self.accepted.as_deref() == Some(fingerprint)
    }
}

/// The next call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Create a transaction.
    Post {
        /// Its place among the payment's keys.
        seq: u32,
        /// Minor units, never 0.
        amount: Minor,
        /// When the money moved.
        at: Time,
        /// The sequence of the payment's first transaction, for a row that
        /// corrects a sale.
        reversal_of: Option<u32>,
    },
    /// Delete the transaction with this sequence.
    Delete {
        /// Its place among the payment's keys.
        seq: u32,
    },
    /// Read back the transaction with this sequence before anything else.
    Confirm {
        /// Its place among the payment's keys.
        seq: u32,
    },
    /// A person must decide.
    Hold(String),
    /// The destination agrees.
    Nothing,
}

/// What the live transactions should sum to; `None` without a capture.
#[must_use]
pub fn target(position: &Position, policy: Policy) -> Option<Minor> {
    let net = position.net()?;
    match policy {
        Policy::Delete if position.reversed() != Some(0) => Some(0),
        _ => Some(net),
    }
}

/// The policy that counts for this position: a person's word before the
/// configuration's. "Accept" under `hold` means the default.
#[must_use]
pub fn policy(position: &Position, terms: Terms, ruling: &Ruling) -> Policy {
    let now = position.fingerprint();
    match &ruling.policy {
        Some((policy, made_for)) if *made_for == now => *policy,
        _ if terms.policy == Policy::Hold && ruling.accepts(&now) => Policy::Negative,
        _ => terms.policy,
    }
}

/// The next step of a payment whose customer is `customer`.
#[must_use]
pub fn plan(
    position: &Position,
    rows: &[Row],
    customer: Option<&Customer>,
    terms: Terms,
    ruling: &Ruling,
) -> Step {
    if let Some(row) = rows.iter().find(|row| row.is_unknown()) {
        return read_back(row, terms);
    }
    if let Some(hold) = trouble(position, rows, ruling) {
        return hold;
    }
    let policy = policy(position, terms, ruling);
    let (Some(capture), Some(target)) = (&position.capture, target(position, policy)) else {
        return Step::Nothing;
    };
    if ruling.skipped.as_ref() == Some(&position.fingerprint()) {
        return Step::Nothing;
    }
    let live: Vec<&Row> = rows
        .iter()
        .filter(|row| row.state == RowState::Live)
        .collect();
    let missing = rows.iter().find(|row| row.state == RowState::Missing);
    if let Some(row) = missing.filter(|_| target != 0 || !live.is_empty()) {
        return not_there(row);
    }
    let sum = live
        .iter()
        .map(|row| row.amount)
        .fold(0, Minor::saturating_add);
    if ruling.adopted.is_some() && sum != target {
        return Step::Hold(unexplained(capture.currency, sum, target));
    }
    // Without a known customer nothing counts as misplaced.
    let misplaced = live
        .iter()
        .find(|row| customer.is_some_and(|known| row.customer != *known));
    if let Some(row) = misplaced {
        return delete(row, terms);
    }
    let post = |amount, at, reversal_of| Step::Post {
        seq: next_seq(rows),
        amount,
        at,
        reversal_of,
    };
    if sum == target {
        return Step::Nothing;
    }
    if live.is_empty() {
        return post(target, capture.at, None);
    }
    let first = rows.iter().map(|row| row.seq).min();
    let reversed_at = position.newest_reversal.unwrap_or(capture.at);
    let correction = post(target.saturating_sub(sum), reversed_at, first);
    let asked_for_negative = policy == Policy::Negative && ruling.policy.is_some();
    match (live.as_slice(), policy) {
        _ if !terms.v2_available && policy != Policy::Hold => correction,
        ([only], _) if target == 0 && !(only.undeletable && asked_for_negative) => {
            delete(only, terms)
        }
        (_, Policy::Negative) => correction,
        (_, Policy::Hold) if target == 0 => correction,
        (_, Policy::Hold) => Step::Hold(format!(
            "{} of {} went back, and the policy for partial refunds is \"hold\"",
            capture
                .currency
                .show(position.reversed().unwrap_or_default()),
            capture.currency.show(capture.gross),
        )),
        // The newest first: what was posted last is undone first.
        ([.., newest], Policy::Replace | Policy::Delete) => delete(newest, terms),
        ([], Policy::Replace | Policy::Delete) => Step::Nothing,
    }
}

impl Row {
    /// True while a call was begun and its outcome is not known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.state, RowState::PostUnknown | RowState::DeleteUnknown)
    }

    /// True once the destination may have known this row: then the payment's
    /// customer and destination stand.
    #[must_use]
    pub fn freezes(&self) -> bool {
        self.state != RowState::Absent
    }
}

/// The lost ledger knew more of this payment than the restored one does. The
/// difference is never posted: the events that explain it come again, or a person
/// says that they will not.
fn unexplained(currency: Currency, sum: Minor, target: Minor) -> String {
    format!(
        "the destination holds {} of it from before this ledger was restored, and the ledger knows \
         of {}; it goes on when the provider sends again what was lost, or by release --accept",
        currency.show(sum),
        currency.show(target)
    )
}

/// While an outcome is unknown nothing else may be called for the payment.
fn read_back(row: &Row, terms: Terms) -> Step {
    match terms.v2_available {
        true => Step::Confirm { seq: row.seq },
        false => Step::Hold(
            "the outcome of a call is unknown and this destination cannot be read back".to_owned(),
        ),
    }
}

fn not_there(row: &Row) -> Step {
    let note = row.note.as_deref();
    Step::Hold(format!(
        "a transaction that we posted is no longer at the destination; {}",
        note.unwrap_or("someone may have deleted it on purpose")
    ))
}

/// What a person must look at before anything is called.
fn trouble(position: &Position, rows: &[Row], ruling: &Ruling) -> Option<Step> {
    let now = position.fingerprint();
    if let Some(row) = rows.iter().find(|row| row.state == RowState::Suspect) {
        let note = row
            .note
            .as_deref()
            .unwrap_or("it differs from what we posted");
        return Some(Step::Hold(format!(
            "what the destination holds under our key: {note}"
        )));
    }
    if let Some(made_for) = &ruling.skipped
        && *made_for != now
    {
        return Some(Step::Hold(
            "it was skipped by a person, and the money has moved since".to_owned(),
        ));
    }
    match &position.doubt {
        Some(doubt) if !ruling.accepts(&now) => Some(Step::Hold(doubt.sentence())),
        _ => None,
    }
}

fn delete(row: &Row, terms: Terms) -> Step {
    match (terms.v2_available, row.undeletable) {
        (true, false) => Step::Delete { seq: row.seq },
        (true, true) => Step::Hold(
            "the destination refused to delete the transaction; ask it for a clawback, \
             then skip the payment with --leave or release it with --policy negative"
                .to_owned(),
        ),
        (false, _) => Step::Hold("this destination cannot delete a transaction".to_owned()),
    }
}

/// An absent row's key is sent again; otherwise one above the highest ever begun.
fn next_seq(rows: &[Row]) -> u32 {
    let absent = rows
        .iter()
        .filter(|row| row.state == RowState::Absent)
        .map(|row| row.seq);
    absent.max().unwrap_or_else(|| {
        rows.iter()
            .map(|row| row.seq)
            .max()
            .map_or(1, |highest| highest.saturating_add(1))
    })
}

impl Doubt {
    /// The doubt as a sentence for a person.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Doubt::Currency { capture, other } => format!(
                "the payment is in {capture} and a movement about it in {other}; amounts in two currencies are never added"
            ),
            Doubt::Contradiction { id } => {
                format!("two equally good statements about {id} name different amounts")
            }
            Doubt::Unlisted => {
                "a refund failed, and the provider's cumulative figure names refunds \
                 that we were not told of one by one, so the amount cannot be derived"
                    .to_owned()
            }
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
