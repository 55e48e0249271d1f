//! Files that came by the API, from their arrival to what came of them. What is
//! in them is not known here.

use crate::time::Time;

/// A file that arrived.
#[derive(Clone, Debug)]
pub struct NewImport {
    /// The source that its payments belong to.
    pub source: String,
    /// Its name in the folder beside the ledger.
    pub spool: String,
    /// What was said about it, as JSON.
    pub said: String,
    /// Who sent it.
    pub who: String,
}

/// A file and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its number.
    pub import: i64,
    /// The source that its payments belong to.
    pub source: String,
    /// Its name in the folder beside the ledger.
    pub spool: String,
    /// What was said about it, as JSON.
    pub said: String,
    /// Who sent it.
    pub who: String,
    /// When.
    pub said_at: Time,
    /// `waiting`, `running`, `done` or `failed`.
    pub state: String,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// What came of it, as JSON.
    pub came: Option<String>,
    /// Why it failed.
    pub outcome: Option<String>,
}
