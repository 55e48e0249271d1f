//! Reading unknown outcomes back from the destination's list.
//!
//! One listing pass answers all unknown intents of a destination at once. A row
//! is searched by the `created_at` we sent and, because the destination may put
//! its own time there, by the time of the call as well. A listing that was not
//! complete proves nothing.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use crate::destination::{Destination, Outcome, Page, Row, Window};
use crate::ledger::{Claim, Ledger, LedgerError, ReadBack, Seen, Unknown};
use crate::time::{Clock, MINUTE_MS, SECOND_MS, Time};

/// Intents read back in one sweep: as many as one page of the list can show.
const READ_BACK_AT_ONCE: usize = 250;

/// Pages read in one sweep, 25,000 rows; a sweep that needs more says "could not
/// tell" and is tried again.
const PAGES_MOST: usize = 100;

/// How often one page is asked for in a sweep.
const PAGE_TRIES: u32 = 3;

/// How far the time that we sent may have been rounded.
const SENT_SLACK_MS: i64 = SECOND_MS;

/// How far the destination's clock may differ from ours.
const CLOCK_SLACK_MS: i64 = MINUTE_MS;

/// Reads back what is due. Answers the outcome that cut the listing short, if
/// one did.
///
/// # Errors
/// As the ledger's.
pub async fn sweep(
    ledger: &Ledger,
    destination: &Destination,
    clock: &Clock,
    stop: &CancellationToken,
) -> Result<Option<Outcome>, LedgerError> {
    let unknowns = ledger
        .unknowns(destination.name(), READ_BACK_AT_ONCE)
        .await?;
    if unknowns.is_empty() {
        return Ok(None);
    }
    let begun_at = clock.now();
    let mut listing = Listing::new(&unknowns);
    let mut pages = 0;
    let mut trouble = None;
    for window in windows(&unknowns) {
        listing.tried.push(window);
        match list(destination, window, &mut listing, &mut pages, stop).await {
            Ok(true) => listing.complete.push(window),
            Ok(false) => break,
            // One window that cannot be read says nothing about the others.
            Err(outcome @ (Outcome::Unknown { .. } | Outcome::NotSent { .. })) => {
                trouble = Some(outcome);
            }
            Err(outcome) => {
                trouble = Some(outcome);
                break;
            }
        }
    }
    tracing::debug!(
        destination = destination.name(),
        unknowns = unknowns.len(),
        pages,
        "read back"
    );
    let seen: Vec<(Claim, ReadBack)> = unknowns
        .iter()
        .map(|unknown| (unknown.claim, listing.read_back(unknown, begun_at)))
        .collect();
    ledger.settle_read_back(seen).await?;
    Ok(trouble)
}

/// Lists one window to its end. False where the sweep's pages ran out.
async fn list(
    destination: &Destination,
    window: Window,
    listing: &mut Listing,
    pages: &mut usize,
    stop: &CancellationToken,
) -> Result<bool, Outcome> {
    let mut after: Option<String> = None;
    loop {
        if *pages >= PAGES_MOST || stop.is_cancelled() {
            return Ok(false);
        }
        let Some(page) = page(destination, window, after.as_deref(), (pages, stop)).await? else {
            return Ok(false);
        };
        for row in page.rows {
            listing.take(row);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(true),
        }
    }
}

/// One page, asked for again where the answer was unclear: reading is harmless.
/// `None` where it is told to stop.
async fn page(
    destination: &Destination,
    window: Window,
    after: Option<&str>,
    (pages, stop): (&mut usize, &CancellationToken),
) -> Result<Option<Page>, Outcome> {
    let mut tries = 1;
    loop {
        *pages += 1;
        match stop.run_until_cancelled(destination.permit()).await {
            Some(permit) => permit?,
            None => return Ok(None),
        }
        match destination.list(window, after).await {
            Err(Outcome::Unknown { .. } | Outcome::NotSent { .. }) if tries < PAGE_TRIES => {
                tries += 1;
            }
            other => return other.map(Some),
        }
    }
}

/// The two windows of an unknown: the time we sent, and the time of the call.
fn windows_of(unknown: &Unknown) -> [Window; 2] {
    [
        Window {
            from: unknown.created_at.plus(-SENT_SLACK_MS),
            to: unknown.created_at.plus(SENT_SLACK_MS),
        },
        Window {
            from: unknown.posted_at.plus(-CLOCK_SLACK_MS),
            to: unknown.posted_by.plus(CLOCK_SLACK_MS),
        },
    ]
}

/// All windows, merged where they touch, oldest first.
fn windows(unknowns: &[Unknown]) -> Vec<Window> {
    let mut all: Vec<Window> = unknowns.iter().flat_map(windows_of).collect();
    all.sort_by_key(|window| window.from);
    let mut merged: Vec<Window> = Vec::new();
    for window in all {
        match merged.last_mut() {
            Some(last) if window.from <= last.to.plus(CLOCK_SLACK_MS) => {
                last.to = last.to.max(window.to);
            }
            _ => merged.push(window),
        }
    }
    merged
}

/// What was seen of the keys that were asked for.
struct Listing {
    seen: BTreeMap<String, Vec<Seen>>,
    complete: Vec<Window>,
    tried: Vec<Window>,
}

impl Listing {
    fn new(unknowns: &[Unknown]) -> Listing {
        Listing {
            seen: unknowns
                .iter()
                .map(|unknown| (unknown.key.clone(), Vec::new()))
                .collect(),
            complete: Vec::new(),
            tried: Vec::new(),
        }
    }

    /// Only rows that were asked for are kept: memory does not grow with the list.
    fn take(&mut self, row: Row) {
        if let Some(seen) = self.seen.get_mut(&row.key) {
            seen.push(Seen {
                amount: row.amount,
                currency: row.currency,
                customer: row.customer_external_key,
                created_at: row.created_at,
                archived: row.archived,
            });
        }
    }

    /// A row that was found was found; "none" takes both windows.
    fn read_back(&self, unknown: &Unknown, begun_at: Time) -> ReadBack {
        let found = self.seen.get(&unknown.key).cloned().unwrap_or_default();
        let inside = |all: &[Window], window: &Window| {
            all.iter()
                .any(|done| done.from <= window.from && window.to <= done.to)
        };
        let windows = windows_of(unknown);
        let covered = windows.iter().all(|it| inside(&self.complete, it));
        ReadBack {
            // One whose every window was tried, or failed, had its turn.
            reached: windows.iter().all(|it| inside(&self.tried, it)),
            begun_at,
            found: match covered {
                true => Some(found),
                false => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(key: &str, created_at: i64, posted_at: i64) -> Unknown {
        Unknown {
            claim: Claim {
                payment: 1,
                attempt: 1,
            },
            key: key.to_owned(),
            created_at: Time(created_at),
            posted_at: Time(posted_at),
            posted_by: Time(posted_at + 20 * SECOND_MS),
        }
    }

    #[test]
    fn neighbours_share_a_window_and_far_ones_do_not() {
        let near: Vec<Unknown> = (0..100)
            .map(|i| unknown("k", i * SECOND_MS, 1_000_000_000 + i * SECOND_MS))
            .collect();
        assert_eq!(windows(&near).len(), 2);
        let far = [
            unknown("a", 0, 1_000_000_000),
            unknown("b", 500_000_000, 1_000_000_000),
        ];
        assert_eq!(windows(&far).len(), 3);
    }

    #[test]
    fn nothing_is_missing_before_both_windows_were_read() {
        let asked = unknown("k", 0, 1_000_000_000);
        let mut listing = Listing::new(std::slice::from_ref(&asked));
        let all = windows(std::slice::from_ref(&asked));
        listing.complete.push(all[0]);
        assert_eq!(listing.read_back(&asked, Time(0)).found, None);
        listing.complete.push(all[1]);
        assert_eq!(listing.read_back(&asked, Time(0)).found, Some(Vec::new()));
    }

    #[test]
    fn a_key_that_a_cut_listing_did_not_come_to_was_not_tried() {
        let asked = unknown("k", 0, 1_000_000_000);
        let mut listing = Listing::new(std::slice::from_ref(&asked));
        let all = windows(std::slice::from_ref(&asked));
        listing.tried.push(all[0]);
        assert!(!listing.read_back(&asked, Time(0)).reached);
        listing.tried.push(all[1]);
        let tried = listing.read_back(&asked, Time(0));
        assert_eq!((tried.found, tried.reached), (None, true));
    }
}
