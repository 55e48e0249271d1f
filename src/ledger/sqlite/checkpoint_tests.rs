//! The log of a small file: when it begins anew, and what is left at the end.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, MAIN_DB};

use super::Checkpoints;
use crate::ledger::sqlite::schema;

/// Pages in the log before the thread begins.
const BEGIN_PAGES: i32 = 50;

/// Commits after which a log that has not begun anew never will: hundreds of times as
/// many pages as are asked for.
const COMMITS_MOST: usize = 10_000;

struct Case {
    dir: tempfile::TempDir,
    writer: Connection,
    checkpoints: Option<Checkpoints>,
}

impl Case {
    fn new(begin_pages: i32) -> Case {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        let mut writer = schema::connect(&path).unwrap();
        let table = "CREATE TABLE texts (text TEXT)";
        writer.execute_batch(table).unwrap();
        let checkpoints = Checkpoints::within(begin_pages, &mut writer, &path).unwrap();
        Case {
            dir,
            writer,
            checkpoints: Some(checkpoints),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// One commit of a few pages.
    fn commit(&self) {
        let insert = "INSERT INTO texts (text) VALUES (hex(randomblob(5000)))";
        self.writer.execute_batch(insert).unwrap();
    }

    /// What a log is told apart by from the one before it.
    fn log(&self) -> Vec<u8> {
        std::fs::read(self.path("ledger.db-wal")).unwrap()[16..24].to_vec()
    }

    /// Commits until the log has begun anew.
    fn commit_until_anew(&self) {
        let log = self.log();
        for _ in 0..COMMITS_MOST {
            self.commit();
            if self.log() != log {
                return;
            }
        }
        panic!("the log only grows");
    }
}

#[test]
fn the_log_begins_anew_while_commits_go_on() {
    let case = Case::new(BEGIN_PAGES);
    case.commit();
    case.commit_until_anew();
    case.commit_until_anew();
}

#[test]
fn who_reads_keeps_the_log_only_until_the_end() {
    let case = Case::new(BEGIN_PAGES);
    case.commit();
    let reader = schema::connect_to_read(&case.path("ledger.db")).unwrap();
    let count = "SELECT count(*) FROM texts";
    reader.execute_batch("BEGIN").unwrap();
    let seen: i64 = reader.query_row(count, [], |row| row.get(0)).unwrap();
    let log = case.log();
    for _ in 0..100 {
        case.commit();
    }
    assert_eq!(case.log(), log);
    let still: i64 = reader.query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(seen, still);
    reader.execute_batch("COMMIT").unwrap();
    case.commit_until_anew();
}

#[test]
fn what_little_is_left_the_writer_brings_home_itself() {
    let case = Case::new(i32::MAX);
    for _ in 0..20 {
        case.commit();
    }
    // As the thread would leave it: a commit came behind what it saw.
    let reader = schema::connect_to_read(&case.path("ledger.db")).unwrap();
    let count = "SELECT count(*) FROM texts";
    let beside = schema::connect(&case.path("ledger.db")).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let _: i64 = reader.query_row(count, [], |row| row.get(0)).unwrap();
    case.commit();
    let done = beside.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE);
    reader.execute_batch("COMMIT").unwrap();
    let (log, home) = done.unwrap();
    assert!(0 < home && home < log, "{home} of {log}");
    let progress = &case.checkpoints.as_ref().unwrap().progress;
    progress.note((log, home));
    progress.rest.store(true, Ordering::Relaxed);

    let before = case.log();
    case.commit();
    assert_eq!(case.log(), before);
    case.commit();
    assert_ne!(case.log(), before);
}

#[test]
fn the_last_to_close_leaves_one_whole_file() {
    let mut case = Case::new(BEGIN_PAGES);
    for _ in 0..100 {
        case.commit();
    }
    drop(case.checkpoints.take());
    drop(std::mem::replace(
        &mut case.writer,
        Connection::open_in_memory().unwrap(),
    ));
    assert!(!case.path("ledger.db-wal").exists());
    let alone = case.path("alone.db");
    std::fs::copy(case.path("ledger.db"), &alone).unwrap();
    let copy = schema::connect_to_read(&alone).unwrap();
    let rows: i64 = copy
        .query_row("SELECT count(*) FROM texts", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 100);
}
