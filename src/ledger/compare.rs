//! What a comparison of the ledger with the destination's own list is handed
//! and finds. Nothing here lists or decides; the store compares.

use serde::Serialize;

use crate::money::{Currency, Minor};
use crate::time::Time;

/// One comparison: which destination, from when on, and since when it runs. What
/// was called after it began is not judged by it.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The destination's name.
    pub destination: String,
    /// Transactions with an older `created_at` are left alone.
    pub since: Time,
    /// When it began; no two of one destination begin in one millisecond.
    pub began_at: Time,
}

/// How ledger and destination differ about one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Differs {
    /// The ledger believes it live, and the destination does not hold it.
    Missing,
    /// The destination holds it, and the ledger believes it gone or never sent.
    Extra,
    /// Amount, currency or customer differ.
    Changed,
    /// The destination holds the key on more than one live row.
    Twice,
    /// A key of one of our sources that the ledger does not know.
    Unknown,
    /// A transaction that we never made.
    Foreign,
}

impl Differs {
    /// The word in lists.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Differs::Missing => "missing",
            Differs::Extra => "extra",
            Differs::Changed => "changed",
            Differs::Twice => "twice",
            Differs::Unknown => "unknown",
            Differs::Foreign => "foreign",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In one word.
    pub differs: Differs,
    /// The transaction's key.
    pub key: String,
    /// The payment's source, where the ledger knows the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The payment, where the ledger knows the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<String>,
    /// Whom it is for, as far as either says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_key: Option<String>,
    /// The currency of both amounts, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Minor units that the ledger believes live there.
    pub ledger: Minor,
    /// Minor units that the destination holds.
    pub destination: Minor,
    /// What is wrong, for a person.
    pub why: String,
    /// The store's own name of the row, for [`super::Ledger::correct`].
    #[serde(skip)]
    pub row: Option<(i64, u32)>,
}

/// A page of transactions that no list showed.
#[derive(Clone, Debug, Default)]
pub struct Unlisted {
    /// The differences.
    pub differences: Vec<Difference>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<(i64, u32)>,
}
