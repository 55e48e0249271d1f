//! Opening, locking and migrating the file. It knows tables only as whole
//! versions; what is in them belongs to the verbs.

use std::fs::{File, TryLockError};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::classify;
use crate::ledger::LedgerError;
use crate::ledger::closed::refuse_closed;
use crate::ledger::packing::DICTIONARIES;

/// "Trib": tells our file from any other SQLite file.
const APPLICATION_ID: i64 = 0x5472_6962;

/// The versions in order; a file's `user_version` says how many it has had.
const VERSIONS: [&str; 10] = [
    include_str!("../sql/sqlite/001.sql"),
    include_str!("../sql/sqlite/002.sql"),
    include_str!("../sql/sqlite/003.sql"),
    include_str!("../sql/sqlite/004.sql"),
    include_str!("../sql/sqlite/005.sql"),
    include_str!("../sql/sqlite/006.sql"),
    include_str!("../sql/sqlite/007.sql"),
    include_str!("../sql/sqlite/008.sql"),
    include_str!("../sql/sqlite/009.sql"),
    include_str!("../sql/sqlite/010.sql"),
];

/// Why nothing may be written, where that is so.
pub(in crate::ledger) const WRITER: &str = "SELECT value FROM meta WHERE name = 'writer'";

/// How long a command waits for another process's transaction. Those take
/// milliseconds; a backup's read does not lock at all.
const BUSY_TIMEOUT_MS: u64 = 5_000;

/// How long the process that serves waits for one: less than a provider waits
/// for its answer, so that the 503 and `/readyz` can say why.
const SERVING_BUSY_TIMEOUT_MS: u64 = 1_000;

/// Pages in the WAL before a checkpoint in the commit that makes it so long. Side by side,
/// 4,000 took a tenth to a fifth more deliveries than 1,000 and wrote a sixth less, because
/// pages that many commits touch are brought home once. Who serves does it elsewhere, as
/// [`super::checkpoint`] says.
const CHECKPOINT_PAGES: i64 = 4_000;

/// Pages that a connection keeps in memory which takes deliveries, in KiB: those above
/// the leaves of the indexes. More are of no use. While a file is below 1 GiB, SQLite
/// looks at each page that it keeps after each commit that parted one, because it lends
/// a part's page a number behind all others: with 24 MiB that was a fifth of all that a
/// delivery cost.
const SERVING_CACHE_KIB: i64 = 4 * 1024;

/// Pages that one commit may change before SQLite writes some of them to the log ahead
/// of the others, only to read them again: far more than a commit of deliveries changes.
const SERVING_SPILL_PAGES: i64 = 4 * 1024;

/// Prepared statements kept per connection; there are fewer in the source.
const STATEMENTS_KEPT: usize = 128;

/// How often and after what pause the lock is tried again: an import that looks
/// whether somebody serves holds it for a moment.
const LOCK_TRIES: u32 = 3;
const LOCK_AGAIN: std::time::Duration = std::time::Duration::from_millis(20);

/// Takes the lock that only one serving process may hold.
pub(in crate::ledger) fn lock(path: &Path) -> Result<File, LedgerError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(lock_file(path))
        .map_err(|error| {
            LedgerError::Unusable(format!("cannot lock {}: {error}", path.display()))
        })?;
    let mut tried = file.try_lock();
    for _ in 0..LOCK_TRIES {
        if !matches!(tried, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(LOCK_AGAIN);
        tried = file.try_lock();
    }
    match tried {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Unusable(format!(
            "another \"tributary serve\" is already running on {}",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(LedgerError::Unusable(format!(
            "cannot lock {}: {error}",
            path.display()
        ))),
    }
}

/// Whether a process serves on this file. Looking holds the lock for a moment.
pub(in crate::ledger) fn is_locked(path: &Path) -> bool {
    File::open(lock_file(path))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn lock_file(path: &Path) -> std::ffi::OsString {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    name
}

/// A connection that may write.
pub(in crate::ledger) fn connect(path: &Path) -> Result<Connection, LedgerError> {
    make_private(path)?;
    let conn = Connection::open(path).map_err(|error| unusable(path, &error))?;
    set_up(&conn).map_err(|error| unusable(path, &error))?;
    Ok(conn)
}

/// Which file on which disk a path leads to.
pub(in crate::ledger) type Identity = (u64, u64);

/// The file that a path leads to now; `None` where there is none.
pub(in crate::ledger) fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// The writing connection after a fault. It makes no file: an empty one in the
/// place of a ledger that vanished would take deliveries and know nothing.
pub(in crate::ledger) fn reopen(path: &Path, serving: bool) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    set_up(&conn)?;
    serve_by(&conn, serving)?;
    Ok(conn)
}

/// Makes a connection that is migrated ready for deliveries, where they are served: it
/// waits shortly for other processes, because providers wait in turn, and what a savepoint
/// keeps to come back to stays in memory. Without that SQLite writes each page of a
/// commit once more, to a file of which nothing is read after a crash; what sorts a whole
/// table, as a migration does, needs that file.
pub(in crate::ledger) fn serve_by(conn: &Connection, serving: bool) -> Result<(), LedgerError> {
    if serving {
        conn.busy_timeout(std::time::Duration::from_millis(SERVING_BUSY_TIMEOUT_MS))?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        conn.pragma_update(None, "cache_size", -SERVING_CACHE_KIB)?;
        conn.pragma_update(None, "cache_spill", SERVING_SPILL_PAGES)?;
    }
    Ok(())
}

/// A new ledger is its owner's alone: the bodies in it are about people.
fn make_private(path: &Path) -> Result<(), LedgerError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let made = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(LedgerError::Unusable(format!(
                "cannot make the ledger {}: {error}",
                path.display()
            )))
        }
        _ => Ok(()),
    }
}

/// A connection that only reads.
pub(in crate::ledger) fn connect_to_read(path: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(classify)?;
    keep_statements(&conn)?;
    conn.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
    Ok(conn)
}

/// A statement is prepared once and stays so. Without the second line SQLite
/// prepares it again for other values where they might suit a partial index
/// better; ours name the index's own condition, so that they never do.
pub(in crate::ledger) fn keep_statements(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn set_up(conn: &Connection) -> rusqlite::Result<()> {
    keep_statements(conn)?;
    conn.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    Ok(())
}

fn unusable(path: &Path, error: &rusqlite::Error) -> LedgerError {
    LedgerError::Unusable(format!(
        "cannot open the ledger {}: {error}",
        path.display()
    ))
}

/// The version that has `deliveries.kept` for sure.
const KEPT_SINCE: usize = 3;

/// The version from which on a ledger may be closed.
const CLOSED_SINCE: usize = 8;

/// Adds what is kept of a request beside its body. Some ledgers of the versions 1
/// and 2 have the column and some have not: for a while the first version's file
/// was made with it, so the number does not tell.
fn add_kept(tx: &Connection) -> rusqlite::Result<()> {
    let there: i64 = tx.query_row(
        "SELECT count(*) FROM pragma_table_info('deliveries') WHERE name = 'kept'",
        [],
        |row| row.get(0),
    )?;
    match there {
        0 => tx.execute_batch("ALTER TABLE deliveries ADD COLUMN kept TEXT"),
        _ => Ok(()),
    }
}

/// Brings the file to this program's version; refuses a newer one and any file
/// that is not ours.
pub(in crate::ledger) fn migrate(conn: &mut Connection) -> Result<(), LedgerError> {
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let id: i64 = tx.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id != APPLICATION_ID && tables > 0 {
        return Err(LedgerError::Unusable(
            "the file is an SQLite database, but not a Tributary ledger".to_owned(),
        ));
    }
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    if done > VERSIONS.len() {
        return Err(LedgerError::Unusable(format!(
            "the ledger is of version {version} and this program knows {}; use a newer program",
            VERSIONS.len()
        )));
    }
    if (CLOSED_SINCE..VERSIONS.len()).contains(&done) {
        refuse_closed(&writer(&tx)?)?;
    }
    for (number, sql) in VERSIONS.iter().enumerate().skip(done) {
        tx.execute_batch(sql)?;
        if number + 1 == KEPT_SINCE {
            add_kept(&tx)?;
        }
        tx.pragma_update(
            None,
            "user_version",
            i64::try_from(number + 1).unwrap_or(i64::MAX),
        )?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    add_dictionaries(&tx)?;
    tx.commit()?;
    Ok(())
}

/// Adds those of this program that the file has not yet, to one that is in use.
fn add_dictionaries(tx: &Connection) -> Result<(), LedgerError> {
    if refuse_closed(&writer(tx)?).is_ok() {
        for (dictionary, bytes) in DICTIONARIES {
            let insert = "INSERT INTO dictionaries (dictionary, bytes) VALUES (?1, ?2)
                 ON CONFLICT DO NOTHING";
            tx.execute(insert, (dictionary, bytes))?;
        }
    }
    Ok(())
}

/// What stands in the row of the writer.
fn writer(tx: &Connection) -> rusqlite::Result<String> {
    let writer = tx.query_row(WRITER, [], |row| row.get(0));
    Ok(writer.optional()?.unwrap_or_default())
}
