//! Segments at the moments that no command can be stopped at: between saying that
//! one is made and putting it in, and with bytes that are not what was written.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::*;
use crate::day::Zone;
use crate::ledger::AllTerms;
use crate::ledger::sqlite::schema;
use crate::ledger::store::tx::Conn;
use crate::time::Time;

const DAYS: [i64; 3] = [20_260_101, 20_260_102, 20_260_201];

/// A ledger with a row for two customers on each day.
fn ledger() -> Connection {
    let mut conn = Connection::open_in_memory().unwrap();
    schema::migrate(&mut conn).unwrap();
    conn.execute_batch("INSERT INTO sources (name, provider, first_seen) VALUES ('s', 'p', 0)")
        .unwrap();
    for (day, gross) in DAYS.into_iter().zip([100, 200, 400]) {
        for (customer, by, times) in [("a", "key", 1), ("b", "key", 10), ("b", "email", 1000)] {
            conn.execute(
                "INSERT INTO customer_days VALUES (?1, 'ps', ?2, ?3, 'USD', 1, 0, ?4, 1, 3, 1, 0, 0)",
                rusqlite::params![day, customer, by, gross * times],
            )
            .unwrap();
        }
    }
    conn
}

fn with<T>(conn: &Connection, verb: impl FnOnce(&Tx<'_>) -> T) -> (T, Vec<i64>) {
    let (terms, zone) = (AllTerms::default(), Zone::utc());
    let tx = Tx::new(Conn::Sqlite(conn), &terms, &zone, Time(1_800_000_000_000));
    let done = verb(&tx);
    (done, tx.broken.into_inner())
}

/// What each customer comes to, by name, and which days were met that are broken.
fn sums(conn: &Connection, days: [i64; 2]) -> (BTreeMap<String, (i64, i64)>, Vec<i64>) {
    with(conn, |tx| {
        let mut strangers = tx.strangers().unwrap();
        let empty = BTreeMap::<u32, (i64, i64)>::new;
        let sums = tx.walk_customers(days, &mut strangers, empty, |sums, _, step| {
            let (gross, payments) = sums.entry(step.2).or_default();
            *gross += step.3.gross;
            *payments += step.3.payments;
            Ok(())
        });
        let name = |number| match strangers.whom(number) {
            Some((_, customer)) => customer.clone(),
            None => conn
                .query_row(
                    "SELECT customer FROM customer_numbers WHERE number = ?1",
                    [number],
                    |row| row.get(0),
                )
                .unwrap(),
        };
        let sums = sums.unwrap().into_iter();
        sums.map(|(number, sums)| (name(number), sums)).collect()
    })
}

fn expected(gross: i64, days: i64) -> BTreeMap<String, (i64, i64)> {
    BTreeMap::from([
        ("a".to_owned(), (gross, days)),
        ("b".to_owned(), (1010 * gross, 2 * days)),
    ])
}

/// Who makes segments where only one does.
const MAKER: u32 = 1;

fn begin(conn: &Connection, days: &[i64]) -> Vec<(i64, Vec<u8>)> {
    begin_by(conn, days, MAKER)
}

fn begin_by(conn: &Connection, days: &[i64], maker: u32) -> Vec<(i64, Vec<u8>)> {
    with(conn, |tx| {
        let new = tx.unnumbered(days).unwrap();
        tx.begin_segments(&new, days, maker).unwrap();
        tx.pack_days(days).unwrap()
    })
    .0
}

fn put(conn: &Connection, packed: &[(i64, Vec<u8>)]) -> usize {
    put_by(conn, packed, MAKER)
}

fn put_by(conn: &Connection, packed: &[(i64, Vec<u8>)], maker: u32) -> usize {
    with(conn, |tx| tx.put_segments(packed, maker).unwrap()).0
}

const ALL: [i64; 2] = [0, i64::MAX];

#[test]
fn segments_say_what_the_rows_say() {
    let conn = ledger();
    assert_eq!(sums(&conn, ALL), (expected(700, 3), vec![]));
    let packed = begin(&conn, &DAYS[1..]);
    assert_eq!(sums(&conn, ALL), (expected(700, 3), vec![]), "being made");
    assert_eq!(put(&conn, &packed), 2);
    // The rows are gone, so this is what the segments say, and the days between.
    conn.execute("DELETE FROM customer_days WHERE day > 20260101", [])
        .unwrap();
    assert_eq!(sums(&conn, ALL), (expected(700, 3), vec![]));
    assert_eq!(sums(&conn, [0, DAYS[1]]), (expected(300, 2), vec![]));
    assert_eq!(sums(&conn, [DAYS[1], DAYS[1]]), (expected(200, 1), vec![]));
    assert_eq!(sums(&conn, [20_260_103, 20_260_131]).0, BTreeMap::new());
}

#[test]
fn what_changes_while_a_segment_is_made_is_not_put_in() {
    let conn = ledger();
    let packed = begin(&conn, &DAYS);
    conn.execute_batch("UPDATE customer_days SET gross = gross + 1 WHERE day = 20260102")
        .unwrap();
    with(&conn, |tx| tx.drop_segment(20_260_102).unwrap());
    assert_eq!(put(&conn, &packed), 2);
    let mut now = expected(700, 3);
    now.get_mut("a").unwrap().0 += 1;
    now.get_mut("b").unwrap().0 += 2;
    assert_eq!(sums(&conn, ALL), (now, vec![]));
    // The same bytes a second time are too late as well.
    assert_eq!(put(&conn, &packed), 0);
}

/// Of two replicas one packs a day, the day changes, and the other one begins it anew:
/// what the first has packed is of before the change.
#[test]
fn what_another_replica_has_begun_is_not_put_in() {
    let conn = ledger();
    let stale = begin_by(&conn, &DAYS, 1);
    conn.execute_batch("UPDATE customer_days SET gross = gross + 1 WHERE day = 20260102")
        .unwrap();
    with(&conn, |tx| tx.drop_segment(20_260_102).unwrap());
    let fresh = begin_by(&conn, &DAYS, 2);
    assert_eq!(put_by(&conn, &stale, 1), 0);
    assert_eq!(put_by(&conn, &fresh, 2), 3);
    let mut now = expected(700, 3);
    now.get_mut("a").unwrap().0 += 1;
    now.get_mut("b").unwrap().0 += 2;
    assert_eq!(sums(&conn, ALL), (now, vec![]));
}

#[test]
fn a_customer_without_a_number_keeps_a_day_from_being_packed() {
    let conn = ledger();
    let packed = with(&conn, |tx| {
        tx.begin_segments(&[("ps".to_owned(), "a".to_owned())], &DAYS, MAKER)
            .unwrap();
        tx.pack_days(&DAYS).unwrap()
    });
    assert_eq!(packed.0, []);
}

#[test]
fn a_segment_that_is_not_what_was_written_is_never_added_up() {
    let conn = ledger();
    let packed = begin(&conn, &DAYS);
    put(&conn, &packed);
    let whole = expected(700, 3);
    // Other bytes than were written, whatever they read as.
    let bytes = &packed[1].1;
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let sql = "UPDATE customer_segments SET bytes = ?1 WHERE day = ?2";
        conn.execute(sql, rusqlite::params![changed, DAYS[1]])
            .unwrap();
        assert_eq!(sums(&conn, ALL), (whole.clone(), vec![DAYS[1]]), "{at}");
    }
    // Bytes with their own checksum that end in the middle, or name nobody.
    let mut nobody = Packer::default();
    let part = Part {
        currency: "USD".parse().unwrap(),
        ignored: false,
    };
    nobody.add(part, 3, &Row::default()).unwrap();
    for wrong in [&bytes[..bytes.len() - 1], &nobody.end()] {
        conn.execute(
            "UPDATE customer_segments SET bytes = ?1, checksum = ?2 WHERE day = ?3",
            rusqlite::params![wrong, crc32fast::hash(wrong), DAYS[1]],
        )
        .unwrap();
        assert_eq!(sums(&conn, ALL), (whole.clone(), vec![DAYS[1]]));
    }
    // One of a form that is not known.
    conn.execute("UPDATE customer_segments SET form = form + 1", [])
        .unwrap();
    assert_eq!(sums(&conn, ALL), (whole, vec![]));
}
