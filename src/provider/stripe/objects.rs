//! Stripe's objects as far as they matter here, in every shape since 2015.
//!
//! Every field may be absent or null: old shapes lack the new ones and new
//! shapes dropped some old ones. Field names and meanings are Stripe's API
//! reference's. Nothing is decided here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::money::Minor;

/// Texts are borrowed where the JSON has no escapes.
pub(super) type Text<'a> = Cow<'a, str>;

#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub object: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    pub kind: Option<Text<'a>>,
    /// Seconds; a text in thin events, which are turned away.
    #[serde(borrow)]
    pub created: Option<&'a RawValue>,
    pub livemode: Option<bool>,
    #[serde(borrow)]
    pub account: Option<Text<'a>>,
    #[serde(borrow)]
    pub data: Option<Holder<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Holder<'a> {
    #[serde(borrow)]
    pub object: Option<&'a RawValue>,
}

/// Only the word that says what an object is.
#[derive(Deserialize)]
pub(super) struct Tagged<'a> {
    #[serde(borrow)]
    pub object: Option<Text<'a>>,
}

/// An id, or the object it stands for where it was expanded.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Ref<'a> {
    Id(#[serde(borrow)] Text<'a>),
    Object(#[serde(borrow)] Box<Customer<'a>>),
}

impl Ref<'_> {
    pub fn id(&self) -> Option<&str> {
        match self {
            Ref::Id(id) => Some(id),
            Ref::Object(object) => object.id.as_deref(),
        }
    }
}

/// Metadata is text to text; null values have been seen for removed keys.
pub(super) type Metadata = BTreeMap<String, Option<Loose>>;

/// A value that should be a text and may be a number or a truth.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Loose {
    Text(String),
    Number(i64),
    Truth(bool),
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
pub(super) struct Customer<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    pub metadata: Option<Metadata>,
}

#[derive(Deserialize)]
pub(super) struct Charge<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    pub amount: Option<Minor>,
    pub amount_captured: Option<Minor>,
    pub amount_refunded: Option<Minor>,
    pub captured: Option<bool>,
    pub paid: Option<bool>,
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
    #[serde(borrow)]
    pub currency: Option<Text<'a>>,
    #[serde(borrow)]
    pub customer: Option<Ref<'a>>,
    #[serde(borrow)]
    pub payment_intent: Option<Ref<'a>>,
    #[serde(borrow)]
    pub invoice: Option<Ref<'a>>,
    pub created: Option<i64>,
    pub metadata: Option<Metadata>,
    #[serde(borrow)]
    pub billing_details: Option<Billing<'a>>,
    #[serde(borrow)]
    pub receipt_email: Option<Text<'a>>,
    #[serde(borrow)]
    pub refunds: Option<RefundList<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Billing<'a> {
    #[serde(borrow)]
    pub email: Option<Text<'a>>,
}

/// A list object, or the bare array of the oldest shapes.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RefundList<'a> {
    List {
        #[serde(borrow)]
        data: Option<Vec<Refund<'a>>>,
    },
    Bare(#[serde(borrow)] Vec<Refund<'a>>),
}

impl<'a> RefundList<'a> {
    pub fn refunds(&self) -> &[Refund<'a>] {
        match self {
            RefundList::List { data } => data.as_deref().unwrap_or_default(),
            RefundList::Bare(refunds) => refunds,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Refund<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    pub amount: Option<Minor>,
    #[serde(borrow)]
    pub charge: Option<Ref<'a>>,
    #[serde(borrow)]
    pub payment_intent: Option<Ref<'a>>,
    #[serde(borrow)]
    pub currency: Option<Text<'a>>,
    pub created: Option<i64>,
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Dispute<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    pub amount: Option<Minor>,
    #[serde(borrow)]
    pub charge: Option<Ref<'a>>,
    #[serde(borrow)]
    pub payment_intent: Option<Ref<'a>>,
    #[serde(borrow)]
    pub currency: Option<Text<'a>>,
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
    #[serde(borrow)]
    pub balance_transactions: Option<Vec<Entry<'a>>>,
}

/// An entry of the account's balance, or only its id.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Entry<'a> {
    Full {
        amount: Minor,
        #[serde(borrow)]
        currency: Option<Text<'a>>,
    },
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
pub(super) struct Invoice<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    pub amount_paid: Option<Minor>,
    pub subtotal: Option<Minor>,
    pub total_excluding_tax: Option<Minor>,
    pub total: Option<Minor>,
    pub paid_out_of_band: Option<bool>,
    #[serde(borrow)]
    pub currency: Option<Text<'a>>,
    #[serde(borrow)]
    pub customer: Option<Ref<'a>>,
    #[serde(borrow)]
    pub customer_email: Option<Text<'a>>,
    #[serde(borrow)]
    pub charge: Option<Ref<'a>>,
    #[serde(borrow)]
    pub payment_intent: Option<Ref<'a>>,
    pub status_transitions: Option<Transitions>,
    pub metadata: Option<Metadata>,
    pub subscription_details: Option<Details>,
    pub parent: Option<Parent>,
    #[serde(borrow)]
    pub lines: Option<Lines<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Transitions {
    pub paid_at: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Details {
    pub metadata: Option<Metadata>,
}

#[derive(Deserialize)]
pub(super) struct Parent {
    pub subscription_details: Option<Details>,
}

#[derive(Deserialize)]
pub(super) struct Lines<'a> {
    #[serde(borrow)]
    pub data: Option<Vec<Line<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub pricing: Option<Pricing<'a>>,
    #[serde(borrow)]
    pub price: Option<Price<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Pricing<'a> {
    #[serde(borrow)]
    pub price_details: Option<Price<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Price<'a> {
    #[serde(borrow)]
    pub product: Option<Ref<'a>>,
}

/// What ties an invoice to the intent that paid it, since 2025-03-31.
#[derive(Deserialize)]
pub(super) struct InvoicePayment<'a> {
    #[serde(borrow)]
    pub invoice: Option<Ref<'a>>,
    #[serde(borrow)]
    pub payment: Option<PaidBy<'a>>,
}

#[derive(Deserialize)]
pub(super) struct PaidBy<'a> {
    #[serde(borrow)]
    pub payment_intent: Option<Ref<'a>>,
    #[serde(borrow)]
    pub charge: Option<Ref<'a>>,
}
