//! The shapes of Chargebee's objects in API v2, as far as they are read.
//!
//! Source: Chargebee API reference, the pages of the event, transaction,
//! invoice, credit note and customer, and the types of its official SDKs. Every
//! field is optional, because the SDKs say so of most of them, and text is
//! borrowed from the body. Nothing here judges a value; `checks` does.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

pub use crate::provider::checks::Text;
use crate::provider::checks::scalar;

/// An event.
#[derive(Deserialize)]
pub struct Envelope<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub api_version: Option<Text<'a>>,
    #[serde(borrow)]
    pub event_type: Option<Text<'a>>,
    pub occurred_at: Option<i64>,
    #[serde(borrow)]
    pub content: Option<&'a RawValue>,
}

/// What an event is about.
#[derive(Deserialize)]
pub struct Content<'a> {
    #[serde(borrow)]
    pub transaction: Option<Transaction<'a>>,
    #[serde(borrow)]
    pub invoice: Option<Invoice<'a>>,
    #[serde(borrow)]
    pub credit_note: Option<CreditNote<'a>>,
    #[serde(borrow)]
    pub customer: Option<Customer<'a>>,
}

/// Money that moved, or should have.
#[derive(Deserialize)]
pub struct Transaction<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub customer_id: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    pub kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
    pub amount: Option<i64>,
    #[serde(borrow)]
    pub currency_code: Option<Text<'a>>,
    pub date: Option<i64>,
    /// Milliseconds, greater after each change.
    pub resource_version: Option<i64>,
    pub deleted: Option<bool>,
    #[serde(borrow)]
    pub gateway: Option<Text<'a>>,
    #[serde(borrow)]
    pub payment_method: Option<Text<'a>>,
    #[serde(borrow)]
    pub id_at_gateway: Option<Text<'a>>,
    #[serde(borrow)]
    pub refunded_txn_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub reference_transaction_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub linked_payments: Option<Vec<LinkedPayment<'a>>>,
    #[serde(borrow)]
    pub linked_invoices: Option<Vec<LinkedInvoice<'a>>>,
    #[serde(borrow)]
    pub linked_credit_notes: Option<Vec<LinkedCreditNote<'a>>>,
}

/// A payment that a reversal undoes.
#[derive(Deserialize)]
pub struct LinkedPayment<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
}

/// An invoice that a payment pays.
#[derive(Deserialize)]
pub struct LinkedInvoice<'a> {
    #[serde(borrow)]
    pub invoice_id: Option<Text<'a>>,
}

/// A credit note that a refund pays out.
#[derive(Deserialize)]
pub struct LinkedCreditNote<'a> {
    #[serde(borrow)]
    pub cn_reference_invoice_id: Option<Text<'a>>,
}

/// An invoice.
#[derive(Deserialize)]
pub struct Invoice<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub line_items: Option<Vec<LineItem<'a>>>,
}

/// A line of an invoice.
#[derive(Deserialize)]
pub struct LineItem<'a> {
    #[serde(borrow)]
    pub entity_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub entity_id: Option<Text<'a>>,
}

/// A credit note.
#[derive(Deserialize)]
pub struct CreditNote<'a> {
    #[serde(borrow)]
    pub reference_invoice_id: Option<Text<'a>>,
}

/// A customer.
#[derive(Deserialize)]
pub struct Customer<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub email: Option<Text<'a>>,
    #[serde(borrow)]
    pub meta_data: Option<&'a RawValue>,
    /// Milliseconds, greater after each change.
    pub resource_version: Option<i64>,
}

/// Names and values that the merchant sets, in the order of their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Metadata(pub Vec<(String, String)>);

impl Metadata {
    /// Reads `meta_data`: an object, or a text that holds one, because clients
    /// have stored it encoded twice. Anything else is no metadata.
    pub fn of(raw: Option<&RawValue>) -> Metadata {
        let text = raw.map_or("", |raw| raw.get());
        match text.starts_with('"') {
            true => serde_json::from_str::<String>(text)
                .map(|within| object(&within))
                .unwrap_or_default(),
            false => object(text),
        }
    }

    /// The value called `name`, outer white space removed, unless empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(other, _)| other == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }
}

fn object(text: &str) -> Metadata {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
    let values = members.into_iter();
    Metadata(
        values
            .filter_map(|(name, raw)| Some((name, scalar(raw)?)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(raw: &str) -> Option<String> {
        let raw: Option<Box<RawValue>> = serde_json::from_str(raw).unwrap();
        Metadata::of(raw.as_deref())
            .value("customer_key")
            .map(str::to_owned)
    }

    #[test]
    fn metadata_is_read_in_every_form_it_was_stored_in() {
        for (raw, expected) in [
            (r#"{"customer_key":" acme "}"#, Some("acme")),
            (r#""{\"customer_key\":\"acme\"}""#, Some("acme")),
            (
                r#"{"customer_key":90071992547409931234}"#,
                Some("90071992547409931234"),
            ),
            (r#"{"customer_key":12.50}"#, Some("12.50")),
            (r#"{"customer_key":true}"#, Some("true")),
            (r#"{"customer_key":""}"#, None),
            (r#"{"customer_key":null}"#, None),
            (r#"{"customer_key":["acme"]}"#, None),
            (r#""{\"customer_key\":""#, None),
            (
                r#""\"{\\\"customer_key\\\":\\\"encoded three times\\\"}\"""#,
                None,
            ),
            (r#""acme""#, None),
            ("[]", None),
            ("null", None),
            ("7", None),
        ] {
            assert_eq!(key(raw).as_deref(), expected, "{raw}");
        }
    }
}
