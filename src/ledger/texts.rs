//! What a ledger keeps: an amount that none can be, and what is no text of either store
//! or too long for an index of one of them, is refused on both alike.
//!
//! PostgreSQL has no U+0000 in a text and no row of an index above 2,704 bytes. What a
//! provider sends and cannot be kept is an unreadable delivery, whose bytes stay; what
//! people and programs say is refused. The providers know nothing of this.

use super::LedgerError;
use crate::money::LARGEST_MINOR;
use crate::movement::{Fact, Reading, Subject};

/// An id of anything, in bytes: Stripe, which says so, has at most 255 characters.
pub const ID_MOST_BYTES: usize = 1_024;
/// A value that lookup rules may use, in bytes: all of Stripe's metadata are such,
/// which have at most 500 characters, mostly of one to four bytes.
pub const CLUE_MOST_BYTES: usize = 2_048;
/// The kind of an id or the name of a field, in bytes; both stand beside it in an index.
pub const NAME_MOST_BYTES: usize = 256;
/// A capture without an amount as it is written down, in bytes: it is part of a key.
const UNPRICED_MOST_BYTES: usize = 2_048;

/// Whether a text holds what PostgreSQL has no place for.
pub(super) fn holds_nul(text: &str) -> bool {
    text.contains('\0')
}

/// Refuses what people or programs say with U+0000 in it.
///
/// # Errors
/// [`LedgerError::Refused`], which names it.
pub(super) fn refuse_nul<'t>(
    said: impl IntoIterator<Item = (&'static str, &'t str)>,
) -> Result<(), LedgerError> {
    match said.into_iter().find(|(_, text)| holds_nul(text)) {
        Some((what, _)) => Err(LedgerError::Refused(format!(
            "{what} holds the character U+0000, which is no part of a text"
        ))),
        None => Ok(()),
    }
}

/// The reading of a document, or why it cannot be kept; nothing of it is quoted.
pub(super) fn keepable(reading: Result<Reading, String>) -> Result<Reading, String> {
    match reading {
        Ok(reading) => match unkeepable(&reading) {
            Some(why) => Err(why),
            None => Ok(reading),
        },
        Err(why) => Err(why.replace('\0', "\u{FFFD}")),
    }
}

/// Why a reading cannot be kept, if it cannot.
pub(super) fn unkeepable(reading: &Reading) -> Option<String> {
    judge(reading).err()
}

fn fits(what: &str, text: &str, most: usize) -> Result<(), String> {
    if holds_nul(text) {
        return Err(format!(
            "{what} holds the character U+0000, which no ledger keeps"
        ));
    }
    match text.len() > most {
        true => Err(format!(
            "{what} has {} bytes, and no more than {most} are kept",
            text.len()
        )),
        false => Ok(()),
    }
}

fn id(what: &str, text: &str) -> Result<(), String> {
    fits(what, text, ID_MOST_BYTES)
}

fn name(what: &str, text: &str) -> Result<(), String> {
    fits(what, text, NAME_MOST_BYTES)
}

fn judge(reading: &Reading) -> Result<(), String> {
    id(
        "the delivery's id",
        reading.delivery_id.as_deref().unwrap_or_default(),
    )?;
    id("the event's name", &reading.event)?;
    name("the account's id", &reading.scope.account)?;
    for movement in &reading.movements {
        subject(&movement.about)?;
        fact(&movement.fact)?;
    }
    for alias in &reading.aliases {
        id("the payment's id", &alias.payment_id)?;
        name("the kind of another id", &alias.kind)?;
        id("another id of the payment", &alias.id)?;
    }
    for clue in &reading.clues {
        id("the payment's id", &clue.payment_id)?;
        name("the name of a value", &clue.field)?;
        fits(
            "a value that lookup rules may use",
            &clue.value,
            CLUE_MOST_BYTES,
        )?;
    }
    for link in &reading.links {
        name("the kind of a link", &link.kind)?;
        id("the id of a link", &link.external_id)?;
        id("the customer key of a link", &link.customer_key)?;
    }
    for inquiry in &reading.inquiries {
        name("the kind of a thing to be asked for", &inquiry.kind)?;
        id("the id of a thing to be asked for", &inquiry.id)?;
        inquiry.about.as_ref().map_or(Ok(()), subject)?;
    }
    for unpriced in &reading.unpriced {
        id("the payment's id", &unpriced.payment_id)?;
        name("the kind of a link", &unpriced.link_kind)?;
        fact(&unpriced.capture)?;
        let written = serde_json::to_string(&unpriced.capture).unwrap_or_default();
        fits(
            "what is known of a payment without an amount",
            &written,
            UNPRICED_MOST_BYTES,
        )?;
    }
    let said = [&reading.partly, &reading.ignored];
    let said = said.into_iter().flatten();
    { said }.try_for_each(|why| fits("a reason", why, usize::MAX))
}

fn subject(about: &Subject) -> Result<(), String> {
    match about {
        Subject::Payment(payment_id) => id("the payment's id", payment_id),
        Subject::Reference { kind, id: named } => {
            name("the kind of an id", kind)?;
            id("an id that stands for the payment", named)
        }
    }
}

fn fact(fact: &Fact) -> Result<(), String> {
    if !(0..=LARGEST_MINOR).contains(&fact.amount) {
        return Err("the amount is negative or too large".to_owned());
    }
    id("the id of a movement", &fact.id)?;
    let keys = [&fact.product_key, &fact.category_key];
    { keys.into_iter().flatten() }.try_for_each(|key| id("a product's or category's key", key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::movement::{Alias, Clue, Link, Scope};

    fn alias(id: &str) -> Reading {
        Reading {
            aliases: vec![Alias {
                payment_id: "ch_1".to_owned(),
                kind: "charge".to_owned(),
                id: id.to_owned(),
                money: true,
            }],
            ..Reading::default()
        }
    }

    #[test]
    fn what_fits_is_kept_and_one_byte_more_is_not() {
        let fits = alias(&"x".repeat(ID_MOST_BYTES));
        assert_eq!(keepable(Ok(fits.clone())), Ok(fits));
        let why = unkeepable(&alias(&"x".repeat(ID_MOST_BYTES + 1))).unwrap();
        assert_eq!(
            why,
            "another id of the payment has 1025 bytes, and no more than 1024 are kept"
        );
        // Bytes, not characters.
        assert!(unkeepable(&alias(&"\u{20AC}".repeat(342))).is_some());
    }

    /// Every text of a reading is looked at: each is spoiled in turn.
    #[test]
    fn no_text_with_nul_is_overlooked() {
        let good = Reading {
            delivery_id: Some("~".to_owned()),
            event: "~".to_owned(),
            scope: Scope {
                live: None,
                account: "~".to_owned(),
            },
            clues: vec![Clue {
                payment_id: "~".to_owned(),
                field: "~".to_owned(),
                value: "~".to_owned(),
                version: 0,
            }],
            links: vec![Link {
                kind: "~".to_owned(),
                external_id: "~".to_owned(),
                customer_key: "~".to_owned(),
                version: 0,
            }],
            partly: Some("~".to_owned()),
            ignored: Some("~".to_owned()),
            ..alias("~")
        };
        let mut text = serde_json::to_value(&good).unwrap();
        let fact = serde_json::json!({"class": "capture", "id": "~", "basis": "each", "rank": 2,
            "version": 0, "authority": "webhook", "amount": 1, "currency": "USD", "at": 0,
            "product_key": "~", "category_key": "~"});
        text["movements"] = serde_json::json!([
            {"about": {"payment": "~"}, "fact": fact},
            {"about": {"reference": {"kind": "~", "id": "~"}}, "fact": fact}]);
        text["inquiries"] =
            serde_json::json!([{"kind": "~", "id": "~", "about": {"payment": "~"}}]);
        text["unpriced"] =
            serde_json::json!([{"payment_id": "~", "link_kind": "~", "capture": fact}]);
        let text = text.to_string();
        let read = |text: &str| serde_json::from_str::<Reading>(text).unwrap();
        assert_eq!(unkeepable(&read(&text)), None);
        let places: Vec<usize> = text.match_indices('~').map(|(at, _)| at).collect();
        assert_eq!(places.len(), 29);
        for at in places {
            let spoiled = format!("{}a\\u0000b{}", &text[..at], &text[at + 1..]);
            let why = unkeepable(&read(&spoiled));
            assert!(why.is_some_and(|why| why.contains("U+0000")), "{spoiled}");
        }
    }
}
