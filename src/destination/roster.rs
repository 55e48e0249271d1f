//! What the destination's lists of customers, partnerships and rewards show.
//!
//! The shapes are those of PartnerStack's vendor API, as connectors that run
//! against it have written them down: no page of the reference that was at hand
//! shows an example of an answer. So everything but a key may be missing, and a
//! field of an unexpected shape costs that field. What a field means for money is
//! decided in the ledger, not here.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Outcome;
use super::answer::{self, Answer, Asked, text};
use crate::money::{Currency, Minor};
use crate::time::Time;

/// The longest key or value that is kept, in characters: the longest key that the
/// reference allows anywhere.
const TEXT_MOST_CHARS: usize = 255;
/// The same in bytes: three of them stand in one key of a roll-up, and a ledger in
/// PostgreSQL has at most 2,704 for it.
const TEXT_MOST_BYTES: usize = 765;

/// The largest amount of a reward that is read, in minor units either way: twenty
/// thousand times the largest transaction that the reference allows, and small
/// enough that thousands of them can be added up.
const AMOUNT_MOST: Minor = 1_000_000_000_000_000;

/// One of the destination's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum List {
    /// Whom the partners brought.
    Customers,
    /// What partners get.
    Rewards,
    /// The partners of the program.
    Partners,
}

impl List {
    /// All lists, in the order in which they are read: who is named by the others
    /// is known once the last one was read.
    pub const ALL: [List; 3] = [List::Customers, List::Rewards, List::Partners];

    /// Its name for people, and in the ledger.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            List::Customers => "customers",
            List::Rewards => "rewards",
            List::Partners => "partners",
        }
    }
}

/// A customer as it is listed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ListedCustomer {
    /// The destination's own key.
    pub key: String,
    /// The merchant's own key, which is what we post under.
    pub customer_key: Option<String>,
    /// The id by which a payment provider knows it.
    pub provider_key: Option<String>,
    /// The email address as written.
    pub email: Option<String>,
    /// A name for people.
    pub name: Option<String>,
    /// The partner's own key.
    pub partner_key: Option<String>,
    /// The partnership's key.
    pub partnership_key: Option<String>,
    /// Whether it is marked as a test. What is not said is no test.
    pub test: bool,
    /// Whether it was archived.
    pub archived: bool,
    /// When it last changed, by the destination's clock.
    pub updated_at: Option<Time>,
}

/// Without names and addresses: they are people's.
impl fmt::Debug for ListedCustomer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedCustomer")
            .field("key", &self.key)
            .field("partner_key", &self.partner_key)
            .field("test", &self.test)
            .field("archived", &self.archived)
            .field("updated_at", &self.updated_at)
            .finish_non_exhaustive()
    }
}

/// A partnership as it is listed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ListedPartner {
    /// The partnership's key.
    pub key: String,
    /// The partner's own key, which customers name.
    pub partner_key: Option<String>,
    /// A name for people: the team's, or the person's.
    pub name: Option<String>,
}

/// Without the name.
impl fmt::Debug for ListedPartner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedPartner")
            .field("key", &self.key)
            .field("partner_key", &self.partner_key)
            .finish_non_exhaustive()
    }
}

/// A reward as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedReward {
    /// Its key.
    pub key: String,
    /// In minor units.
    pub amount: Minor,
    /// The currency that the reward itself names.
    pub currency: Option<Currency>,
    /// The currency of the transaction that it is for.
    pub transaction_currency: Option<Currency>,
    /// The customer: the destination's own key of it, where that is shown.
    pub customer: Option<String>,
    /// The partner's own key.
    pub partner_key: Option<String>,
    /// The partnership's key.
    pub partnership_key: Option<String>,
    /// The transaction that it is for.
    pub transaction_key: Option<String>,
    /// Its status, in the destination's words.
    pub status: Option<String>,
    /// Whether it was archived.
    pub archived: bool,
    /// When it was made.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Option<Time>,
}

/// The rows of one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RosterRows {
    /// Of the customers.
    Customers(Vec<ListedCustomer>),
    /// Of the rewards.
    Rewards(Vec<ListedReward>),
    /// Of the partnerships.
    Partners(Vec<ListedPartner>),
}

impl RosterRows {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            RosterRows::Customers(rows) => rows.len(),
            RosterRows::Rewards(rows) => rows.len(),
            RosterRows::Partners(rows) => rows.len(),
        }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// What could be read.
    pub rows: RosterRows,
    /// Rows without a key, or rewards without a sane amount or a time.
    pub unreadable: usize,
    /// Where the next page starts; `None` at the end.
    pub next: Option<String>,
}

/// A page of `list`, or why there is none.
pub(super) fn read(
    list: List,
    answer: &Answer,
    after: Option<&str>,
    secrets: &[&str],
) -> Result<Roster, Outcome> {
    let key = |row: &Value| text(&row["key"]).map(str::to_owned);
    let (items, next) = answer::items(answer, Asked::Roster, after, secrets, key)?;
    let shown = items.len();
    let rows = items.iter();
    let rows = match list {
        List::Customers => RosterRows::Customers(rows.filter_map(customer).collect()),
        List::Rewards => RosterRows::Rewards(rows.filter_map(reward).collect()),
        List::Partners => RosterRows::Partners(rows.filter_map(partner).collect()),
    };
    Ok(Roster {
        unreadable: shown.saturating_sub(rows.count()),
        rows,
        next,
    })
}

/// A text that is there and no longer than any key may be.
fn fitting(value: &Value) -> Option<String> {
    text(value)
        .filter(|text| text.chars().count() <= TEXT_MOST_CHARS)
        .filter(|text| text.len() <= TEXT_MOST_BYTES && !text.contains('\0'))
        .map(str::to_owned)
}

fn time(value: &Value) -> Option<Time> {
    value.as_i64().map(Time)
}

fn currency(value: &Value) -> Option<Currency> {
    text(value).and_then(|code| code.parse().ok())
}

fn customer(row: &Value) -> Option<ListedCustomer> {
    Some(ListedCustomer {
        key: fitting(&row["key"])?,
        customer_key: fitting(&row["customer_key"]),
        provider_key: fitting(&row["provider_key"]),
        email: fitting(&row["email"]),
        name: fitting(&row["name"]),
        partner_key: fitting(&row["partner_key"]),
        partnership_key: fitting(&row["partnership_key"]),
        test: row["test"] == Value::Bool(true),
        archived: row["archived"] == Value::Bool(true),
        updated_at: time(&row["updated_at"]),
    })
}

fn partner(row: &Value) -> Option<ListedPartner> {
    let names = [&row["first_name"], &row["last_name"]].map(text);
    let names: Vec<&str> = names.into_iter().flatten().map(str::trim).collect();
    let person = Value::from(names.join(" ").trim());
    let team = Value::from(text(&row["team"]["name"]).unwrap_or_default().trim());
    Some(ListedPartner {
        key: fitting(&row["key"])?,
        partner_key: fitting(&row["partner_key"]),
        name: fitting(&team).or_else(|| fitting(&person)),
    })
}

fn reward(row: &Value) -> Option<ListedReward> {
    let inner = |outer: &str, key: &str, flat: &str| {
        fitting(&row[outer][key]).or_else(|| fitting(&row[flat]))
    };
    let fits = -AMOUNT_MOST..=AMOUNT_MOST;
    Some(ListedReward {
        key: fitting(&row["key"])?,
        amount: row["amount"].as_i64().filter(|it| fits.contains(it))?,
        currency: currency(&row["currency"]),
        transaction_currency: currency(&row["transaction"]["currency"]),
        customer: inner("customer", "key", "customer_key"),
        partner_key: inner("partnership", "partner_key", "partner_key"),
        partnership_key: inner("partnership", "key", "partnership_key"),
        transaction_key: inner("transaction", "key", "transaction_key"),
        status: fitting(&row["reward_status"]).or_else(|| fitting(&row["status"])),
        archived: row["archived"] == Value::Bool(true),
        created_at: time(&row["created_at"])?,
        updated_at: time(&row["updated_at"]),
    })
}
