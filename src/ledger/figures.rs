//! Figures for metrics and summaries. They are read, never kept.

use std::collections::BTreeMap;

use serde::Serialize;

use super::book::State;
use super::mirror::MirrorFigures;
use crate::day::Day;
use crate::money::{Currency, Minor};
use crate::report::Line;
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

/// What the overview shows, read at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// All money that counts, a line for each currency.
    pub currencies: Vec<Line>,
    /// Every source that the ledger knows, by name.
    pub sources: Vec<SourceFigures>,
    /// Every destination that a source has, by name.
    pub destinations: Vec<DestinationFigures>,
    /// Payments that are not settled, by state, up to one more than [`OPEN_MOST`].
    pub open: Vec<(State, i64)>,
}

/// Payments counted in a state: beyond it a page says "more", so that it costs the
/// same at any backlog.
pub const OPEN_MOST: i64 = 1_000;

/// The net of each day, by the key of a customer or partner and the currency; days
/// without money are left out.
pub type Trends = BTreeMap<(String, Currency), BTreeMap<Day, Minor>>;

/// When a source was heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFigures {
    /// Its name.
    pub source: String,
    /// Its provider.
    pub provider: String,
    /// When its last delivery came that verified.
    pub last_delivery: Option<Time>,
    /// When it was first configured.
    pub first_seen: Time,
}

/// How the calls to a destination go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationFigures {
    /// Its name.
    pub destination: String,
    /// Posts, deletes and read-backs begun within the last minute.
    pub calls_last_minute: i64,
    /// When the payment became due that is due longest.
    pub oldest_due: Option<Time>,
    /// When it last answered.
    pub answered_at: Option<Time>,
    /// Until when it asked to be left alone, where that is still to come.
    pub paused_until: Option<Time>,
    /// Why it is stopped.
    pub status: Option<String>,
    /// How far its customers, partners and rewards were read.
    pub mirror: MirrorFigures,
}
