//! The states of a payment: what each means, who moves it on and what a crash in
//! it does. Which one a payment is in is decided by `book`.

use serde::{Deserialize, Serialize};

/// Where a payment is on its way.
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
pub enum State {
    /// A reversal is known but no capture yet, or the capture is only
    /// authorised. The next delivery moves it on; a crash changes nothing.
    Waiting,
    /// No customer key, or one that the destination does not know; the reason
    /// says it rule by rule. A link, a customer or a person moves it on; a
    /// crash changes nothing.
    Unattributed,
    /// The destination owes or is owed a call. The forwarder moves it on; after
    /// a crash the call's intent is on disk and is read back first.
    Due,
    /// The destination's live transactions sum to the target. A new movement
    /// moves it on; a crash changes nothing.
    Settled,
    /// Refused, or patience is over. A person or a new movement moves it on; a
    /// crash changes nothing.
    Failed,
    /// A person must decide; the reason says what. A crash changes nothing.
    Held,
    /// Nothing is to be forwarded: zero, a test event, from before the start, or
    /// skipped by a person. A new movement is looked at again; a crash changes nothing.
    Ignored,
}

/// All states, in the order people read them.
pub const STATES: [State; 7] = [
    State::Waiting,
    State::Unattributed,
    State::Due,
    State::Settled,
    State::Failed,
    State::Held,
    State::Ignored,
];

impl State {
    /// The word in configuration, SQL, logs and pages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Unattributed => "unattributed",
            State::Due => "due",
            State::Settled => "settled",
            State::Failed => "failed",
            State::Held => "held",
            State::Ignored => "ignored",
        }
    }

    /// The state with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<State> {
        STATES.into_iter().find(|state| state.word() == word)
    }
}
