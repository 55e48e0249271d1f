//! Reading the destination's customers, rewards and partners into the ledger.
//!
//! The ledger says which page is next and takes it in; this asks for it, within
//! the rate that all calls share. It writes nothing to the destination and decides
//! nothing about money: commission is what the destination's rewards say, and a
//! payment goes on by itself once its customer is listed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::circuit::Door;
use crate::destination::{Destination, List, Outcome, Roster};
use crate::forward::Forwarder;
use crate::ledger::mirror::{
    Extent, MirrorFailure, MirrorPage, MirrorRead, MirrorTaken, MirrorTurn,
};
use crate::ledger::{Ledger, LedgerError};
use crate::metrics;
use crate::money::Currency;
use crate::time::MINUTE_MS;

/// How often one page is asked for before the round is given up; the next round
/// goes on at the same page.
const PAGE_TRIES: u32 = 5;

/// How long `serve` waits after a round that was cut short, in milliseconds.
const AGAIN_MS: i64 = 5 * MINUTE_MS;

/// How many calls' time of the rate lies between two pages in `serve`: three of
/// four calls stay with the payments.
const CALLS_A_PAGE: u64 = 4;

/// Why a round came to no end.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The ledger's.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A list could not be read; what was read before it is kept, and the next
    /// round goes on there.
    #[error("the {list} of the destination \"{destination}\" could not be read: {why}")]
    List {
        /// The destination's name.
        destination: String,
        /// The list's name.
        list: &'static str,
        /// What came instead, in a word.
        why: String,
    },
    /// The account has no v2.
    #[error(
        "the destination \"{0}\" cannot be mirrored: without v2 it has no lists (v2_available = \
         false); v1 documents none"
    )]
    NoLists(String),
}

/// What was read of one list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Pages.
    pub pages: u64,
    /// Rows on them.
    pub rows: u64,
    /// Rows that were new, changed or gone.
    pub changed: u64,
    /// Rows that could not be read.
    pub unreadable: u64,
    /// Why the destination showed no more of it, in its words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What a round came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mirrored {
    /// By list.
    #[serde(flatten)]
    pub lists: BTreeMap<List, Told>,
    /// Payments that were looked at again.
    pub payments: u64,
    /// Whether it was told to stop before its end.
    pub stopped: bool,
}

impl Mirrored {
    /// Whether every list was read.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.stopped && self.lists.values().all(|told| told.refused.is_none())
    }

    fn take(&mut self, list: List, taken: &MirrorTaken) {
        let told = self.lists.entry(list).or_default();
        told.changed += taken.changed as u64;
        self.payments += taken.payments as u64;
    }
}

/// Reads what is due of `destination`, page by page.
///
/// # Errors
/// Where the ledger cannot take it, or a list cannot be read at all.
pub async fn mirror(
    ledger: &Ledger,
    destination: &Destination,
    (extent, reward_currency): (Extent, Option<Currency>),
    door: &impl Door,
) -> Result<Mirrored, MirrorError> {
    let name = destination.name();
    if !destination.v2_available() {
        return Err(MirrorError::NoLists(name.to_owned()));
    }
    ledger.mirror_begin(name, extent).await?;
    let (mut done, mut tries) = (Mirrored::default(), 0);
    while let Some(turn) = ledger.mirror_next(name).await? {
        let read = match turn {
            MirrorTurn::Sweep(read) => {
                let list = read.list;
                done.take(list, &ledger.mirror_sweep(read).await?);
                continue;
            }
            MirrorTurn::Ask(read) => read,
        };
        let Some(slot) = door.open().await else {
            done.stopped = true;
            return Ok(done);
        };
        let (list, after) = (read.list, read.after.as_deref());
        let answer = destination.roster(list, read.since, after).await;
        drop(slot);
        match answer {
            Ok(roster) => {
                tries = 0;
                metrics::mirrored(name, list.word(), roster.rows.count());
                let taken = take(ledger, (read, roster), reward_currency, &mut done).await?;
                if taken.due || taken.payments > 0 || taken.changed > 0 {
                    door.due();
                }
            }
            Err(outcome) => {
                tries += 1;
                door.heard(&outcome).await;
                failed(ledger, (read, outcome), tries, &mut done).await?;
            }
        }
    }
    Ok(done)
}

async fn take(
    ledger: &Ledger,
    (read, roster): (MirrorRead, Roster),
    reward_currency: Option<Currency>,
    done: &mut Mirrored,
) -> Result<MirrorTaken, LedgerError> {
    let list = read.list;
    let told = done.lists.entry(list).or_default();
    told.pages += 1;
    told.rows += roster.rows.count() as u64;
    told.unreadable += roster.unreadable as u64;
    let page = MirrorPage {
        read,
        rows: roster.rows,
        next: roster.next,
        reward_currency,
    };
    let taken = ledger.mirror_take(page).await?;
    done.take(list, &taken);
    Ok(taken)
}

/// What cannot be told now is asked for again, and what is refused lets the other
/// lists be read.
async fn failed(
    ledger: &Ledger,
    (read, outcome): (MirrorRead, Outcome),
    tries: u32,
    done: &mut Mirrored,
) -> Result<(), MirrorError> {
    let list = read.list;
    metrics::ended(&read.destination, "mirror", outcome.name());
    let (destination, failure) = (read.destination.clone(), outcome.clone());
    let outcome_of = MirrorFailure {
        read,
        outcome: failure,
    };
    ledger.mirror_failed(outcome_of).await?;
    match outcome {
        Outcome::Refused { status, message } => {
            let told = done.lists.entry(list).or_default();
            told.refused = Some(format!("{status}: {message}"));
            Ok(())
        }
        Outcome::Unknown { .. } | Outcome::NotSent { .. } | Outcome::Later { .. }
            if tries < PAGE_TRIES =>
        {
            Ok(())
        }
        other => Err(MirrorError::List {
            destination,
            list: list.word(),
            why: other.name().replace('_', " "),
        }),
    }
}

/// How long `serve` waits between two pages, in milliseconds.
#[must_use]
pub fn page_pause_ms(requests_per_second: u32) -> u64 {
    CALLS_A_PAGE * 1_000 / u64::from(requests_per_second.max(1))
}

/// One destination's mirror in a process that serves, beside its forwarder.
pub struct Mirroring {
    /// Who calls the destination otherwise.
    pub forwarder: Arc<Forwarder>,
    /// How often it is read, in milliseconds.
    pub every_ms: i64,
    /// What lies between two pages, in milliseconds.
    pub page_pause_ms: u64,
    /// The currency of rewards that name none.
    pub reward_currency: Option<Currency>,
}

impl Mirroring {
    /// Reads what is due until told to stop.
    pub async fn keep(self) {
        let mut wait_ms = self.first_wait_ms().await;
        while self
            .forwarder
            .pause(u64::try_from(wait_ms).unwrap_or(0))
            .await
        {
            wait_ms = match self.round().await {
                Ok(done) if done.stopped => return,
                Ok(done) => {
                    self.tell(&done);
                    self.every_ms
                }
                Err(error) => {
                    tracing::warn!(%error, "the mirror was cut short; it goes on there");
                    self.every_ms.min(AGAIN_MS)
                }
            };
        }
    }

    async fn round(&self) -> Result<Mirrored, MirrorError> {
        let asked = (Extent::New, self.reward_currency);
        let forwarder = &self.forwarder;
        mirror(forwarder.ledger(), forwarder.destination(), asked, self).await
    }

    /// A restart does not ask again for what was read a moment ago.
    async fn first_wait_ms(&self) -> i64 {
        let name = self.forwarder.destination().name();
        match self.forwarder.ledger().mirror_figures(name).await {
            Ok(figures) if !figures.under_way => figures.read_at.map_or(0, |at| {
                let ago = self.forwarder.clock().now().since(at);
                (self.every_ms - ago).clamp(0, self.every_ms)
            }),
            _ => 0,
        }
    }

    fn tell(&self, done: &Mirrored) {
        let destination = self.forwarder.destination().name();
        let changed: u64 = done.lists.values().map(|told| told.changed).sum();
        tracing::info!(
            destination,
            changed,
            payments = done.payments,
            "the mirror was brought up to date"
        );
        for (list, told) in &done.lists {
            if let Some(why) = &told.refused {
                tracing::warn!(destination, list = list.word(), why, "a list was refused");
            }
        }
    }
}

impl Door for Mirroring {
    async fn open(&self) -> Option<OwnedSemaphorePermit> {
        if !self.forwarder.pause(self.page_pause_ms).await {
            return None;
        }
        self.forwarder.beside().await
    }

    async fn heard(&self, outcome: &Outcome) {
        self.forwarder.heard(outcome).await;
    }

    fn due(&self) {
        self.forwarder.wake();
    }
}
