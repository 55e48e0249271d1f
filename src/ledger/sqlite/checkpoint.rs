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

/// More pages in the log than at the last try before the thread begins. With twice as many
/// a twentieth more deliveries were taken, but after a kill all of the log is read first.
const BEGIN_PAGES: i32 = 4_000;

/// Passes of the thread: the second one brings home what came during the first, and what
/// came during that is little enough for the writer.
const PASSES: u32 = 2;

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
    /// Whether it has done its part, and the writer is to do the rest.
    rest: AtomicBool,
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
        Checkpoints::within(BEGIN_PAGES, writer, path)
    }

    fn within(
        begin_pages: i32,
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
            .spawn(move || bring_home(&conn, begin_pages, &seen))
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
            committed(wal, pages, begin_pages, &seen, &thread);
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
fn committed(wal: &mut Wal, pages: i32, begin_pages: i32, progress: &Progress, thread: &Thread) {
    if progress.busy.load(Ordering::Acquire) {
        return;
    }
    if progress.rest.swap(false, Ordering::Relaxed) {
        let done = wal.checkpoint_v2(CheckpointMode::PASSIVE);
        progress.note(done.unwrap_or_else(|error| failed(&error, pages)));
    } else if pages - progress.tried_at.load(Ordering::Relaxed) >= begin_pages {
        progress.busy.store(true, Ordering::Release);
        thread.unpark();
    }
}

/// Waits to be woken, brings home what there is, and leaves the rest to the writer.
fn bring_home(conn: &Connection, begin_pages: i32, progress: &Progress) {
    while !progress.stop.load(Ordering::Acquire) {
        if !progress.busy.load(Ordering::Acquire) {
            std::thread::park();
            continue;
        }
        let before = progress.home.load(Ordering::Relaxed);
        for _ in 0..PASSES {
            let tried = progress.tried_at.load(Ordering::Relaxed);
            let done = conn.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE);
            progress.note(done.unwrap_or_else(|error| failed(&error, tried + begin_pages)));
        }
        // Somebody may read what is in the log, and nothing behind that gets home.
        let came_on = progress.home.load(Ordering::Relaxed) > before;
        progress.rest.store(came_on, Ordering::Relaxed);
        progress.busy.store(false, Ordering::Release);
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
