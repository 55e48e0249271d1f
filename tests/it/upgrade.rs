//! Ledgers that older versions made: each opens, says what it said before, and
//! goes on exactly. `fixtures/ledgers/<version>.sql` is such a ledger as text.

use std::fs;
use std::path::{Path, PathBuf};

use tributary::ledger::book::State;
use tributary::ledger::{Filter, LedgerError, Opening};
use tributary::time::Clock;

use tributary::ledger::{AllTerms, Ledger};

use crate::bench::{Bench, START, There, charge, customer, terms};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ledgers")
}

/// A ledger's file made from its text, with its version.
fn made(version: i64) -> (tempfile::TempDir, PathBuf) {
    let text = fs::read_to_string(folder().join(format!("{version}.sql"))).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.db");
    let conn = rusqlite::Connection::open(&file).unwrap();
    conn.execute_batch(&text).unwrap();
    assert_eq!(version_of(&conn), version, "{version}.sql says its version");
    (dir, file)
}

fn version_of(conn: &rusqlite::Connection) -> i64 {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap()
}

fn open(file: &Path, clock: &Clock) -> Result<Ledger, LedgerError> {
    Ledger::open(Opening {
        url: format!("sqlite:{}", file.display()),
        terms: AllTerms::from([("stripe".to_owned(), terms("stripe"))]),
        clock: clock.clone(),
        report_zone: tributary::day::Zone::utc(),
        serve: true,
    })
}

#[tokio::test]
async fn every_older_ledger_opens_and_goes_on() {
    let (_fresh, latest) = {
        let bench = Bench::on_file(vec![terms("stripe")]);
        let file = bench.dir.path().join("ledger.db");
        let conn = rusqlite::Connection::open(&file).unwrap();
        (bench.dir, version_of(&conn))
    };
    assert!(latest > 1);
    // The first ledgers had no column for what is kept of a request, whatever
    // their version was raised to since.
    let older = (1..latest).map(|version| (version, ""));
    let first = [1, 2].map(|version| (version, "ALTER TABLE deliveries DROP COLUMN kept"));
    for (version, change) in older.chain(first) {
        let (dir, file) = made(version);
        let conn = rusqlite::Connection::open(&file).unwrap();
        conn.execute_batch(change).unwrap();
        drop(conn);
        let clock = Clock::held(START.plus(400 * tributary::time::DAY_MS));
        let ledger = open(&file, &clock).unwrap();
        same_checks(&file, version);
        let mut bench = Bench::on(dir, clock, ledger);
        let stands = |id: &str, state: &str, net, forwarded| {
            (id.to_owned(), state.to_owned(), net, forwarded)
        };
        let page = bench.ledger.payments(Filter::default(), 50).await.unwrap();
        let mut before: Vec<_> = page
            .items
            .iter()
            .map(|it| stands(&it.payment_id, it.state, it.net, it.forwarded))
            .collect();
        before.sort();
        let expected = [
            stands("ch_back", "settled", Some(0), 0),
            stands("ch_nobody", "unattributed", Some(700), 0),
            stands("ch_part", "settled", Some(2500), 2500),
            stands("ch_sold", "settled", Some(4999), 4999),
            stands("payment_intent:pi_ch_later", "waiting", None, 0),
        ];
        assert_eq!(before, expected, "version {version}");
        let story = bench.ledger.story("stripe", "ch_part").await.unwrap();
        assert_eq!(story.transactions.len(), 2, "{story:?}");

        // Its payments are in the reports, though it was kept before there were any.
        crate::days::agree(&bench.ledger, "an older ledger").await;
        crate::days::condense(&bench.ledger).await;
        crate::days::agree(&bench.ledger, "an older ledger with segments").await;

        // What waited goes on, and nothing that was forwarded is forwarded again.
        let mut there = There::default();
        bench.deliver(charge("ch_later", 900, Some("cus_C"))).await;
        bench
            .deliver(customer("cus_B", "acme", 1_900_000_000))
            .await;
        bench.run(&mut there).await;
        assert_eq!(there.sum_of("ch_later"), 700);
        assert_eq!(there.sum_of("ch_nobody"), 700);
        assert_eq!(there.sum(), 1400);
        assert_eq!(bench.state("ch_sold").await, State::Settled);
    }
}

/// A database of version 1 had no table of values: what waits in it is found.
#[tokio::test]
async fn an_older_database_opens_and_goes_on() {
    let mut bench = Bench::on_server(vec![terms("stripe")]);
    bench.deliver(charge("ch_nobody", 700, Some("cus_B"))).await;
    bench.shut().await;
    bench.change(
        "DROP INDEX payments_read_back;
         DROP TABLE clue_values; ALTER TABLE destinations DROP COLUMN compared_at;
         DROP TABLE dictionaries; ALTER TABLE deliveries DROP COLUMN packed;
         CREATE INDEX clues_by_value ON clues (value, field) WHERE field <> 'import.customer_key';
         DELETE FROM meta WHERE name = 'values_until';
         UPDATE meta SET value = '1' WHERE name = 'version'",
    );
    bench.restart().await;
    assert_eq!(bench.state("ch_nobody").await, State::Unattributed);
    let until = "SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'values_until'";
    assert_eq!(bench.number(until), 1);
    bench.deliver(customer("cus_B", "acme", 5)).await;
    let mut there = There::default();
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 700);
}

/// What bodies are packed with changes from one program to the next; a ledger has all that
/// its program packs with.
#[tokio::test]
async fn a_ledger_gets_the_dictionaries_of_a_newer_program() {
    let mut bench = Bench::new();
    let known = "SELECT count(*) FROM dictionaries";
    assert_eq!(bench.number(known), 2);
    bench.shut().await;
    bench.change("DELETE FROM dictionaries WHERE dictionary > 1");
    bench.restart().await;
    assert_eq!(bench.number(known), 2);
}

/// The checks were written anew where they stand: they say the same, and no words
/// of SQLite's slow kind are left in them.
fn same_checks(file: &Path, version: i64) {
    let conn = rusqlite::Connection::open(file).unwrap();
    let checks: String = conn
        .query_row(
            "SELECT group_concat(sql) FROM sqlite_schema
             WHERE name IN ('payments', 'facts', 'deliveries', 'attempts')",
            [],
            |row| row.get(0),
        )
        .unwrap();
    for slow in [
        "(state IN",
        "(turn IN",
        "(authority IN",
        "(status IN",
        "(call IN",
    ] {
        let slow = checks
            .match_indices(slow)
            .map(|(at, _)| &checks[at..at + 40]);
        let slow: Vec<&str> = slow.filter(|it| !it.contains("'settled', 'due'")).collect();
        assert!(slow.is_empty(), "version {version}: {slow:?}");
    }
    for refused in [
        "UPDATE payments SET state = 'gone'",
        "UPDATE payments SET turn = 3, due_at = 1, due_since = 1",
        "UPDATE facts SET authority = 'rumour'",
        "UPDATE deliveries SET status = 'lost'",
        "UPDATE attempts SET call = 'put'",
    ] {
        let error = conn.execute_batch(refused).unwrap_err().to_string();
        assert!(
            error.contains("CHECK constraint failed"),
            "{refused}: {error}"
        );
    }
    let integrity: String = conn
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(integrity, "ok", "version {version}");
}

#[tokio::test]
async fn a_ledger_of_a_newer_version_is_refused() {
    let (_dir, file) = made(1);
    let conn = rusqlite::Connection::open(&file).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let refused = open(&file, &Clock::held(START)).map(|_| ());
    assert!(
        matches!(&refused, Err(LedgerError::Unusable(why)) if why.contains("use a newer program")),
        "{refused:?}"
    );
}
