//! The mirror's verbs, and what they take and answer: how far the destination's lists of
//! customers, rewards and partners were read.
//!
//! A *read* goes through one list page by page, from its beginning or from what is
//! new; where it is stands in the ledger, so that what a crash cut off goes on. Only
//! a read of all there is says what is not there any more.

use super::{Ledger, LedgerError};
use crate::destination::{List, Outcome, RosterRows};
use crate::money::Currency;
use crate::time::{DAY_MS, MINUTE_MS, Time};

/// How far behind the last read the next one begins, in milliseconds. A customer
/// may be listed minutes after it was made (two to six were measured), and the two
/// clocks differ; what is read twice changes nothing.
pub const OVERLAP_MS: i64 = 30 * MINUTE_MS;

/// How often all of a list is read, in milliseconds: no filter tells of a reward
/// whose status changed, nor of what was deleted.
pub const FULL_EVERY_MS: i64 = DAY_MS;

/// When a read that was cut off is begun afresh, in milliseconds: the row at which
/// it stopped may be gone by then.
pub const ABANDONED_MS: i64 = DAY_MS;

/// How much is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What is new, and all there is where that is due.
    New,
    /// All there is.
    All,
}

/// One read of a list, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorRead {
    /// The destination's name.
    pub destination: String,
    /// The list.
    pub list: List,
    /// When it began.
    pub began_at: Time,
    /// What is new from then on is asked for; `None` is all there is.
    pub since: Option<Time>,
    /// The key behind which the next page begins.
    pub after: Option<String>,
}

/// What is next to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorTurn {
    /// A page is to be asked for.
    Ask(MirrorRead),
    /// All was listed: what was not is to be written down as gone.
    Sweep(MirrorRead),
}

/// A page as it came.
#[derive(Clone, Debug)]
pub struct MirrorPage {
    /// What it was asked for.
    pub read: MirrorRead,
    /// Its rows.
    pub rows: RosterRows,
    /// Where the next page starts.
    pub next: Option<String>,
    /// The currency of rewards that name none, where the configuration says it.
    pub reward_currency: Option<Currency>,
}

/// A page that did not come.
#[derive(Clone, Debug)]
pub struct MirrorFailure {
    /// What was asked for.
    pub read: MirrorRead,
    /// What came instead.
    pub outcome: Outcome,
}

/// What a page, or a sweep, changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorTaken {
    /// Rows that were new, changed or gone.
    pub changed: usize,
    /// Payments that were looked at again because of them.
    pub payments: usize,
    /// Whether one of those became due.
    pub due: bool,
    /// Whether this was the end of the read.
    pub ended: bool,
}

/// How well a destination is mirrored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorFigures {
    /// When the oldest of the reads began by which each list was last read to its
    /// end; `None` until every list was.
    pub read_at: Option<Time>,
    /// The same of the rewards, which commission comes from.
    pub rewards_at: Option<Time>,
    /// The same of the reads of all there is.
    pub full_at: Option<Time>,
    /// Whether a read was begun and has not come to its end.
    pub under_way: bool,
    /// Rewards that count for nothing, because nobody says their currency.
    pub without_currency: i64,
}

/// Words of a reward's status that take its commission away. Every other word
/// leaves it, also an unknown one: new, pending, approved, on hold and paid are
/// what partners get or may get.
const LOST: [&str; 8] = [
    "declined",
    "rejected",
    "archived",
    "canceled",
    "cancelled",
    "deleted",
    "expired",
    "failed",
];

/// Whether a reward is commission.
#[must_use]
pub fn is_commission(status: Option<&str>, archived: bool) -> bool {
    let lost = |status: &str| LOST.iter().any(|word| word.eq_ignore_ascii_case(status));
    !archived && !status.is_some_and(|status| lost(status.trim()))
}

/// Whether a state of a row, by the destination's clock, is older than the one that is
/// kept. Where either has no time nobody can say, and the one that came last counts.
#[must_use]
pub fn is_older(came: Option<Time>, kept: Option<Time>) -> bool {
    kept.zip(came).is_some_and(|(kept, came)| kept > came)
}

impl Ledger {
    /// Begins to read the lists of `destination` that are not being read; what was
    /// cut off goes on where it was.
    ///
    /// # Errors
    /// As the store's.
    pub async fn mirror_begin(&self, destination: &str, extent: Extent) -> Result<(), LedgerError> {
        self.store().mirror_begin(destination, extent).await
    }

    /// What is next to do to mirror `destination`; nothing where all was read.
    ///
    /// # Errors
    /// As the store's.
    pub async fn mirror_next(&self, destination: &str) -> Result<Option<MirrorTurn>, LedgerError> {
        self.store().mirror_next(destination).await
    }

    /// Takes a page of a list in. Payments that waited for a customer on it go on.
    ///
    /// # Errors
    /// As the store's.
    pub async fn mirror_take(&self, page: MirrorPage) -> Result<MirrorTaken, LedgerError> {
        self.store().mirror_take(page).await
    }

    /// Writes some of what a complete list did not show down as gone.
    ///
    /// # Errors
    /// As the store's.
    pub async fn mirror_sweep(&self, read: MirrorRead) -> Result<MirrorTaken, LedgerError> {
        self.store().mirror_sweep(read).await
    }

    /// Writes down why a page did not come.
    ///
    /// # Errors
    /// As the store's.
    pub async fn mirror_failed(&self, failure: MirrorFailure) -> Result<(), LedgerError> {
        self.store().mirror_failed(failure).await
    }

    /// How far the lists of `destination` were read.
    ///
    /// # Errors
    /// As the store's.
    pub async fn mirror_figures(&self, destination: &str) -> Result<MirrorFigures, LedgerError> {
        self.store().mirror_figures(destination).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_declined_or_archived_is_no_commission() {
        for status in ["new", "pending", "Approved", "hold", "paid", "of tomorrow"] {
            assert!(is_commission(Some(status), false), "{status}");
            assert!(!is_commission(Some(status), true), "{status}");
        }
        for status in ["declined", "Declined", " archived ", "cancelled"] {
            assert!(!is_commission(Some(status), false), "{status}");
        }
        assert!(is_commission(None, false));
    }
}
