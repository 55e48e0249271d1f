//! Comparing the ledger with the destination's own list, to the minor unit.
//!
//! One pass over the list, a page at a time, then one over the rows that no page
//! showed. Differences are told as they are found; sums are kept only for
//! customers that have one. It posts and deletes nothing: `fix` writes down what
//! the destination holds, and the forwarder carries out what is owed then;
//! `adopt` reads the whole list into a ledger that was restored or is new.

use std::collections::BTreeMap;

use crate::circuit::{Alone, Door};
use crate::destination::{Destination, Outcome, Window};
use crate::ledger::{Difference, Differs, Ledger, LedgerError};
use crate::money::{Currency, Minor};
use crate::time::{Clock, DAY_MS, Time};

/// How often one page is asked for before the comparison is given up.
const PAGE_TRIES: u32 = 5;

/// How far ahead of our clock a `created_at` is still listed: a destination's
/// clock may be wrong, and posts may be dated by a provider's.
const AHEAD_MS: i64 = DAY_MS;

/// Why no comparison could be made.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The ledger's.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The list could not be read to its end, so nothing is said.
    #[error("the list of the destination \"{destination}\" could not be read: {why}")]
    List {
        /// The destination's name.
        destination: String,
        /// What came instead, in a word.
        why: String,
    },
    /// It asked to be left alone for longer than a command waits.
    #[error(
        "the destination \"{0}\" asked to be left alone for longer than this command waits; run \
         it again later"
    )]
    LeftAlone(String),
    /// The account has no v2.
    #[error(
        "the destination \"{0}\" cannot be compared: without v2 it has no list (v2_available = false)"
    )]
    NoList(String),
}

/// What a comparison came to.
#[derive(Clone, Debug, Default)]
pub struct Reconciled {
    /// Rows that the destination listed.
    pub listed: u64,
    /// Differences found.
    pub differences: u64,
    /// Differences that were written down.
    pub corrected: usize,
    /// By customer and currency, what the ledger believes and what the
    /// destination holds of the rows that differ.
    pub sums: BTreeMap<(String, String), (Minor, Minor)>,
}

/// What is done about differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing: they are told.
    Tell,
    /// What the destination holds is written down.
    Fix,
    /// The same into a ledger that was restored or is new: what it does not know
    /// was posted by the one that was lost.
    Adopt,
}

/// Compares one destination from `since` on. `tell` hears every difference, and
/// `then` says what is done about it. An adoption reads the whole list, whatever
/// `since` is, and lets the destination be called again at its end.
///
/// # Errors
/// Where the list or the ledger could not be read to the end; what was told
/// before is true all the same, and nothing is said about the rest.
pub async fn reconcile(
    ledger: &Ledger,
    destination: &Destination,
    clock: &Clock,
    (since, then): (Time, Then),
    mut tell: impl FnMut(&Difference),
) -> Result<Reconciled, ReconcileError> {
    if !destination.v2_available() {
        return Err(ReconcileError::NoList(destination.name().to_owned()));
    }
    let adopting = then == Then::Adopt;
    if adopting {
        ledger.begin_adoption(destination.name()).await?;
    }
    let since = if adopting { Time(0) } else { since };
    let comparison = ledger.begin_comparison(destination.name(), since).await?;
    let window = Window {
        from: since,
        to: clock.now().plus(AHEAD_MS),
    };
    let door = Alone::new(ledger, destination, clock).await?;
    let mut done = Reconciled::default();
    let mut after: Option<String> = None;
    loop {
        let page = page(destination, &door, window, after.as_deref()).await?;
        done.listed += page.rows.len() as u64;
        let found = match adopting {
            true => ledger.adopt(comparison.clone(), page.rows).await?,
            false => ledger.compare(comparison.clone(), page.rows).await?,
        };
        done.take(ledger, found, then, &mut tell).await?;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    // Only a complete list says what is missing.
    let mut after = None;
    loop {
        let unlisted = ledger.unlisted(comparison.clone(), after).await?;
        if adopting {
            let differences = unlisted.differences.clone();
            ledger
                .adopt_unlisted(comparison.clone(), differences)
                .await?;
        }
        done.take(ledger, unlisted.differences, then, &mut tell)
            .await?;
        match unlisted.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    if adopting {
        ledger.end_adoption(comparison).await?;
    }
    Ok(done)
}

impl Reconciled {
    /// How many differences are none any more once this was done about them.
    #[must_use]
    pub fn settled_by(&self, then: Then) -> u64 {
        match then {
            Then::Adopt => self.corrected as u64,
            Then::Tell | Then::Fix => 0,
        }
    }

    async fn take(
        &mut self,
        ledger: &Ledger,
        found: Vec<Difference>,
        then: Then,
        tell: &mut impl FnMut(&Difference),
    ) -> Result<(), LedgerError> {
        for difference in &found {
            tell(difference);
            self.differences += 1;
            let customer = difference.customer_key.clone().unwrap_or_default();
            let currency = difference.currency.map(|it: Currency| it.to_string());
            let sum = self.sums.entry((customer, currency.unwrap_or_default()));
            let (ledger, there) = sum.or_default();
            *ledger = ledger.saturating_add(difference.ledger);
            *there = there.saturating_add(difference.destination);
        }
        match then {
            Then::Fix if !found.is_empty() => self.corrected += ledger.correct(found).await?,
            Then::Adopt => {
                let adopted = found.iter().filter(|it| it.differs != Differs::Foreign);
                self.corrected += adopted.count();
            }
            _ => {}
        }
        Ok(())
    }
}

/// One page, asked for again where the answer was unclear: reading is harmless.
async fn page(
    destination: &Destination,
    door: &impl Door,
    window: Window,
    after: Option<&str>,
) -> Result<crate::destination::Page, ReconcileError> {
    let mut tries = 1;
    loop {
        let Some(slot) = door.open().await else {
            return Err(ReconcileError::LeftAlone(destination.name().to_owned()));
        };
        let answer = destination.list(window, after).await;
        drop(slot);
        let failed = match answer {
            Ok(page) => return Ok(page),
            Err(outcome) => outcome,
        };
        door.heard(&failed).await;
        let again = matches!(
            failed,
            Outcome::Unknown { .. } | Outcome::NotSent { .. } | Outcome::Later { .. }
        );
        if !again || tries >= PAGE_TRIES {
            return Err(ReconcileError::List {
                destination: destination.name().to_owned(),
                why: failed.name().replace('_', " "),
            });
        }
        tokio::time::sleep(std::time::Duration::from_secs(u64::from(tries))).await;
        tries += 1;
    }
}
