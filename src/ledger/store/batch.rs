//! The transactions of an import: how many rows each takes, how long the file is
//! kept, and what becomes of a row that the ledger refuses.
//!
//! Rows that are taken together are sorted, so that each page of an index is
//! searched and written once for many of them. They are kept until the commit: where
//! one of them fails after all checks, the transaction is taken back and done again
//! row by row, and the others are recorded. What a row comes to is decided in `rows`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::rows::Desk;
use super::rows_told::known_again;
use super::tx::Tx;
use super::{LedgerError, Store, is_fault, lock, schema};
use crate::ledger::rows::{Chunk, Fate, Feed, RowTold, RowsFrom, RowsTaken, StatedRow};
use crate::time::Clock;

/// How long one transaction takes rows while a service of another process takes
/// deliveries on the same file, in milliseconds: its own wait is a second.
const BESIDE_SERVE_MS: i64 = 200;
/// The same inside the process that serves: deliveries wait in its own queue.
const WITHIN_SERVE_MS: i64 = 100;
/// How long the file is kept where nobody serves; a command waits five seconds for
/// its turn.
const ALONE_MS: i64 = 2_000;
/// How long the file is then left to others, in milliseconds: who waits for a lock
/// looks every 100 ms at the latest.
const LEFT_TO_OTHERS_MS: u64 = 110;

/// Rows in one transaction at most, which is how many are kept in memory, at two or
/// three KiB each.
const ROWS_MOST: usize = 4_096;

/// Pages that the importing connection keeps, in KiB: enough for the upper
/// levels of every index of millions of payments.
const CACHE_KIB: i64 = 20 * 1024;
/// Pages in the log before they are brought home, while rows are recorded: a
/// page that many transactions touch is then written there once. The log takes
/// 125 MiB of the disk until the import ends.
const CHECKPOINT_PAGES: i64 = 32_000;

/// How an import goes along with others.
#[derive(Clone, Copy)]
struct Pace {
    /// How long it keeps the file, in milliseconds.
    longest_ms: i64,
    /// Rows that are sorted together; between two such batches it looks at the time.
    at_once: usize,
}

/// Chunks of one transaction, kept until they are on disk.
type Kept = Mutex<Vec<Chunk>>;

impl Store {
    /// As [`crate::ledger::Ledger::record_rows`].
    pub(in crate::ledger) async fn record_rows(
        &self,
        from: Arc<RowsFrom>,
        feed: Feed,
    ) -> Result<RowsTaken, LedgerError> {
        let pace = self.pace();
        let kept: Arc<Kept> = Arc::default();
        let clock = self.shared.clock.clone();
        let (sender, drawn) = (Arc::clone(&from), Arc::clone(&kept));
        let taken = self
            .write_alone(move |tx| tx.record_drawn(&sender, (&feed, &drawn), pace, &clock))
            .await;
        let taken = match taken {
            Err(error) if !is_fault(&error) && !lock(&kept).is_empty() => {
                self.write_alone(move |tx| tx.record_one_by_one(&from, &lock(&kept)))
                    .await?
            }
            taken => taken?,
        };
        self.leave_to_others(pace).await;
        Ok(taken)
    }

    fn pace(&self) -> Pace {
        let beside = self.home.file().is_none_or(schema::is_locked);
        let (longest_ms, at_once) = match (self.shared.serving, beside) {
            (true, _) => (WITHIN_SERVE_MS, 1),
            (false, true) => (BESIDE_SERVE_MS, 1),
            (false, false) => (ALONE_MS, ROWS_MOST),
        };
        Pace {
            longest_ms,
            at_once,
        }
    }

    /// Leaves the file to others, once it was kept as long as it may be.
    async fn leave_to_others(&self, pace: Pace) {
        let since_ms = self.left_at_ms.load(Ordering::Relaxed);
        if self.shared.serving || self.shared.clock.read().boot_ms - since_ms < pace.longest_ms {
            return;
        }
        tokio::time::sleep(Duration::from_millis(LEFT_TO_OTHERS_MS)).await;
        self.others_had_it();
    }

    /// From now on it counts how long the file is kept.
    fn others_had_it(&self) {
        let now_ms = self.shared.clock.read().boot_ms;
        self.left_at_ms.store(now_ms, Ordering::Relaxed);
    }

    /// As [`crate::ledger::Ledger::prepare_for_rows`].
    pub(in crate::ledger) async fn prepare_for_rows(&self) -> Result<(), LedgerError> {
        if self.shared.serving {
            return Ok(());
        }
        self.others_had_it();
        self.write(|tx| tx.work_on_much(CACHE_KIB, CHECKPOINT_PAGES))
            .await
    }
}

impl Tx<'_> {
    fn record_drawn(
        &self,
        from: &RowsFrom,
        (feed, kept): (&Feed, &Kept),
        pace: Pace,
        clock: &Clock,
    ) -> Result<RowsTaken, LedgerError> {
        let desk = self.desk(from)?;
        let until_ms = clock.read().boot_ms.saturating_add(pace.longest_ms);
        let mut taken = RowsTaken::default();
        let mut kept = lock(kept);
        while clock.read().boot_ms < until_ms && taken.told.len() < ROWS_MOST {
            let before = kept.len();
            let mut rows = 0;
            while rows < pace.at_once
                && let Some(chunk) = (lock(feed))()
            {
                rows += chunk.rows.len();
                kept.push(chunk);
            }
            match &kept[before..] {
                [] => break,
                chunks => self.chunks_once(&desk, chunks, &mut taken)?,
            }
        }
        Ok(taken)
    }

    /// A chunk whose every statement was recorded before under the same rules is
    /// known by its digest; nothing that was stated ever leaves the ledger.
    fn chunks_once(
        &self,
        desk: &Desk<'_>,
        chunks: &[Chunk],
        taken: &mut RowsTaken,
    ) -> Result<(), LedgerError> {
        let mut rows: Vec<&StatedRow> = Vec::new();
        let mut unknown = Vec::new();
        for chunk in chunks {
            let digest = desk.digest(&chunk.digest);
            let known: Option<i64> = self.one(
                "SELECT 1 FROM recorded_chunks WHERE digest = ?1",
                [digest.as_slice()],
                |row| row.get(0),
            )?;
            if known.is_some() {
                taken.told.extend(chunk.rows.iter().map(known_again));
                continue;
            }
            let first = rows.len();
            rows.extend(&chunk.rows);
            unknown.push((digest, first..rows.len()));
        }
        if rows.is_empty() {
            return Ok(());
        }
        let recorded = self.batch(desk, &rows)?;
        for (digest, mut rows) in unknown {
            if !rows.any(|row| recorded.rejected.contains_key(&row)) {
                self.queue(
                    "INSERT INTO recorded_chunks (digest) VALUES (?1) ON CONFLICT DO NOTHING",
                    [digest.as_slice()],
                )?;
            }
        }
        recorded.tell(taken);
        Ok(())
    }

    /// Each row by itself, after one of them ended the transaction: whichever it
    /// was is told, and the others are recorded.
    fn record_one_by_one(&self, from: &RowsFrom, kept: &[Chunk]) -> Result<RowsTaken, LedgerError> {
        let desk = self.desk(from)?;
        let mut taken = RowsTaken::default();
        for row in kept.iter().flat_map(|chunk| &chunk.rows) {
            self.save("one_row")?;
            let kept = self.batch(&desk, &[row]);
            match kept.and_then(|recorded| self.let_go("one_row").map(|()| recorded)) {
                Ok(recorded) => recorded.tell(&mut taken),
                Err(error) if is_fault(&error) || self.is_lost() => return Err(error),
                Err(error) => {
                    self.go_back("one_row")?;
                    self.let_go("one_row")?;
                    taken.told.push(RowTold {
                        line: row.0,
                        outcome: Fate::Rejected,
                        reason: Some(error.to_string()),
                    });
                }
            }
        }
        Ok(taken)
    }
}
