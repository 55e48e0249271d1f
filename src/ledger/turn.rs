//! What the forwarder is handed and what it reports back.
//!
//! These are the words between the ledger and whoever makes calls. They decide
//! nothing and hold no connection.

use std::ops::Range;

use super::book::State;
use crate::destination::NewTransaction;
use crate::money::{Currency, Minor};
use crate::time::Time;

/// The right to settle one payment's turn. It saves work; correctness rests on
/// the intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The payment's row.
    pub payment: i64,
    /// The attempt whose holder this is.
    pub attempt: i64,
}

/// A call whose intent is on disk.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Hand it to [`Ledger::settle`](super::Ledger::settle).
    pub claim: Claim,
    /// The source, for logs.
    pub source: String,
    /// The payment's id, for logs.
    pub payment_id: String,
    /// After this wall time it may not be sent any more.
    pub deadline: Time,
    /// What to call.
    pub call: Outgoing,
}

/// What is asked for a destination: a call for each of these turns.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The numbers of the turns: every [fifth](BACKFILL_EVERY) belongs to the backfill.
    pub turns: Range<u64>,
    /// Whether there surely is something to do: then it is not looked before.
    pub sure: bool,
}

/// Live money goes first, but every fifth turn belongs to the backfill.
pub const BACKFILL_EVERY: u64 = 5;

impl Ask {
    /// One call, where there might be nothing to do.
    #[must_use]
    pub fn one(turn: u64) -> Ask {
        Ask {
            turns: turn..turn.saturating_add(1),
            sure: false,
        }
    }
}

/// What a destination's next turns are.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// Calls to make, as many as are due and were asked for.
    pub begun: Vec<Begun>,
    /// True where read-backs are due as well.
    pub read_backs: bool,
    /// Until when the destination is to be left alone, which any process may have been
    /// asked for; then there is nothing to do before.
    pub paused_until: Option<Time>,
}

/// A call to the destination.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// Create this transaction.
    Post(NewTransaction),
    /// Delete the transaction with this key.
    Delete {
        /// The key.
        key: String,
    },
}

/// A transaction whose outcome is unknown, claimed to be read back.
#[derive(Clone, Debug)]
pub struct Unknown {
    /// Hand it to [`Ledger::settle_read_back`](super::Ledger::settle_read_back).
    pub claim: Claim,
    /// The transaction's key.
    pub key: String,
    /// The `created_at` that we sent for it.
    pub created_at: Time,
    /// When the call was begun that posted it.
    pub posted_at: Time,
    /// The last moment in which that call could have been sent.
    pub posted_by: Time,
}

/// What a read-back saw of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// When the listing was begun.
    pub begun_at: Time,
    /// Every row with the key; empty where none was found in a complete
    /// listing. `None` where the listing could not be completed: "could not
    /// tell" is never "it is missing".
    pub found: Option<Vec<Seen>>,
    /// False where the listing was cut short before it came to this key: then it
    /// was not tried at all, and its patience does not shrink.
    pub reached: bool,
}

/// One row of the destination's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Minor units.
    pub amount: Option<Minor>,
    /// Its currency.
    pub currency: Option<Currency>,
    /// The merchant's customer key, where the list names it.
    pub customer: Option<String>,
    /// When the transaction was, as far as the destination says.
    pub created_at: Option<Time>,
    /// True where it was deleted.
    pub archived: bool,
}

/// What became of a payment after a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// False where the claim was no longer ours; the outcome was kept all the same.
    pub ours: bool,
    /// The payment's state now.
    pub state: State,
    /// Why, for a person.
    pub reason: Option<String>,
    /// When it is next due, if it is.
    pub due_at: Option<Time>,
}

/// A provider's customer id to be written to the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The customer key.
    pub customer_key: String,
    /// The provider's id.
    pub provider_key: String,
}

/// What came of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Written, or it stood there already.
    Done,
    /// The destination has another id there; it is left as it is.
    Kept,
    /// Refused for good.
    Refused,
    /// Not now; ask again later.
    Later,
}

/// What the process found out about a destination as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its name.
    pub destination: String,
    /// Why it is stopped or its circuit open; `None` while all is well.
    pub status: Option<String>,
}
