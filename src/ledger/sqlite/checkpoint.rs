//! Bringing the log home beside the thread that writes.
//!
//! SQLite does it in the commit that makes the log too long, and everybody waits while
//! thousands of pages are written and synced. Here a thread with a connection of its own
//! does most of it while commits go on, and the writer only the few pages that came
//! meanwhile: a log begins anew only where nothing of it is left to bring home, and while
//! others write there always is. Nothing of durability rests on it: a commit is durable by
//! the log alone.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::{JoinHandle, Thread};

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use crate::ledger::LedgerError;

/// When who brings the log home, in pages.
#[derive(Clone, Copy)]
struct Limits {
    /// More in the log than at the last try: the thread begins.
    begin: i32,
    /// So few left over that the writer does them itself, in a few milliseconds.
    rest: i32,
    /// So many in the log that the writer does all of it: where the thread never gets
    /// near the end, the log would grow without one.
    most: i32,
}

/// Side by side with 4,000 pages in the writer, a tenth more deliveries, a fifth less
/// written, and a p99 of three quarters. With fewer to begin by, more is written.
const LIMITS: Limits = Limits {
    begin: 8_000,
    rest: 500,
    most: 64_000,
};

/// The thread that brings the log home. Dropping it waits for its end; it has to end
/// before the writer's connection is closed, because the last one to close removes the log.
pub(in crate::ledger) struct Checkpoints {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

/// How far it is, in pages of the log.
#[derive(Default)]
struct Progress {
    /// Those that are home.
    home: AtomicI32,
    /// How many there were when somebody last tried.
    tried_at: AtomicI32,
    /// Whether the thread is to work or works.
    busy: AtomicBool,
    /// Whether it is to end.
    stop: AtomicBool,
}

impl Progress {
    /// What a try came to: pages in the log, and those of them that are home.
    fn note(&self, (log, home): (i32, i32)) {
        self.tried_at.store(log, Ordering::Relaxed);
        self.home.store(home, Ordering::Relaxed);
    }
}

impl Checkpoints {
    /// Begins to bring home what `writer` commits to the file at `path`.
    ///
    /// # Errors
    /// Where there is no thread or no connection to be had.
    pub(in crate::ledger) fn start(
        writer: &mut Connection,
        path: &Path,
    ) -> Result<Checkpoints, LedgerError> {
        Checkpoints::within(LIMITS, writer, path)
    }

    fn within(
        limits: Limits,
        writer: &mut Connection,
        path: &Path,
    ) -> Result<Checkpoints, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        let progress = Arc::new(Progress::default());
        let seen = Arc::clone(&progress);
        let handle = std::thread::Builder::new()
            .name("ledger-checkpoint".to_owned())
            .spawn(move || bring_home(&conn, limits, &seen))
            .map_err(|error| LedgerError::Unusable(format!("no thread for the log: {error}")))?;
        let (thread, seen) = (handle.thread().clone(), Arc::clone(&progress));
        let begun = Checkpoints {
            progress,
            thread: Some(handle),
        };
        let mut before = 0;
        writer.wal_hook(Some(move |wal: &mut Wal, pages| {
            if pages < before {
                seen.note((0, 0));
            }
            before = pages;
            committed(wal, pages, limits, &seen, &thread);
            Ok(())
        }))?;
        Ok(begun)
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.progress.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // One that panicked brings nothing home any more.
            let _ = thread.join();
        }
    }
}

/// After each commit, in the thread that writes: wakes the other one, or brings home what
/// that left over. What goes wrong is tried again some pages later and costs no commit.
fn committed(wal: &mut Wal, pages: i32, limits: Limits, progress: &Progress, thread: &Thread) {
    if progress.busy.load(Ordering::Acquire) {
        return;
    }
    let home = progress.home.load(Ordering::Relaxed);
    let since = pages - progress.tried_at.load(Ordering::Relaxed);
    let little_left = home > 0 && pages - home <= limits.rest;
    if little_left || (pages >= limits.most && since >= limits.begin) {
        let done = wal.checkpoint_v2(CheckpointMode::PASSIVE);
        progress.note(done.unwrap_or_else(|error| failed(&error, pages)));
    } else if since >= limits.begin {
        progress.busy.store(true, Ordering::Release);
        thread.unpark();
    }
}

/// Waits to be woken, and brings home what there is, again until little is left.
fn bring_home(conn: &Connection, limits: Limits, progress: &Progress) {
    while !progress.stop.load(Ordering::Acquire) {
        if !progress.busy.load(Ordering::Acquire) {
            std::thread::park();
            continue;
        }
        let before = progress.home.load(Ordering::Relaxed);
        let tried = progress.tried_at.load(Ordering::Relaxed);
        let done = conn.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE);
        let (log, home) = done.unwrap_or_else(|error| failed(&error, tried + limits.begin));
        progress.note((log, home));
        // Somebody may read what is in the log, and nothing behind that gets home.
        if home <= before || log - home <= limits.rest || log >= limits.most {
            progress.busy.store(false, Ordering::Release);
        }
    }
}

/// What a try counts as that came to nothing.
fn failed(error: &rusqlite::Error, pages: i32) -> (i32, i32) {
    tracing::debug!(%error, "the ledger's log is not brought home");
    (pages, 0)
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
