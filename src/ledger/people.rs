//! What people ask, decide and state.
//! The command line and the HTTP API both speak in these words.

use serde::{Deserialize, Serialize};

use super::book::State;
use crate::money::{Currency, Minor};
use crate::plan::Policy;
use crate::time::Time;

/// Who says something and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// A person's or a token's name.
    pub who: String,
    /// The reason they gave, may be empty.
    pub why: String,
    /// When.
    pub at: Time,
}

/// A person's decision about payments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    /// Try again: failed or unattributed becomes due.
    Retry,
    /// Forward nothing for it.
    Skip {
        /// Also where the destination holds live transactions.
        leave: bool,
    },
    /// Go on in spite of the reason, for the position as it is.
    Accept,
    /// Go on by this policy, for the position as it is.
    Policy {
        /// The policy.
        policy: Policy,
    },
    /// It belongs to this customer.
    Customer {
        /// The customer key.
        customer: String,
    },
    /// It belongs to this customer, money already forwarded included.
    Move {
        /// The customer key.
        customer: String,
    },
}

impl Decision {
    /// The word in SQL and sentences.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Decision::Retry => "retry",
            Decision::Skip { .. } => "skip",
            Decision::Accept => "accept",
            Decision::Policy { .. } => "policy",
            Decision::Customer { .. } => "customer",
            Decision::Move { .. } => "move",
        }
    }
}

/// What a decision did to one payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Decided {
    /// The source.
    pub source: String,
    /// The payment's id.
    pub payment_id: String,
    /// Its state before.
    pub before: State,
    /// Its state now; as before in a dry run or where it was refused.
    pub after: State,
    /// Why it was not done, if it was not.
    pub refused: Option<String>,
}

/// A statement that an external id belongs to a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLink {
    /// The source.
    pub source: String,
    /// The kind of id, for example `customer`.
    pub kind: String,
    /// The id.
    pub external_id: String,
    /// The customer key.
    pub customer_key: String,
    /// What the payment will be, where the provider does not say.
    pub amount: Option<(Minor, Currency)>,
    /// Replace another key that a person or the API gave before.
    pub replace: bool,
    /// Also move money already forwarded.
    pub move_forwarded: bool,
}

impl NewLink {
    /// A link that says no amount and replaces nothing.
    #[must_use]
    pub fn new(
        source: String,
        (kind, external_id): (String, String),
        customer_key: String,
    ) -> NewLink {
        NewLink {
            source,
            kind,
            external_id,
            customer_key,
            amount: None,
            replace: false,
            move_forwarded: false,
        }
    }
}

/// A link as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LinkView {
    /// The source.
    pub source: String,
    /// The kind of id.
    pub kind: String,
    /// The id.
    pub external_id: String,
    /// The customer key.
    pub customer_key: Option<String>,
    /// Minor units, where stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Minor>,
    /// The currency of `amount`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Who said it.
    pub said_by: String,
    /// When.
    pub said_at: String,
    /// True where a person or the API said it, which beats a feed.
    #[serde(skip)]
    pub by_word: bool,
}

/// A link's place among those of its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkPlace {
    /// The id.
    pub external_id: String,
    /// The kind of id.
    pub kind: String,
    /// Whose word it is, as the ledger has it.
    pub scope: String,
}

/// What a link did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// False where it was already so.
    pub changed: bool,
    /// How many payments were looked at again.
    pub payments: usize,
    /// How many more were only marked: each is looked at when its turn comes.
    pub marked: usize,
    /// The link as stored.
    pub link: LinkView,
}

/// A refund that no webhook tells of, or where a reversal belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// A refund of a payment.
    Refund {
        /// Its id, so that saying it twice counts once.
        refund_id: String,
        /// Minor units in the payment's currency, above 0.
        amount: Minor,
    },
    /// A reversal belongs to this payment.
    Attach {
        /// The refund's or dispute's id.
        reversal_id: String,
    },
}
