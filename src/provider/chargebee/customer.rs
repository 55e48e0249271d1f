//! Who paid: Chargebee's customers, the keys they carry and what lookup rules
//! may use.
//!
//! Source: Chargebee API reference, the customer object and "Metadata". No rule
//! is applied here and no customer is chosen; `lookup` does that.

use crate::movement::{Clue, Link, Reading};
use crate::provider::Unreadable;

use super::Event;
use super::objects::{Customer, Metadata, Text};
use crate::provider::checks;

/// Values of one customer's metadata that are kept. Chargebee publishes no
/// number; a customer with more is somebody filling our disk.
const METADATA_MAX: usize = 50;

/// Characters in a metadata value. A longer one is left out, because half a key
/// could be another customer's.
const VALUE_CHARS_MAX: usize = 500;

/// Characters in a metadata name; names are short words that rules repeat.
const NAME_CHARS_MAX: usize = 100;

/// The value of the metadata that is the customer key.
const KEY: &str = "customer_key";

/// Reads a customer that was created or changed.
pub fn read(
    event: &Event<'_>,
    customer: &Customer<'_>,
    reading: &mut Reading,
) -> Result<(), Unreadable> {
    let id = checks::id("content.customer.id", customer.id.as_ref())?;
    let id = checks::needed("content.customer.id", id)?;
    let metadata = Metadata::of(customer.meta_data);
    match metadata.value(KEY).filter(|key| usable(key)) {
        Some(key) => reading.links.push(Link {
            kind: "customer".to_owned(),
            external_id: id.to_owned(),
            customer_key: key.to_owned(),
            version: version(event, customer),
        }),
        None => {
            let why = "the customer's meta_data carries no customer_key; a key that is known stays";
            reading.ignored = Some(why.to_owned());
        }
    }
    Ok(())
}

/// Milliseconds in both cases, so that the two can be compared.
fn version(event: &Event<'_>, customer: &Customer<'_>) -> i64 {
    customer.resource_version.unwrap_or(event.at.ms())
}

/// Adds what lookup rules may use of a payment's customer.
pub fn clues(
    event: &Event<'_>,
    payment_id: &str,
    customer: Option<&Customer<'_>>,
    customer_id: Option<&str>,
    reading: &mut Reading,
) {
    let metadata = Metadata::of(customer.and_then(|customer| customer.meta_data));
    let mut clues = Clues {
        payment_id,
        version: customer.map_or(event.at.ms(), |customer| version(event, customer)),
        clues: &mut reading.clues,
    };
    clues.add(&format!("metadata.{KEY}"), metadata.value(KEY));
    for (name, value) in metadata.0.iter().take(METADATA_MAX) {
        if name.chars().count() <= NAME_CHARS_MAX && usable(name) {
            clues.add(&format!("metadata.{name}"), Some(value));
        }
    }
    clues.add("customer", customer_id);
    let email = customer.and_then(|customer| customer.email.as_ref());
    clues.add("email", email.map(|Text(email)| email.as_ref()));
}

/// Whether a value may be kept: every ledger can hold it, and none is flooded.
pub fn usable(value: &str) -> bool {
    !value.is_empty()
        && value.chars().count() <= VALUE_CHARS_MAX
        && !value.chars().any(char::is_control)
}

/// The clues of one payment, in the making.
struct Clues<'r> {
    payment_id: &'r str,
    version: i64,
    clues: &'r mut Vec<Clue>,
}

impl Clues<'_> {
    /// Adds a clue unless there is one of that field already.
    fn add(&mut self, field: &str, value: Option<&str>) {
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
}
