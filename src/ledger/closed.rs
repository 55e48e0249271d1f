//! Ledgers that are closed for good: one that is being moved or was moved elsewhere,
//! and a copy that is not finished. Why stands in the row of the writer, which every
//! transaction that writes looks at, so that whoever had it open before can write
//! nothing any more, and nobody can open it.
//!
//! What moves a ledger is `store::moving`; here are the words.

use serde::{Deserialize, Serialize};

use super::LedgerError;
use crate::time::Time;

/// Why a ledger is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// Its rows are being copied to another place.
    Moving,
    /// They were: the other one is the ledger now.
    Moved,
    /// It is the copy, and not whole yet.
    Unfinished,
}

/// What stands in the row of the writer of a closed ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Closed {
    /// Why.
    pub why: Why,
    /// Which copy it is about, in both ledgers: a number that no other one has.
    pub copy: String,
    /// Where the other ledger is, for people; without a password.
    pub other: String,
    /// Since when.
    pub at: Time,
}

impl Closed {
    /// Reads the row of the writer; `None` of a ledger that is open.
    ///
    /// # Errors
    /// [`LedgerError::Unusable`] where it holds what this program does not know.
    pub(super) fn read(standing: &str) -> Result<Option<Closed>, LedgerError> {
        if standing.is_empty() {
            return Ok(None);
        }
        serde_json::from_str(standing).map(Some).map_err(|_| {
            LedgerError::Unusable(
                "the ledger is closed, and this program cannot read why; use a newer program"
                    .to_owned(),
            )
        })
    }

    /// As it stands in the row.
    pub(super) fn standing(&self) -> Result<String, LedgerError> {
        serde_json::to_string(self)
            .map_err(|_| LedgerError::Unusable("a mark that cannot be written".to_owned()))
    }

    /// For a person who opens it.
    pub(super) fn sentence(&self) -> String {
        let Closed { other, at, .. } = self;
        match self.why {
            Why::Moving => format!(
                "this ledger is being moved to {other} since {at}: finish that by the same \
                 \"tributary copy\", or go on with this one after \"tributary copy --give-up\""
            ),
            Why::Moved => format!(
                "this ledger was moved to {other} at {at}, and that one is in use now: \
                 write its place as ledger.url"
            ),
            Why::Unfinished => format!(
                "this is an unfinished copy of the ledger {other}, begun at {at}: finish it \
                 by the same \"tributary copy\", or remove it"
            ),
        }
    }
}

/// Refuses a ledger that is closed; `standing` is what stands in its writer's row.
///
/// # Errors
/// [`LedgerError::Unusable`] with the reason for a person.
pub(super) fn refuse_closed(standing: &str) -> Result<(), LedgerError> {
    match Closed::read(standing)? {
        Some(closed) => Err(LedgerError::Unusable(closed.sentence())),
        None => Ok(()),
    }
}
