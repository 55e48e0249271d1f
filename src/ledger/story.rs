//! What the ledger shows of a payment: one line, or its whole story.
//!
//! These are views to be printed, served and tested. They decide nothing.

use serde::Serialize;
use utoipa::openapi::{RefOr, Schema};

use crate::ledger::LinkView;
use crate::lookup::Tried;
use crate::money::{Currency, Minor};
use crate::movement::{Basis, Class, Fact, rank};
use crate::plan::Row;
use crate::position::Position;

/// One payment in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PaymentView {
    /// The ledger's own number, the cursor of lists.
    #[serde(skip)]
    pub row: i64,
    /// The source's name.
    pub source: String,
    /// The payment's id there.
    pub payment_id: String,
    /// The provider.
    pub provider: String,
    /// The destination's name.
    pub destination: String,
    /// Whom it is for.
    pub customer_key: Option<String>,
    /// The partner who brought the customer, once the mirror knows.
    pub partner_key: Option<String>,
    /// The currency of all amounts.
    pub currency: Option<Currency>,
    /// Minor units captured.
    pub gross: Option<Minor>,
    /// Minor units that went back.
    pub reversed: Option<Minor>,
    /// Gross less reversed.
    pub net: Option<Minor>,
    /// Minor units that the destination holds live, as the ledger knows.
    pub forwarded: Minor,
    /// Its state, in one word.
    #[schema(value_type = super::book::State)]
    pub state: &'static str,
    /// Why, for a person.
    pub reason: Option<String>,
    /// When the money moved, RFC 3339 in UTC.
    pub occurred_at: String,
    /// Live, test, or not said by the provider.
    pub live: Option<bool>,
    /// When it is next due, RFC 3339 in UTC.
    pub due_at: Option<String>,
}

/// The whole story of a payment.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Story {
    /// The payment as it stands now; `None` for a delivery without payments.
    #[serde(flatten)]
    #[schema(value_type = PaymentOfStory)]
    pub payment: Option<PaymentView>,
    /// Why it stands so, as a pair of sentences for a person.
    pub summary: String,
    /// Every event in the order of time.
    pub events: Vec<Event>,
    /// Each lookup rule and what it came to.
    pub lookup: Vec<Tried>,
    /// The links that the rules could use.
    pub links: Vec<LinkView>,
    /// Every fact.
    pub facts: Vec<Fact>,
    /// The destination's side.
    pub transactions: Vec<TransactionView>,
    /// Other ids of the payment.
    pub aliases: Vec<AliasView>,
}

/// How a payment stands in its story, for the API's document: a delivery that
/// concerns no payment has a story without these fields.
#[derive(Debug)]
pub struct PaymentOfStory;

impl utoipa::PartialSchema for PaymentOfStory {
    fn schema() -> RefOr<Schema> {
        let mut schema = PaymentView::schema();
        if let RefOr::T(Schema::Object(fields)) = &mut schema {
            fields.required.clear();
        }
        schema
    }
}

impl utoipa::ToSchema for PaymentOfStory {}

/// One dated line of a story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Event {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// `delivery`, `statement`, `inquiry`, `decision`, `call` or `read-back`.
    pub kind: &'static str,
    /// What happened, as a sentence.
    pub text: String,
    /// Where the money stood after it, as a sentence; only where it moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
}

/// One transaction at the destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TransactionView {
    /// Its key there.
    pub key: String,
    /// The destination's name.
    pub destination: String,
    /// The `created_at` sent, RFC 3339 in UTC.
    pub created_at: String,
    /// The key of the sale it corrects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reversal_of: Option<String>,
    /// What is known of it.
    #[serde(flatten)]
    pub row: Row,
}

/// Another id of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AliasView {
    /// The kind of id.
    pub kind: String,
    /// The id.
    pub id: String,
}

/// A fact as a sentence for a person.
#[must_use]
pub fn fact_sentence(fact: &Fact) -> String {
    let money = fact.currency.show(fact.amount);
    match (fact.class, fact.basis, fact.rank) {
        (Class::Capture, _, rank::PENDING) => format!("{money} authorised, not captured"),
        (Class::Capture, _, rank::FAILED) => format!("a payment of {money} failed"),
        (Class::Capture, ..) if fact.partial_capture => {
            format!("{money} captured, less than was authorised")
        }
        (Class::Capture, ..) => format!("{money} captured"),
        (Class::Refund, Basis::Total, rank::ANNOUNCED) => {
            format!("that is the provider's list of all refunds; {money} of them stand")
        }
        (Class::Refund, Basis::Total, _) => format!("{money} refunded in all so far"),
        (Class::Refund, _, rank::ANNOUNCED) => {
            format!("refund {} of {money} announced", fact.id)
        }
        (Class::Refund, _, rank::UNDONE) => {
            format!(
                "refund {} of {money} failed or was cancelled; the money stays",
                fact.id
            )
        }
        (Class::Refund, ..) => format!("refund {} of {money}", fact.id),
        (Class::Void, ..) => "the whole payment was undone".to_owned(),
        (Class::DisputeTaken, ..) => format!("dispute {} took {money}", fact.id),
        (Class::DisputeReturned, ..) => format!("dispute {} gave {money} back", fact.id),
        (Class::Alert, ..) => format!("an alert says that {money} will go back"),
    }
}

/// A position as a sentence for a person.
#[must_use]
pub fn position_sentence(position: &Position) -> String {
    let (Some(capture), Some(reversed), Some(net)) =
        (&position.capture, position.reversed(), position.net())
    else {
        return "no money captured yet".to_owned();
    };
    let show = |minor| capture.currency.show(minor);
    match reversed {
        0 => format!("net {}", show(net)),
        _ => format!(
            "{} less {} is net {}",
            show(capture.gross),
            show(reversed),
            show(net)
        ),
    }
}

/// The state and what happens next, as a sentence or two for a person.
#[must_use]
pub fn summary(view: &PaymentView, position: &Position) -> String {
    let money = position_sentence(position);
    let held = match view.currency {
        Some(currency) => currency.show(view.forwarded),
        None => "nothing".to_owned(),
    };
    let whom = view
        .customer_key
        .as_deref()
        .map_or(String::new(), |customer| {
            let customer = crate::lookup::mask_email(customer);
            match &view.partner_key {
                None => format!(" for the customer {customer}"),
                Some(partner) => format!(" for the customer {customer} of the partner {partner}"),
            }
        });
    let next = match (view.state, &view.due_at) {
        ("due", Some(at)) => format!(" Next: the forwarder's turn, not before {at}."),
        ("waiting", _) => " Next: it goes on by itself when the provider reports more.".to_owned(),
        ("failed", _) => " Next: mend the cause, then retry it.".to_owned(),
        ("held", _) => " Next: a person decides, with release, skip or attach.".to_owned(),
        ("unattributed", _) => " Next: link the customer, or wait for the link.".to_owned(),
        _ => String::new(),
    };
    let why = view
        .reason
        .as_deref()
        .map_or(String::new(), |why| format!(" Why: {why}."));
    format!(
        "{} {} is {}: {money}; the destination \"{}\" holds {held}{whom}.{}{next}",
        view.source,
        view.payment_id,
        view.state,
        view.destination,
        why.replace("..", ".")
    )
}
