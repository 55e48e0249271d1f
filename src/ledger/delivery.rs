//! Deliveries on their way into the ledger, and what became of them.
//! What they say is a [`Reading`]; nothing here is decided.

use serde::{Deserialize, Serialize};

use crate::movement::Reading;
use crate::provider::Kept;
use crate::time::Time;

/// A delivery that verified, on its way into the ledger.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The source it came to.
    pub source: String,
    /// The bytes as received.
    pub body: bytes::Bytes,
    /// When it arrived.
    pub received_at: Time,
    /// Which configured secret matched, from 0.
    pub secret: usize,
    /// What was kept of the request beside the body.
    pub kept: Kept,
    /// What it says, or why it could not be read.
    pub reading: Result<Reading, String>,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// In one word.
    pub status: Taken,
    /// The id to ask `explain` for.
    pub delivery: String,
    /// True where something became due.
    #[serde(skip)]
    pub woke: bool,
}

/// How a delivery was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// It stated something and was recorded.
    Recorded,
    /// It was recorded before.
    Duplicate,
    /// It concerns nobody here; recorded with the reason.
    Ignored,
    /// It could not be read; recorded all the same, to be read again.
    Unreadable,
}

impl Taken {
    /// The word in answers and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Taken::Recorded => "recorded",
            Taken::Duplicate => "duplicate",
            Taken::Ignored => "ignored",
            Taken::Unreadable => "unreadable",
        }
    }
}
