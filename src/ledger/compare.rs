//! Comparing the ledger with the destination's own list, and taking that list in: the
//! verbs, what they are handed and what they find. Nothing here lists or decides; the
//! store compares.

use serde::Serialize;

use super::{Ledger, LedgerError};
use crate::destination;
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

impl Ledger {
    /// Begins to compare what is at the destination from `since` on.
    ///
    /// # Errors
    /// As the store's.
    pub async fn begin_comparison(
        &self,
        destination: &str,
        since: Time,
    ) -> Result<Comparison, LedgerError> {
        self.store().begin_comparison(destination, since).await
    }

    /// Compares one page of the destination's own list with what the ledger
    /// believes, and notes that its rows were seen.
    ///
    /// # Errors
    /// As the store's.
    pub async fn compare(
        &self,
        comparison: Comparison,
        rows: Vec<destination::Row>,
    ) -> Result<Vec<Difference>, LedgerError> {
        self.store().compare(comparison, rows).await
    }

    /// A page of transactions that the ledger believes live and that no page of
    /// a complete list showed.
    ///
    /// # Errors
    /// As the store's.
    pub async fn unlisted(
        &self,
        comparison: Comparison,
        after: Option<(i64, u32)>,
    ) -> Result<Unlisted, LedgerError> {
        self.store().unlisted(comparison, after).await
    }

    /// Writes down what the destination holds where it differs, and answers how
    /// many transactions that were. Nothing is posted again by this: what is
    /// missing is held for a person.
    ///
    /// # Errors
    /// As the store's.
    pub async fn correct(&self, differences: Vec<Difference>) -> Result<usize, LedgerError> {
        self.store().correct(differences).await
    }

    /// Closes `destination` until [`Ledger::end_adoption`], however this process
    /// ends, and writes down until when a lost ledger may have called it.
    ///
    /// # Errors
    /// As the store's.
    pub async fn begin_adoption(&self, destination: &str) -> Result<(), LedgerError> {
        self.store().begin_adoption(destination).await
    }

    /// Takes one page of the destination's list in, and answers where it differed.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] for a row that cannot be taken in.
    pub async fn adopt(
        &self,
        comparison: Comparison,
        rows: Vec<destination::Row>,
    ) -> Result<Vec<Difference>, LedgerError> {
        self.store().adopt(comparison, rows).await
    }

    /// Takes in that transactions are not there any more; see [`Ledger::unlisted`].
    ///
    /// # Errors
    /// As the store's.
    pub async fn adopt_unlisted(
        &self,
        comparison: Comparison,
        differences: Vec<Difference>,
    ) -> Result<(), LedgerError> {
        self.store().adopt_unlisted(comparison, differences).await
    }

    /// Opens the destination again: its list was taken in to the end.
    ///
    /// # Errors
    /// As the store's.
    pub async fn end_adoption(&self, comparison: Comparison) -> Result<(), LedgerError> {
        self.store().end_adoption(comparison).await
    }
}
