//! What leaves the ledger by an export: payments with all that was stated about
//! them. Decisions, links and transactions stay.

use crate::movement::Fact;

/// The columns that an export needs beside those that every row has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportColumns {
    /// The fields of all clues.
    pub clues: Vec<String>,
    /// The kinds of all aliases, and whether they stand for the money.
    pub aliases: Vec<(String, bool)>,
}

/// One payment, or the reversals that wait under a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Its id; for a stand-in the kind and the id that its reversals name.
    pub named: Named,
    /// Live, test, or not said.
    pub live: Option<bool>,
    /// The connected account, empty for one's own.
    pub account: String,
    /// The customer key, where it is known and is one.
    pub customer_key: Option<String>,
    /// Every fact.
    pub facts: Vec<Fact>,
    /// Every clue.
    pub clues: Vec<(String, String)>,
    /// The greatest version of a clue.
    pub clue_version: Option<i64>,
    /// Every other id: its kind, whether it stands for the money, and the id.
    pub aliases: Vec<(String, bool, String)>,
}

/// What an exported row is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A payment by its id.
    Payment(String),
    /// A reference by its kind and id.
    Reference(String, String),
}

/// A page of an export.
#[derive(Clone, Debug, Default)]
pub struct ExportPage {
    /// In the order in which they were first recorded.
    pub payments: Vec<Exported>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<i64>,
}
