//! What a delivery states, in the product's own words.
//!
//! A [`Movement`] is one statement about money, a [`Link`] ties a provider's id
//! to a customer key, and a [`Reading`] is all that one document says. Nothing
//! here decides anything: `position` adds movements up, `lookup` looks for the
//! customer. Every provider's parser ends here and every ledger starts here.

use serde::{Deserialize, Serialize};

use crate::money::{Currency, Minor};
use crate::time::Time;

/// What a fact is about. The order of the variants means nothing.
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
pub enum Class {
    /// Money taken from the customer. Ranks: [`rank::PENDING`], [`rank::FAILED`], [`rank::CAPTURED`].
    Capture,
    /// Money given back. Ranks: [`rank::ANNOUNCED`], [`rank::LIVE`], [`rank::UNDONE`].
    /// An announced total counts for nothing: it says that an answer of the provider's
    /// API with this version named every refund there is.
    Refund,
    /// The whole payment undone: void, late failure, bank return. A plain
    /// "failed" is never a void.
    Void,
    /// Money that a dispute took. A higher rank is a better witness.
    DisputeTaken,
    /// Money that a dispute gave back. A higher rank is a better witness.
    DisputeReturned,
    /// A warning that at least this much will go back: a floor, not an addend.
    Alert,
}

/// The ranks of facts: a greater rank replaces a smaller one of the same id.
pub mod rank {
    /// A capture that is authorised or under way: no money yet.
    pub const PENDING: u8 = 0;
    /// A capture that failed.
    pub const FAILED: u8 = 1;
    /// Money was captured.
    pub const CAPTURED: u8 = 2;
    /// A refund that is announced but has not gone through.
    pub const ANNOUNCED: u8 = 0;
    /// A refund that went through.
    pub const LIVE: u8 = 1;
    /// A refund that failed, was cancelled, voided or deleted.
    pub const UNDONE: u8 = 2;
    /// A dispute's amount inferred from its status.
    pub const INFERRED: u8 = 0;
    /// A dispute's amount read from the entries of the provider's own books.
    pub const ENTERED: u8 = 1;
}

/// Whether an amount stands for one event or for all events so far.
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
#[schema(as = FactBasis)]
pub enum Basis {
    /// The amount of this one refund or dispute.
    Each,
    /// A cumulative figure: a snapshot to compare with, never an addition.
    Total,
}

/// Whose word a fact is; the greater one wins among equals.
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
pub enum Authority {
    /// A row of an imported file.
    Csv,
    /// A webhook.
    Webhook,
    /// The provider's API, or a person's explicit statement.
    Api,
}

/// One fact about a payment. Facts are stored per delivery and never merged
/// away; a position is a fold over all of them.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
pub struct Fact {
    /// What it is about.
    pub class: Class,
    /// The provider's id of the refund, dispute or capture.
    pub id: String,
    /// One event, or all so far.
    pub basis: Basis,
    /// See [`rank`].
    pub rank: u8,
    /// The provider's own version of the object, or the event's time in
    /// seconds; 0 where there is neither. Never the order of arrival.
    pub version: i64,
    /// Whose word it is.
    pub authority: Authority,
    /// Minor units, never negative.
    pub amount: Minor,
    /// The currency of `amount`.
    pub currency: Currency,
    /// When the money moved.
    pub at: Time,
    /// True on a capture that took less than was authorised: old API shapes
    /// list the released part as a refund, so only totals can be trusted there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partial_capture: bool,
    /// The product's key at the destination, where the capture names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_key: Option<String>,
    /// The category's key at the destination, where the capture names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category_key: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Which payment a movement is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The payment itself, by the id that its key at the destination carries.
    Payment(String),
    /// Another id that some payment carries as an alias: an invoice, an order,
    /// a payment intent. It is resolved again whenever an alias is recorded.
    Reference {
        /// The kind of id, for example `payment_intent`.
        kind: String,
        /// The id.
        id: String,
    },
}

/// One statement about money in a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// Which payment.
    pub about: Subject,
    /// What happened.
    pub fact: Fact,
}

/// Another provider-side id of a payment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Alias {
    /// The payment that carries it.
    pub payment_id: String,
    /// The kind of id, for example `payment_intent`.
    pub kind: String,
    /// The id.
    pub id: String,
    /// True where the id stands for the money itself (charge, settlement,
    /// gateway transaction), so that a payment of another source with the same
    /// id is the same money. False for invoices, orders and references.
    pub money: bool,
}

/// A value of a payment that a lookup rule may use, for example
/// `metadata.customer_key` or `customer`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Clue {
    /// The payment it describes.
    pub payment_id: String,
    /// The field's name as rules write it.
    pub field: String,
    /// Its value, outer white space removed, never empty.
    pub value: String,
    /// As in [`Fact::version`]: the greatest wins.
    pub version: i64,
}

/// A statement that ties a provider-side id to a customer key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Link {
    /// The kind of id, for example `customer`.
    pub kind: String,
    /// The id at the provider.
    pub external_id: String,
    /// The customer key.
    pub customer_key: String,
    /// As in [`Fact::version`]: the greatest wins.
    pub version: i64,
}

/// A question to the provider's API that a document raises, because it says too
/// little. Its answer is recorded and read like a delivery.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Inquiry {
    /// What is asked for, one of the kinds that the provider's `api` names.
    pub kind: String,
    /// The id to ask about.
    pub id: String,
    /// The payment, or the reversal's reference, that waits for the answer.
    pub about: Option<Subject>,
}

/// A payment that the provider says was paid and not how much. The amount is
/// what the payment's link says, or what the provider's API answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Unpriced {
    /// The payment.
    pub payment_id: String,
    /// The kind of link that may name the amount. A clue of that name holds the
    /// id, as for a lookup rule.
    pub link_kind: String,
    /// The capture with amount 0, in the currency that holds where the link
    /// names none.
    pub capture: Fact,
}

/// Where the ids of a reading live: a provider may use one id in its live mode,
/// its test mode and in a connected account for three different things.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Scope {
    /// True live, false test, `None` where the provider does not say.
    pub live: Option<bool>,
    /// The connected account, empty for one's own.
    pub account: String,
}

impl Scope {
    /// The scope as one word for a table: `live`, `test`, `any`, with
    /// `/account` behind it for a connected one.
    #[must_use]
    pub fn word(&self) -> String {
        let mode = match self.live {
            Some(true) => "live",
            Some(false) => "test",
            None => "any",
        };
        match self.account.as_str() {
            "" => mode.to_owned(),
            account => format!("{mode}/{account}"),
        }
    }

    /// The scope with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Scope {
        let (mode, account) = word.split_once('/').unwrap_or((word, ""));
        Scope {
            live: match mode {
                "live" => Some(true),
                "test" => Some(false),
                _ => None,
            },
            account: account.to_owned(),
        }
    }
}

/// All that one document says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Reading {
    /// The provider's id of the delivery; `None` where it has none.
    pub delivery_id: Option<String>,
    /// The provider's name of the event.
    pub event: String,
    /// Where its ids live.
    pub scope: Scope,
    /// Statements about money.
    pub movements: Vec<Movement>,
    /// Other ids of the payments.
    pub aliases: Vec<Alias>,
    /// What lookup rules may use.
    pub clues: Vec<Clue>,
    /// Customers made known.
    pub links: Vec<Link>,
    /// What the provider's API has to be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inquiries: Vec<Inquiry>,
    /// Payments whose amount the document does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unpriced: Vec<Unpriced>,
    /// Why a part of it was left out, where the rest was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partly: Option<String>,
    /// Why nothing in it concerns us; a sentence a person can read.
    pub ignored: Option<String>,
}

impl Reading {
    /// A reading of an event that does not concern us.
    #[must_use]
    pub fn ignored(event: &str, why: impl Into<String>) -> Reading {
        Reading {
            event: event.to_owned(),
            ignored: Some(why.into()),
            ..Reading::default()
        }
    }

    /// Whether nothing follows from it.
    #[must_use]
    pub fn states_nothing(&self) -> bool {
        self.movements.is_empty()
            && self.aliases.is_empty()
            && self.clues.is_empty()
            && self.links.is_empty()
            && self.inquiries.is_empty()
            && self.unpriced.is_empty()
    }

    /// The bytes that make two deliveries of one id the same delivery: what
    /// they state, without what a resend may change (attempt counters).
    #[must_use]
    pub fn statement(&self) -> Vec<u8> {
        serde_json::to_vec(&(
            &self.event,
            &self.scope,
            &self.movements,
            &self.aliases,
            &self.clues,
            &self.links,
            &self.inquiries,
            &self.unpriced,
        ))
        .unwrap_or_default()
    }
}
