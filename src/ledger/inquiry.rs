//! Questions to a provider's API on their way out of the ledger, and what came
//! of them. What an answer says is a [`Delivery`]'s reading; nothing here decides.

use super::Delivery;
use crate::provider::Asked;
use crate::time::Time;

/// A question whose turn it is.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The inquiry's row.
    pub inquiry: i64,
    /// How often it had been raised when it was handed out: an answer does not
    /// settle what was raised after it was asked.
    pub raised: i64,
    /// The source.
    pub source: String,
    /// What to ask.
    pub asked: Asked,
    /// How often it was asked before.
    pub tries: u32,
}

/// What came of a question.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The provider answered: recorded like a delivery.
    Told(Box<Delivery>),
    /// The provider knows no such thing, perhaps not yet.
    Missing(String),
    /// No answer now: why, and when it may be asked again at the earliest.
    Later {
        /// For a person.
        why: String,
        /// Not before this.
        not_before: Option<Time>,
    },
    /// It can never be asked: why, for a person.
    Never(String),
}
