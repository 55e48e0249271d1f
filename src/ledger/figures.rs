//! Figures for metrics and summaries. They are read, never kept.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::money::{Currency, Minor};
use crate::time::Time;

/// Figures for metrics and the running summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Payments by state.
    pub states: BTreeMap<String, i64>,
    /// The oldest due time by destination.
    pub oldest_due: BTreeMap<String, Time>,
    /// The newest delivery by source, or when the source was first configured.
    pub last_delivery: BTreeMap<String, Time>,
    /// Deliveries by source and status.
    pub deliveries: BTreeMap<(String, String), i64>,
    /// By provider and currency.
    pub books: Vec<BooksLine>,
    /// What the destination asked of us, by its name.
    pub paused_until: BTreeMap<String, Time>,
    /// Why a destination is stopped, by its name.
    pub status: BTreeMap<String, String>,
}

/// The sums of one provider and currency, over payments that are not ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BooksLine {
    /// The provider.
    pub provider: String,
    /// The currency.
    pub currency: Currency,
    /// How many payments.
    pub payments: i64,
    /// Minor units.
    pub gross: Minor,
    /// Minor units.
    pub reversed: Minor,
    /// Minor units.
    pub forwarded: Minor,
}
