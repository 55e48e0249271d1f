//! Rows of an imported file on their way into the ledger, and what became of
//! them. What a row says is a [`Reading`], as for a delivery; no file is read here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Word;
use super::book::State;
use crate::money::{Currency, Minor};
use crate::movement::Reading;

/// A row that could be read, by the number of its line.
pub type StatedRow = (u64, Reading);

/// Rows that are handed over together.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The rows.
    pub rows: Vec<StatedRow>,
    /// A digest of all that they state, without their lines: a chunk that was
    /// recorded before is known by it at once.
    pub digest: [u8; 32],
}

impl Chunk {
    /// A chunk of these rows.
    #[must_use]
    pub fn of(rows: Vec<StatedRow>) -> Chunk {
        let mut hasher = Sha256::new();
        let mut bytes = Vec::with_capacity(1_024);
        for (_, reading) in &rows {
            bytes.clear();
            // A reading always has a form as JSON; each ends where the next begins.
            let written = serde_json::to_writer(&mut bytes, reading);
            hasher.update(&bytes);
            hasher.update([u8::from(written.is_ok())]);
        }
        Chunk {
            digest: hasher.finalize().into(),
            rows,
        }
    }
}

/// Hands out the next rows: none where none is at hand now, or none is left.
pub type Feed = Arc<Mutex<dyn FnMut() -> Option<Chunk> + Send>>;

/// A file whose rows are recorded.
#[derive(Clone, Debug)]
pub struct RowsFrom {
    /// The source that its payments belong to.
    pub source: String,
    /// The name of the file, which stands beside each of its facts.
    pub file: String,
    /// True where its payments are history only, and never forwarded.
    pub no_forward: bool,
    /// Who imports it.
    pub word: Word,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It said something new.
    Imported,
    /// All that it says was there before.
    Known,
    /// It said something new, and no rule names the customer.
    Unattributed,
    /// Nothing in it is counted, as in a webhook that concerns nobody.
    Ignored,
    /// It could not be read, or not be recorded.
    Rejected,
}

impl Fate {
    /// The words of a report.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Fate::Imported => "imported",
            Fate::Known => "already known",
            Fate::Unattributed => "unattributed",
            Fate::Ignored => "ignored",
            Fate::Rejected => "rejected",
        }
    }
}

/// A row's line in the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RowTold {
    /// The line of the file on which it begins.
    pub line: u64,
    /// What became of it.
    pub outcome: Fate,
    /// Why, where there is anything to say.
    pub reason: Option<String>,
}

/// What one transaction took of a file.
#[derive(Debug, Default)]
pub struct RowsTaken {
    /// Each row in the order of the file.
    pub told: Vec<RowTold>,
    /// How the money of the payments changed.
    pub changes: Changes,
    /// Payments that became due, less those that no longer are.
    pub due: i64,
}

/// Customers told one by one; the money of all others is told as one sum, so
/// that memory does not grow with the file.
const CUSTOMERS_MOST: usize = 10_000;

/// Where money stands, for a comparison.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Standing {
    /// The state of its payments.
    pub state: State,
    /// Whose it is; `None` where nobody's, and for those beyond the limit.
    pub customer: Option<String>,
    /// The currency; `None` without a capture.
    pub currency: Option<Currency>,
}

/// Sums of payments: counts and minor units, negative where they went elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Payments.
    pub payments: i64,
    /// Captured.
    pub gross: Minor,
    /// Gone back.
    pub reversed: Minor,
}

impl Sums {
    /// True where nothing changed.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Sums::default()
    }
}

/// How the money of payments changed, by state, customer and currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    sums: HashMap<Standing, Sums>,
    /// True where customers beyond the limit were put together.
    pub cut: bool,
}

impl Changes {
    /// Adds to one place.
    pub fn add(&mut self, mut at: Standing, sums: Sums) {
        if self.sums.len() >= CUSTOMERS_MOST && !self.sums.contains_key(&at) {
            at.customer = None;
            self.cut = true;
        }
        let slot = self.sums.entry(at).or_default();
        slot.payments += sums.payments;
        slot.gross = slot.gross.saturating_add(sums.gross);
        slot.reversed = slot.reversed.saturating_add(sums.reversed);
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: Changes) {
        self.cut |= other.cut;
        if self.sums.is_empty() {
            self.sums = other.sums;
            return;
        }
        let mut sums: Vec<_> = other.sums.into_iter().collect();
        if self.sums.len() + sums.len() > CUSTOMERS_MOST {
            // Who is told one by one must not be left to chance.
            sums.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        }
        for (at, sums) in sums {
            self.add(at, sums);
        }
    }

    /// Every place where something changed, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Standing, &Sums)> {
        let changed = self.sums.iter().filter(|(_, sums)| !sums.is_zero());
        let mut changed: Vec<_> = changed.collect();
        changed.sort_unstable_by_key(|(at, _)| *at);
        changed.into_iter()
    }
}
