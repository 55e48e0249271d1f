//! Copying a ledger to another place: what is ordered, how far it is, what came of it.
//!
//! A ledger that was moved is closed for good, so that of two ledgers which know the
//! same payments only one forwards them. A copy beside a ledger that stays in use has
//! the mark of a backup instead. How it is done is `store::moving`.

use serde::Serialize;

use super::LedgerError;
use crate::time::Clock;

/// What is copied where. It does not print itself: URLs may hold passwords.
pub struct Order {
    /// The URL of the ledger that there is.
    pub from: String,
    /// The URL of the one to be made.
    pub to: String,
    /// What becomes of the first one.
    pub then: Then,
    /// The clock.
    pub clock: Clock,
}

/// What becomes of the ledger that is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is closed for good; the copy goes on in its place.
    Close,
    /// It stays in use; the copy forwards nothing until it was adopted.
    Keep,
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The ledger is closed from here on, until it is given up.
    Closed,
    /// So many rows of a table were copied by this command.
    Copied {
        /// The table.
        table: &'static str,
        /// Its rows.
        rows: u64,
    },
    /// A table of both is read again and compared.
    Compared {
        /// The table.
        table: &'static str,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Where the ledger was, without a password.
    pub from: String,
    /// Where the copy is, without a password.
    pub to: String,
    /// In one word.
    pub came: Came,
    /// The rows of every table.
    pub tables: Vec<TableRows>,
    /// The digest of the books, the same of both; nothing where it was moved before.
    pub digest: Option<String>,
}

/// What came of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Came {
    /// The ledger is there now, and the old one is closed.
    Moved,
    /// That was so before.
    MovedBefore,
    /// There is a second one, marked as a copy.
    Copied,
}

/// The rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableRows {
    /// Its name.
    pub table: String,
    /// How many.
    pub rows: u64,
}

/// Copies a ledger and compares both. It waits for disks and servers, so it does not
/// belong on a thread that drives other futures.
///
/// # Errors
/// [`LedgerError::Refused`] where it must not be copied, or the copy is not what it is
/// a copy of; else as the stores'. After [`Stage::Closed`] the same order finishes it.
pub fn copy(order: &Order, watch: &mut dyn FnMut(Stage)) -> Result<Copied, LedgerError> {
    super::store::copy_between(order, watch)
}

/// Opens a ledger again whose move was begun and not finished. Answers its place.
///
/// # Errors
/// [`LedgerError::Refused`] where no move is under way, or it was finished.
pub fn give_up(from: &str) -> Result<String, LedgerError> {
    super::store::give_up_move(from)
}
