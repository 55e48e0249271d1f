//! The loss of a ledger in the simulation: a copy is made at some moment, the
//! ledger is lost at a later one, and the copy takes its place. What had been
//! told since is told again, and the destination's list, which may be late, is
//! adopted at once.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rand::RngExt as _;
use tributary::ledger::Outgoing;
use tributary::movement::Reading;
use tributary::time::{DAY_MS, MINUTE_MS, Time};

use super::calls::Way;
use super::{SOURCES, Sim};
use crate::bench::START;

/// How often a step makes a copy, or loses the ledger: a few times in a play.
const COPIED: (u32, u32) = (1, 25);

/// How often a sweep of the lost ledger's words comes back at once.
const TOLD_AT_ONCE: (u32, u32) = (1, 2);

/// A copy of the ledger, and what has happened since it was made.
pub struct Copy {
    file: PathBuf,
    /// What was told since.
    told: Vec<(&'static str, Reading)>,
    /// What people had skipped then.
    skipped: BTreeSet<String>,
    /// Until when the destination had asked for a pause then.
    paused_until: Time,
}

impl Sim {
    /// A copy is made, or the ledger is lost where there is one.
    pub(super) async fn copy_or_lose(&mut self) {
        if !self.lossy || !self.rng.random_ratio(COPIED.0, COPIED.1) {
            return;
        }
        match self.copy.take() {
            Some(copy) => self.lose(copy).await,
            None => self.back_up().await,
        }
    }

    async fn back_up(&mut self) {
        let file = self.bench.dir.path().join("copy.db");
        // One that a play before this one never needed.
        let _ = std::fs::remove_file(&file);
        self.note("a copy is made".to_owned());
        self.bench.ledger.back_up(&file).await.unwrap();
        self.copy = Some(Copy {
            file,
            told: Vec::new(),
            skipped: self.skipped.clone(),
            paused_until: self.far.paused_until,
        });
    }

    /// Remembers what would be lost with the ledger.
    pub(super) fn told_since_the_copy(&mut self, source: &'static str, event: &Reading) {
        if let Some(copy) = &mut self.copy {
            copy.told.push((source, event.clone()));
        }
    }

    async fn lose(&mut self, copy: Copy) {
        self.note("the ledger is lost, the copy takes its place".to_owned());
        self.lost = true;
        self.skipped = copy.skipped;
        // What only the lost ledger was asked is lost with it: the destination says
        // so again to who calls too early.
        self.far.paused_until = copy.paused_until;
        self.land_what_nobody_could_know();
        self.pass(0);
        for truth in self.truths.iter().filter(|truth| truth.twin) {
            for source in SOURCES {
                for key in self.far.keys_of(source, &truth.id) {
                    self.far.list_now(&key);
                }
            }
        }
        self.bench.restore(&copy.file).await;
        // The lost ledger worked until now, and who serves now has only begun.
        let mut again = copy.told;
        if self.rng.random_ratio(TOLD_AT_ONCE.0, TOLD_AT_ONCE.1) {
            for (source, event) in again.drain(..) {
                self.bench.deliver_to(source, event).await;
            }
        }
        if let Some(begun) = self.bench.begin().await {
            let wrong = format!("{} by a copy", super::named(&begun));
            self.wrong(wrong);
        }
        let waits = self.rng.random_range(0..10) * MINUTE_MS;
        self.pass(waits);
        self.adopt().await;
        self.events.extend(again);
    }

    /// Whoever made the calls is gone. What arrives after the adoption is found by
    /// a read-back, but for two things that only the next `reconcile` tells: a
    /// delete, and a post by the other one of two sources that tell of one payment.
    fn land_what_nobody_could_know(&mut self) {
        let now = self.bench.clock.now();
        for flying in &mut self.flying {
            flying.answered = true;
            let id = &flying.begun.payment_id;
            let twin = self
                .truths
                .iter()
                .any(|truth| truth.twin && truth.id == *id);
            let delete = matches!(flying.begun.call, Outgoing::Delete { .. });
            if (twin || delete) && matches!(flying.way, Way::At(_)) {
                flying.way = Way::At(now);
            }
        }
    }

    async fn adopt(&mut self) {
        let ledger = self.bench.ledger.clone();
        ledger.begin_adoption("ps").await.unwrap();
        let since = START.plus(-DAY_MS);
        let comparison = ledger.begin_comparison("ps", since).await.unwrap();
        let listed = self.far.list(self.bench.clock.now());
        let found = ledger.adopt(comparison.clone(), listed).await.unwrap();
        let unlisted = ledger.unlisted(comparison.clone(), None).await.unwrap();
        let gone = unlisted.differences.len();
        let unlisted = unlisted.differences;
        ledger
            .adopt_unlisted(comparison.clone(), unlisted)
            .await
            .unwrap();
        ledger.end_adoption(comparison).await.unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.differs.word(), &it.key))
            .collect();
        self.note(format!("adopted {found:?}, {gone} gone"));
    }
}
