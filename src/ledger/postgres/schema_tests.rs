//! The schema on a server: raced, refused, and the same as SQLite's.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Barrier;

use super::client::{Client, Limits};
use super::cluster::Database;
use super::schema::{look_at_server, migrate};
use crate::ledger::LedgerError;

fn open(database: &Database) -> Client {
    Client::open(&database.url, Limits::MIGRATING).unwrap()
}

fn refusal(outcome: Result<(), LedgerError>) -> String {
    match outcome {
        Err(LedgerError::Unusable(line)) => line,
        other => panic!("{other:?}"),
    }
}

#[test]
fn replicas_may_make_the_ledger_at_the_same_time() {
    const REPLICAS: usize = 4;
    // The server stays for all rounds.
    let _first = Database::new();
    for _ in 0..5 {
        let database = Database::new();
        let start = Barrier::new(REPLICAS);
        std::thread::scope(|threads| {
            for _ in 0..REPLICAS {
                threads.spawn(|| {
                    let mut client = open(&database);
                    start.wait();
                    migrate(&mut client).unwrap();
                    migrate(&mut client).unwrap();
                });
            }
        });
        let version = database.ask("SELECT value FROM meta WHERE name = 'version'");
        assert_eq!(version, ["3"]);
        let writers = database.ask("SELECT count(*) FROM meta WHERE name = 'writer'");
        assert_eq!(writers, ["1"]);
    }
}

#[test]
fn a_newer_ledger_is_refused_and_left_alone() {
    let database = Database::new();
    let mut client = open(&database);
    migrate(&mut client).unwrap();
    database.run("UPDATE meta SET value = '99' WHERE name = 'version'");
    let line = refusal(migrate(&mut client));
    let words = "the ledger is of version 99 and this program knows 3; use a newer program";
    assert_eq!(line, words);
    database.run("UPDATE meta SET value = 'no number' WHERE name = 'version'");
    assert!(refusal(migrate(&mut client)).contains("of which version"));
    // No transaction was left open.
    client.batch("BEGIN; COMMIT").unwrap();
}

#[test]
fn a_database_that_holds_something_else_is_refused() {
    let _first = Database::new();
    for theirs in [
        "CREATE TABLE customers (id INT)",
        "CREATE VIEW anything AS SELECT 1 AS one",
        "CREATE SEQUENCE anything",
        "CREATE TABLE meta (key TEXT, value TEXT)",
        "CREATE TABLE meta (name TEXT, value TEXT); INSERT INTO meta VALUES ('version', '1')",
        "CREATE VIEW meta AS SELECT 'ledger' AS name, 'x' AS value",
    ] {
        let database = Database::new();
        database.run(theirs);
        let line = refusal(migrate(&mut open(&database)));
        assert!(line.contains("not a Tributary ledger"), "{theirs}: {line}");
        let tables = "SELECT count(*) FROM pg_class WHERE relname = 'payments'";
        assert_eq!(database.ask(tables), ["0"]);
    }
}

#[test]
fn what_an_extension_brought_is_not_something_else() {
    let database = Database::new();
    database.run("CREATE EXTENSION pg_stat_statements");
    migrate(&mut open(&database)).unwrap();
}

#[test]
fn answers_that_would_not_be_on_disk_are_refused() {
    let database = Database::new();
    look_at_server(&mut open(&database)).unwrap();
    let off = format!(
        "ALTER DATABASE {} SET synchronous_commit = off",
        database.name()
    );
    database.run(&off);
    let line = refusal(look_at_server(&mut open(&database)));
    assert!(line.contains("synchronous_commit = off"), "{line}");
    let url = format!("{}?options=-c%20synchronous_commit%3Dlocal", database.url);
    look_at_server(&mut Client::open(&url, Limits::SERVING).unwrap()).unwrap();
}

/// Every column with its table and whether it may be empty, and every index that has
/// a name of ours.
type Shape = BTreeSet<String>;

fn shape_in_sqlite() -> Shape {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ledger/sql/sqlite");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let conn = rusqlite::Connection::open_in_memory().unwrap();
    for file in files {
        conn.execute_batch(&std::fs::read_to_string(file).unwrap())
            .unwrap();
    }
    // What the program adds; see `sqlite::schema::add_kept`.
    conn.execute_batch("ALTER TABLE deliveries ADD COLUMN kept TEXT")
        .unwrap();
    let sql = "SELECT t.name || '.' || c.name || ' ' || lower(c.type)
            || CASE WHEN c.\"notnull\" OR c.pk > 0 THEN ' always' ELSE '' END
        FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'
        UNION ALL SELECT tbl_name || ': ' || name FROM sqlite_schema
        WHERE type = 'index' AND sql IS NOT NULL";
    let mut asked = conn.prepare(sql).unwrap();
    let found = asked.query_map([], |row| row.get(0)).unwrap();
    found.map(Result::unwrap).collect()
}

#[test]
fn both_stores_have_the_same_tables_columns_and_indexes() {
    let database = Database::new();
    migrate(&mut open(&database)).unwrap();
    let found = database.ask(
        "SELECT table_name || '.' || column_name || ' '
            || CASE data_type WHEN 'bigint' THEN 'integer' WHEN 'bytea' THEN 'blob'
               ELSE data_type END
            || CASE is_nullable WHEN 'NO' THEN ' always' ELSE '' END
        FROM information_schema.columns WHERE table_schema = current_schema()
        UNION ALL SELECT t.relname || ': ' || i.relname FROM pg_index x
        JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
        JOIN pg_namespace n ON n.oid = t.relnamespace
        WHERE n.nspname = current_schema() AND NOT x.indisunique",
    );
    // A file has no rate that others share.
    let own = |it: &String| !it.starts_with("rates.");
    let found: Shape = found.into_iter().filter(own).collect();
    let expected = shape_in_sqlite();
    let missing: Vec<_> = expected.difference(&found).collect();
    let more: Vec<_> = found.difference(&expected).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "missing {missing:?}, more {more:?}"
    );
    assert!(found.len() > 200, "{}", found.len());
    let order = "SELECT count(*) FROM information_schema.columns
        WHERE table_schema = current_schema() AND data_type = 'text'
        AND collation_name IS DISTINCT FROM 'C'";
    assert_eq!(database.ask(order), ["0"]);
}
