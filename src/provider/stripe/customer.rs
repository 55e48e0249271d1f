//! Who paid: customers, the keys they carry and what lookup rules may use.
//!
//! Source: Stripe API reference, the Customer object and "Metadata". No rule is
//! applied here and no customer is chosen; `lookup` does that.

use crate::movement::{Clue, Link, Reading};
use crate::provider::Unreadable;

use super::objects::{Customer, Metadata, Ref};
use super::{Event, checks};

/// Metadata of one object; Stripe allows 50 pairs (API reference, Metadata).
const METADATA_MAX: usize = 50;

/// Characters in a metadata value; Stripe allows 500. A longer one is left out,
/// because half a key could be another customer's.
const VALUE_CHARS_MAX: usize = 500;

/// Characters in a metadata name; Stripe allows 40.
const NAME_CHARS_MAX: usize = 100;

/// Why nothing comes of a customer that is gone.
pub const DELETED: &str =
    "the customer was deleted; what is known of it stays, because late refunds still need it";

/// Reads a customer.
pub fn read(
    event: &Event<'_>,
    customer: &Customer<'_>,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let id = checks::own_id(customer.id.as_ref())?;
    if event.name == "customer.deleted" {
        reading.ignored = Some(DELETED.to_owned());
        return Ok(());
    }
    match customer.metadata.as_ref().and_then(customer_key) {
        Some(key) => reading.links.push(link(id, key, event)),
        None => {
            let why = "the customer carries no customer_key and no customer_id; a key that is known stays";
            reading.ignored = Some(why.to_owned());
        }
    }
    Ok(())
}

/// The link that an expanded customer states.
pub fn expanded_link(
    customer: Option<&Ref<'_>>,
    id: Option<&str>,
    event: &Event<'_>,
) -> Option<Link> {
    let key = customer_key(customer?.metadata.as_ref()?)?;
    Some(link(id?, key, event))
}

fn link(id: &str, customer_key: &str, event: &Event<'_>) -> Link {
    Link {
        kind: "customer".to_owned(),
        external_id: id.to_owned(),
        customer_key: customer_key.to_owned(),
        version: event.version,
    }
}

/// The customer key among `metadata`. It is compared as it stands, without
/// outer white space.
fn customer_key<'m>(metadata: &'m Metadata<'_>) -> Option<&'m str> {
    ["customer_key", "customer_id"]
        .into_iter()
        .filter_map(|name| metadata.value(name))
        .find(|value| usable(value))
}

/// Whether a value may be kept: every ledger can hold it, and none is flooded.
pub fn usable(value: &str) -> bool {
    !value.is_empty()
        && value.chars().count() <= VALUE_CHARS_MAX
        && !value.chars().any(char::is_control)
}

/// The clues of one payment, in the making.
pub struct Clues<'r> {
    pub payment_id: &'r str,
    pub version: i64,
    pub clues: &'r mut Vec<Clue>,
}

impl Clues<'_> {
    /// Adds a clue unless there is one of that field already.
    pub fn add(&mut self, field: &str, value: Option<&str>) {
        let value = value.map(str::trim).filter(|value| usable(value));
        let Some(value) = value else {
            return;
        };
        if self.clues.iter().any(|clue| clue.field == field) {
            return;
        }
        self.clues.push(Clue {
            payment_id: self.payment_id.to_owned(),
            field: field.to_owned(),
            value: value.to_owned(),
            version: self.version,
        });
    }

    /// Adds every value of `metadata` that is not there yet, the two names that
    /// usually hold the customer key before all others.
    pub fn add_metadata(&mut self, metadata: Option<&Metadata<'_>>) {
        let Some(metadata) = metadata else {
            return;
        };
        for name in ["customer_key", "customer_id"] {
            self.add(&format!("metadata.{name}"), metadata.value(name));
        }
        for (name, value) in metadata.0.iter().take(METADATA_MAX) {
            if name.chars().count() <= NAME_CHARS_MAX && usable(name) {
                self.add(&format!("metadata.{name}"), Some(value));
            }
        }
    }
}

/// A key that `metadata` names for the destination, for example `product_key`.
pub fn named_key(metadata: Option<&Metadata<'_>>, name: &str) -> Option<String> {
    let value = metadata?.value(name)?;
    usable(value).then(|| value.to_owned())
}
