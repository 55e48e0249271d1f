//! Copies of a ledger: making one, and knowing one.
//!
//! A copy does not know what was posted after it was made, so it carries a mark
//! from its first byte on: a destination of a marked ledger is called no more
//! until its own list was read back in (`adopt.rs`). Nothing here calls anybody.

use std::fs::File;
use std::path::Path;

use rusqlite::Connection;

use super::opening::{META, SERVED_AT, SET_META};
use super::tx::Tx;
use super::{LedgerError, Store, schema};
use crate::ledger::sql::params;
use crate::ledger::sqlite::classify;
use crate::time::Time;

/// When the copy was made, in milliseconds; stands in copies only.
pub(super) const COPIED_AT: &str = "copied_at";

impl Store {
    /// As [`crate::ledger::Ledger::back_up`].
    pub(in crate::ledger) async fn back_up(&self, file: &Path) -> Result<(), LedgerError> {
        let server = || {
            LedgerError::Refused(
                "a ledger in PostgreSQL is backed up by \"tributary copy --keep-source\", or by the \
                 server's own means; what those restored needs \"tributary reconcile --adopt\" \
                 before the first \"serve\", or what was posted since is posted again"
                    .to_owned(),
            )
        };
        let from = self.home.file().ok_or_else(server)?.to_path_buf();
        let to = file.to_path_buf();
        let now = self.shared.clock.now();
        let copied = tokio::task::spawn_blocking(move || copy(&from, &to, now)).await;
        copied.unwrap_or_else(|_| Err(LedgerError::Unavailable("the copy was cut off".to_owned())))
    }

    /// As [`crate::ledger::Ledger::copied_at`].
    pub(in crate::ledger) async fn copied_at(
        &self,
        destination: &str,
    ) -> Result<Option<Time>, LedgerError> {
        let destination = destination.to_owned();
        self.read(move |tx| tx.copied_at(&destination)).await
    }
}

impl Tx<'_> {
    /// When the copy was made, where a destination must not be called because
    /// this is one.
    pub(super) fn copied_at(&self, destination: &str) -> Result<Option<Time>, LedgerError> {
        // Of a ledger that is no copy, which is nearly every one, nothing more is asked.
        let Some(copied_at) = self.meta_time(COPIED_AT)? else {
            return Ok(None);
        };
        let adopted: Option<i64> = self.one(
            "SELECT 1 FROM destinations WHERE name = ?1 AND adopted_at IS NOT NULL",
            [destination],
            |row| row.get(0),
        )?;
        Ok(adopted.is_none().then_some(copied_at))
    }

    /// Says that it will be asked whether a destination must not be called.
    pub(super) fn is_copy_ahead(&self) -> Result<(), LedgerError> {
        self.ahead(META, [COPIED_AT])
    }

    /// Whether a destination must not be called.
    pub(super) fn is_copy(&self, destination: &str) -> Result<bool, LedgerError> {
        Ok(self.copied_at(destination)?.is_some())
    }

    /// Closes every destination until it was adopted; a copy keeps its own time.
    pub(super) fn mark_as_copy(&self) -> Result<(), LedgerError> {
        self.queue(
            "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
            params![COPIED_AT, self.now.ms().to_string()],
        )
    }

    /// When somebody last began to serve on this ledger.
    pub(super) fn served_at(&self) -> Result<Option<Time>, LedgerError> {
        self.meta_time(SERVED_AT)
    }
}

/// Copies the ledger `from` into the file `to`, which must not be there yet. The
/// file gets its name only when it is whole, marked and on disk.
fn copy(from: &Path, to: &Path, now: Time) -> Result<(), LedgerError> {
    let refused = |why: String| LedgerError::Refused(format!("{}: {why}", to.display()));
    if to.exists() {
        return Err(refused("it is there already; name another file".to_owned()));
    }
    let folder = match to.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // It is its owner's alone, like the ledger: the bodies in it are about people.
    let unfinished = tempfile::Builder::new()
        .prefix(".tributary-backup-")
        .tempfile_in(folder)
        .map_err(|error| refused(error.to_string()))?
        .into_temp_path();
    let name = unfinished
        .to_str()
        .ok_or_else(|| refused("its path is not UTF-8".to_owned()))?;
    schema::connect_to_read(from)?
        .execute("VACUUM INTO ?1", [name])
        .map_err(|error| refused(classify(error).to_string()))?;
    mark(&unfinished, now).map_err(|error| refused(error.to_string()))?;
    let on_disk = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    on_disk(&unfinished).map_err(|error| refused(error.to_string()))?;
    unfinished
        .persist_noclobber(to)
        .map_err(|error| refused(error.to_string()))?;
    on_disk(folder).map_err(|error| refused(error.to_string()))
}

/// The mark, before the file has its name: no copy is ever without it.
fn mark(copy: &Path, now: Time) -> Result<(), LedgerError> {
    let conn = Connection::open(copy)?;
    // One file, which can be moved about, and no log beside it.
    conn.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    let tx = conn.unchecked_transaction()?;
    tx.execute(SET_META, [COPIED_AT, &now.ms().to_string()])?;
    tx.execute(
        "UPDATE destinations SET adopted_at = NULL, lost_at = NULL",
        [],
    )?;
    tx.commit()?;
    conn.close().map_err(|(_, error)| classify(error))
}
