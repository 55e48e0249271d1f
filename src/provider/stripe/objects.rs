//! The shapes of Stripe's objects, 2015 to 2026, as far as they are read.
//!
//! Source: Stripe API reference, the pages of each object, and its changelog.
//! Every field is optional, because each appeared or went in some version of
//! the API, and text is borrowed from the body. Nothing here judges a value;
//! `checks` does.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub use crate::provider::checks::Text;

/// The envelope of an event.
#[derive(Deserialize)]
pub struct Envelope<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub object: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    pub name: Option<Text<'a>>,
    pub created: Option<Stamp>,
    pub livemode: Option<bool>,
    #[serde(borrow)]
    pub account: Option<Text<'a>>,
    #[serde(borrow)]
    pub data: Option<Data<'a>>,
    /// The account that a thin event is about, as text.
    #[serde(borrow)]
    pub context: Option<Text<'a>>,
    #[serde(borrow)]
    pub related_object: Option<Related<'a>>,
}

/// The object that a thin event is about.
#[derive(Deserialize)]
pub struct Related<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    pub name: Option<Text<'a>>,
}

/// The `data` of an event.
#[derive(Deserialize)]
pub struct Data<'a> {
    #[serde(borrow)]
    pub object: Option<&'a RawValue>,
}

/// What an object says it is.
#[derive(Deserialize)]
pub struct Kind<'a> {
    #[serde(borrow)]
    pub object: Option<Text<'a>>,
}

/// The time of an event: seconds, or text in thin events.
pub enum Stamp {
    Seconds(i64),
    Written,
}

/// A charge.
#[derive(Deserialize)]
pub struct Charge<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    pub amount: Option<i64>,
    pub amount_captured: Option<i64>,
    pub amount_refunded: Option<i64>,
    pub captured: Option<bool>,
    pub paid: Option<bool>,
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
    #[serde(borrow)]
    pub currency: Option<Text<'a>>,
    pub created: Option<i64>,
    #[serde(borrow)]
    pub customer: Option<Ref<'a>>,
    #[serde(borrow)]
    pub payment_intent: Option<Ref<'a>>,
    #[serde(borrow)]
    pub invoice: Option<Ref<'a>>,
    #[serde(borrow)]
    pub metadata: Option<Metadata<'a>>,
    #[serde(borrow)]
    pub billing_details: Option<Billing<'a>>,
    #[serde(borrow)]
    pub receipt_email: Option<Text<'a>>,
    #[serde(borrow)]
    pub refunds: Option<List<Refund<'a>>>,
}

/// Who is billed.
#[derive(Deserialize)]
pub struct Billing<'a> {
    #[serde(borrow)]
    pub email: Option<Text<'a>>,
}

/// A refund.
#[derive(Deserialize)]
pub struct Refund<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    pub amount: Option<i64>,
    #[serde(borrow)]
    pub currency: Option<Text<'a>>,
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
    pub created: Option<i64>,
    #[serde(borrow)]
    pub charge: Option<Ref<'a>>,
    #[serde(borrow)]
    pub payment_intent: Option<Ref<'a>>,
}

/// A dispute.
#[derive(Deserialize)]
pub struct Dispute<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    pub amount: Option<i64>,
    #[serde(borrow)]
    pub currency: Option<Text<'a>>,
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
    #[serde(borrow)]
    pub charge: Option<Ref<'a>>,
    #[serde(borrow)]
    pub payment_intent: Option<Ref<'a>>,
    #[serde(borrow)]
    pub balance_transactions: Option<List<Entry<'a>>>,
}

/// A customer.
#[derive(Deserialize)]
pub struct Customer<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    /// True on what is left of a customer that was deleted.
    pub deleted: Option<bool>,
    #[serde(borrow)]
    pub metadata: Option<Metadata<'a>>,
}

/// An invoice.
#[derive(Deserialize)]
pub struct Invoice<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
    pub amount_paid: Option<i64>,
    pub subtotal: Option<i64>,
    pub total: Option<i64>,
    pub tax: Option<i64>,
    pub total_excluding_tax: Option<i64>,
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
    #[serde(borrow)]
    pub payments: Option<List<InvoicePayment<'a>>>,
    pub status_transitions: Option<Transitions>,
    #[serde(borrow)]
    pub metadata: Option<Metadata<'a>>,
    #[serde(borrow)]
    pub parent: Option<Parent<'a>>,
    #[serde(borrow)]
    pub subscription_details: Option<Details<'a>>,
    #[serde(borrow)]
    pub lines: Option<List<Line<'a>>>,
}

/// When an invoice or one of its payments changed its status.
#[derive(Deserialize)]
pub struct Transitions {
    pub paid_at: Option<i64>,
}

/// Where an invoice comes from, since the versions of March 2025.
#[derive(Deserialize)]
pub struct Parent<'a> {
    #[serde(borrow)]
    pub subscription_details: Option<Details<'a>>,
}

/// What an invoice copies from its subscription.
#[derive(Deserialize)]
pub struct Details<'a> {
    #[serde(borrow)]
    pub metadata: Option<Metadata<'a>>,
}

/// A line of an invoice: `pricing` is the new shape, `price` and `plan` are old.
#[derive(Deserialize)]
pub struct Line<'a> {
    #[serde(borrow)]
    pub pricing: Option<Pricing<'a>>,
    #[serde(borrow)]
    pub price: Option<Price<'a>>,
    #[serde(borrow)]
    pub plan: Option<Price<'a>>,
}

/// The price of a line in the new shape.
#[derive(Deserialize)]
pub struct Pricing<'a> {
    #[serde(borrow)]
    pub price_details: Option<Price<'a>>,
}

/// What names the product of a price.
#[derive(Deserialize)]
pub struct Price<'a> {
    #[serde(borrow)]
    pub product: Option<Ref<'a>>,
}

/// A payment of an invoice, since the versions of March 2025.
#[derive(Deserialize)]
pub struct InvoicePayment<'a> {
    #[serde(borrow)]
    pub invoice: Option<Ref<'a>>,
    #[serde(borrow)]
    pub payment: Option<Payer<'a>>,
    pub status_transitions: Option<Transitions>,
}

/// The money behind a payment of an invoice.
#[derive(Deserialize)]
pub struct Payer<'a> {
    #[serde(borrow)]
    pub payment_intent: Option<Ref<'a>>,
    #[serde(borrow)]
    pub charge: Option<Ref<'a>>,
}

/// Another object: its id, or the object itself where it was expanded.
#[derive(Default)]
pub struct Ref<'a> {
    pub id: Option<Text<'a>>,
    pub metadata: Option<Metadata<'a>>,
}

/// An entry in Stripe's books; an id alone says nothing about money.
#[derive(Default)]
pub struct Entry<'a> {
    pub amount: Option<i64>,
    pub currency: Option<Text<'a>>,
    pub created: Option<i64>,
}

/// The members of a list: an array, or an object with an array `data`.
pub struct List<T>(pub Vec<T>);

/// Names and values that the merchant sets. Numbers are kept as written, and
/// what is neither text nor a whole number is left out.
#[derive(Default)]
pub struct Metadata<'a>(pub Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Metadata<'_> {
    /// The first value called `name`, outer white space removed, unless empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(other, _)| other == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Stamp, D::Error> {
        struct Seen;
        impl Visitor<'_> for Seen {
            type Value = Stamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time")
            }
            fn visit_i64<E>(self, seconds: i64) -> Result<Stamp, E> {
                Ok(Stamp::Seconds(seconds))
            }
            fn visit_u64<E>(self, seconds: u64) -> Result<Stamp, E> {
                Ok(Stamp::Seconds(i64::try_from(seconds).unwrap_or(i64::MAX)))
            }
            fn visit_str<E>(self, _: &str) -> Result<Stamp, E> {
                Ok(Stamp::Written)
            }
        }
        deserializer.deserialize_any(Seen)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Ref<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ref<'a>, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Ref<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id or an object")
            }
            fn visit_borrowed_str<E>(self, id: &'de str) -> Result<Ref<'de>, E> {
                Ok(Ref {
                    id: Some(Text(Cow::Borrowed(id))),
                    metadata: None,
                })
            }
            fn visit_str<E>(self, id: &str) -> Result<Ref<'de>, E> {
                Ok(Ref {
                    id: Some(Text(Cow::Owned(id.to_owned()))),
                    metadata: None,
                })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Ref<'de>, A::Error> {
                let object = Customer::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Ref {
                    id: object.id,
                    metadata: object.metadata,
                })
            }
        }
        deserializer.deserialize_any(Seen)
    }
}

/// An entry that was sent whole.
#[derive(Deserialize)]
struct WholeEntry<'a> {
    amount: Option<i64>,
    #[serde(borrow)]
    currency: Option<Text<'a>>,
    created: Option<i64>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entry<'a>, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Entry<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id or an entry")
            }
            fn visit_str<E>(self, _: &str) -> Result<Entry<'de>, E> {
                Ok(Entry::default())
            }
            fn visit_unit<E>(self) -> Result<Entry<'de>, E> {
                Ok(Entry::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry<'de>, A::Error> {
                let whole = WholeEntry::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Entry {
                    amount: whole.amount,
                    currency: whole.currency,
                    created: whole.created,
                })
            }
        }
        deserializer.deserialize_any(Seen)
    }
}

/// A list in its envelope.
#[derive(Deserialize)]
struct WholeList<T> {
    #[serde(default = "Option::default")]
    data: Option<Vec<T>>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<T>, D::Error> {
        struct Seen<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Seen<T> {
            type Value = List<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = seq.next_element()? {
                    members.push(member);
                }
                Ok(List(members))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<List<T>, A::Error> {
                let list = WholeList::deserialize(MapAccessDeserializer::new(map))?;
                Ok(List(list.data.unwrap_or_default()))
            }
        }
        deserializer.deserialize_any(Seen(std::marker::PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Metadata<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Metadata<'a>, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Metadata<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names and values")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Metadata<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Metadata::default())
            }
            fn visit_str<E>(self, _: &str) -> Result<Metadata<'de>, E> {
                Ok(Metadata::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata<'de>, A::Error> {
                let mut values = Vec::new();
                while let Some((name, raw)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    if let Some(value) = plain(raw.get()) {
                        values.push((name.0, value));
                    }
                }
                Ok(Metadata(values))
            }
        }
        deserializer.deserialize_any(Seen)
    }
}

/// The text of a raw JSON value that is a string or a whole number.
fn plain(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes() {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
            Some(Cow::Borrowed(raw.get(1..raw.len() - 1)?))
        }
        [b'"', ..] => serde_json::from_str(raw).ok().map(Cow::Owned),
        digits @ [b'0'..=b'9' | b'-', ..] => digits
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'-'))
            .then_some(Cow::Borrowed(raw)),
        _ => None,
    }
}
