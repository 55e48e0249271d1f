//! A transaction to post, and the limits it must keep.
//!
//! Not what the destination holds (that is a [`Row`](super::Row)) and not how it
//! is written on the wire, which differs between v1 and v2.

use crate::money::{Currency, Minor};
use crate::plan::Customer;
use crate::time::Time;

/// The largest amount in one transaction, either sign, in minor units: the range
/// in PartnerStack's reference of `POST /v2/transactions`.
const LARGEST_AMOUNT: Minor = 50_000_000_000;
/// The longest customer key, product key, category key and transaction key, in
/// characters. The reference gives 255 for the customer and the transaction; for
/// the other two it gives nothing, and a longer one is no name.
const LONGEST_NAME: usize = 255;
/// The shortest transaction key, in characters, by the same reference.
const SHORTEST_KEY: usize = 4;

/// A transaction to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTransaction {
    /// Our own key for it; see [`transaction_key`](super::transaction_key).
    pub key: String,
    /// Whose transaction it is.
    pub customer: Customer,
    /// In minor units; negative for money given back.
    pub amount: Minor,
    /// The currency of `amount`.
    pub currency: Currency,
    /// When the money moved.
    pub created_at: Time,
    /// The product, which may choose the commission.
    pub product_key: Option<String>,
    /// The category, which may choose the commission.
    pub category_key: Option<String>,
    /// Notes. What does not fit the destination's limits is cut, not refused.
    pub metadata: Vec<(String, String)>,
}

/// Whether a transaction keeps the documented limits. Call it before
/// [`Destination::post`](super::Destination::post): what cannot be bent must not be tried.
///
/// Limits from PartnerStack's reference of `POST /v2/transactions`: amount within
/// ±50000000000, customer 1 to 255 characters, key 4 to 255. Metadata is only a
/// note and is cut to fit instead.
///
/// # Errors
/// A sentence for a person, without the value.
pub fn fits(transaction: &NewTransaction) -> Result<(), String> {
    if !(-LARGEST_AMOUNT..=LARGEST_AMOUNT).contains(&transaction.amount) {
        let (amount, largest) = (transaction.amount, LARGEST_AMOUNT);
        let show = |minor| transaction.currency.show(minor);
        return Err(format!(
            "The amount {} is more than the destination takes in one transaction ({} either way).",
            show(amount),
            show(largest)
        ));
    }
    let customer = &transaction.customer.value;
    length("customer", customer, 1)?;
    if matches!(customer.as_str(), "." | "..") {
        return Err("The customer is only dots, which cannot stand in a URL.".to_owned());
    }
    length("transaction key", &transaction.key, SHORTEST_KEY)?;
    for (name, value) in [
        ("product key", &transaction.product_key),
        ("category key", &transaction.category_key),
    ] {
        if let Some(value) = value {
            length(name, value, 1)?;
        }
    }
    Ok(())
}

fn length(name: &str, value: &str, shortest: usize) -> Result<(), String> {
    let characters = value.chars().count();
    if (shortest..=LONGEST_NAME).contains(&characters) {
        return Ok(());
    }
    Err(format!(
        "The {name} has {characters} characters; the destination takes {shortest} to {LONGEST_NAME}."
    ))
}
