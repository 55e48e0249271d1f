//! What one connection promises, against a server.

use std::thread;

use super::client::{Client, Limits};
use super::cluster::{Cluster, Database, PASSWORD, USER};
use super::statements::Statements;
use crate::ledger::LedgerError;
use crate::ledger::sql::{Kind, Value};

pub(super) fn open(database: &Database) -> Client {
    Client::open(&database.url, Limits::SERVING).unwrap()
}

pub(super) fn is_unavailable(error: &LedgerError) -> bool {
    matches!(error, LedgerError::Unavailable(_))
}

/// The first column of the first row.
pub(super) fn one(client: &mut Client, sql: &str, values: &[Value<'_>]) -> i64 {
    let rows = client.query(sql, values).unwrap();
    match rows[0].value(0).unwrap() {
        Value::Int(number) => number,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_is_read_again() {
    let database = Database::new();
    let mut client = open(&database);
    client
        .batch("CREATE TABLE kept (n BIGINT, t TEXT COLLATE \"C\", b BYTEA)")
        .unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    let long = "x".repeat(3_000_000);
    let rows = [
        [Value::Null, Value::Null, Value::Null],
        [Value::Int(i64::MIN), Value::Text(""), Value::Blob(&[])],
        [
            Value::Int(i64::MAX),
            Value::Text("it's \"?1\" ä€😀\\"),
            Value::Blob(&bytes),
        ],
        [
            Value::Int(0),
            Value::Text(&long),
            Value::Blob(long.as_bytes()),
        ],
    ];
    for row in &rows {
        let insert = "INSERT INTO kept VALUES (?1, ?2, ?3)";
        assert_eq!(client.execute(insert, row).unwrap(), 1);
        let select = "SELECT n, t, b FROM kept WHERE n IS NOT DISTINCT FROM ?1";
        let found = client.query(select, &row[..1]).unwrap();
        let read: Vec<_> = (0..3).map(|at| found[0].value(at).unwrap()).collect();
        assert!(read == row, "a row came back otherwise");
    }
    let written = client.execute("UPDATE kept SET t = 'a' WHERE n >= ?1", &[Value::Int(0)]);
    assert_eq!(written.unwrap(), 2);
}

#[test]
fn every_type_of_a_whole_number_is_one() {
    let database = Database::new();
    let mut client = open(&database);
    for (sql, expected) in [
        ("SELECT 1::INT2", 1),
        ("SELECT -2::INT4", -2),
        ("SELECT 3::INT8", 3),
        ("SELECT true", 1),
        ("SELECT false", 0),
        (
            "SELECT sum(n) FROM (VALUES (9223372036854775800), (7)) AS all_of (n)",
            i64::MAX,
        ),
        ("SELECT 1.00", 1),
    ] {
        assert_eq!(one(&mut client, sql, &[]), expected, "{sql}");
    }
    for sql in [
        "SELECT sum(n) FROM (VALUES (9223372036854775807), (1)) AS all_of (n)",
        "SELECT 1.5",
        "SELECT 1::FLOAT8",
        "SELECT now()",
    ] {
        let rows = client.query(sql, &[]).unwrap();
        let error = rows[0].value(0).unwrap_err();
        assert!(
            error.to_string().contains("something unexpected"),
            "{sql}: {error}"
        );
    }
    // Parameters of other types, where the statement says so.
    let cast = "SELECT CAST(?1 AS BIGINT), ?2::NUMERIC, ?3::INT4 FROM (SELECT 1) AS any_row";
    let rows = client.query(cast, &[Value::Int(5), Value::Int(-70_000), Value::Int(7)]);
    let rows = rows.unwrap();
    let read: Vec<_> = (0..3).map(|at| rows[0].value(at).unwrap()).collect();
    assert_eq!(read, [Value::Int(5), Value::Int(-70_000), Value::Int(7)]);
}

#[test]
fn a_number_is_never_taken_for_a_smaller_one() {
    let database = Database::new();
    let mut client = open(&database);
    // Without a type the server would make this 32 bits wide.
    let sql = "SELECT coalesce(?1, 0)";
    assert_eq!(one(&mut client, sql, &[Value::Null]), 0);
    let large = 4_000_000_000_000;
    assert_eq!(one(&mut client, sql, &[Value::Int(large)]), large);
    assert_eq!(one(&mut client, sql, &[Value::Null]), 0);
    assert_eq!(
        one(&mut client, "SELECT ?1 * 1000", &[Value::Int(large)]),
        large * 1_000
    );
}

#[test]
fn a_statement_means_the_same_whichever_value_is_empty_first() {
    let database = Database::new();
    let mut client = open(&database);
    client
        .batch("CREATE TABLE kept (n BIGINT, t TEXT, b BYTEA)")
        .unwrap();
    let insert = "INSERT INTO kept (n, t, b)
        VALUES (CASE WHEN 1 = 2 THEN NULL ELSE ?1 END, ?2, ?3)";
    let empty = [Kind::Int, Kind::Text, Kind::Blob].map(Value::Absent);
    let full = [Value::Int(1 << 40), Value::Text("a"), Value::Blob(b"b")];
    let count = "SELECT count(*) FROM kept
        WHERE (?1 IS NULL OR n = ?1) AND (?2 IS NULL OR t = ?2) AND (?3 IS NULL OR b = ?3)";
    for row in [&empty, &full, &empty] {
        client.execute(insert, row).unwrap();
    }
    assert_eq!(one(&mut client, count, &empty), 3);
    assert_eq!(one(&mut client, count, &full), 1);
    assert_eq!(one(&mut client, count, &[full[0], empty[1], full[2]]), 1);
    assert_eq!(client.prepared(), 2);
}

#[test]
fn what_cannot_be_kept_is_refused_with_the_reason() {
    let database = Database::new();
    let mut client = open(&database);
    let refused = client
        .query("SELECT ?1", &[Value::Text("a\0b")])
        .err()
        .unwrap();
    assert!(matches!(refused, LedgerError::Refused(_)), "{refused:?}");
    assert!(refused.to_string().contains("U+0000"));
    let few = client
        .query("SELECT ?1, ?2", &[Value::Int(1)])
        .err()
        .unwrap();
    assert!(
        few.to_string().contains("takes 2 values and was given 1"),
        "{few}"
    );
    // Neither was sent, so that a transaction would go on.
    assert_eq!(one(&mut client, "SELECT 1", &[]), 1);
    client
        .batch("CREATE TABLE once (t TEXT PRIMARY KEY)")
        .unwrap();
    let insert = "INSERT INTO once VALUES (?1)";
    client
        .execute(insert, &[Value::Text("secret value")])
        .unwrap();
    let twice = client
        .execute(insert, &[Value::Text("secret value")])
        .unwrap_err();
    let line = twice.to_string();
    assert!(matches!(twice, LedgerError::Unusable(_)), "{line}");
    assert!(
        line.contains("23505") && line.contains("once_pkey"),
        "{line}"
    );
    assert!(!format!("{twice:?}").contains("secret value"), "{twice:?}");
}

#[test]
fn every_code_of_the_server_is_a_decision() {
    let database = Database::new();
    let mut client = open(&database);
    let later = [
        "08006", "25006", "25P02", "25P03", "40001", "40003", "40P01", "53000", "53100", "53200",
        "53300", "53400", "55P03", "57014", "57P01", "57P02", "57P03", "57P05", "58030",
    ];
    for code in later
        .into_iter()
        .chain(["XX001", "XX002", "22003", "23514", "XX000", "57P04"])
    {
        if client.is_lost() {
            client = open(&database);
        }
        let raise = format!(
            "DO $$ BEGIN RAISE EXCEPTION 'a secret' USING ERRCODE = '{code}',
             DETAIL = 'a secret', HINT = 'a secret'; END $$"
        );
        let error = client.batch(&raise).unwrap_err();
        assert!(!format!("{error:?}{error}").contains("secret"), "{error:?}");
        let as_expected = match &error {
            LedgerError::Unavailable(_) => later.contains(&code),
            LedgerError::Damaged => code.starts_with("XX00") && code != "XX000",
            LedgerError::Unusable(line) => !later.contains(&code) && line.contains(code),
            _ => false,
        };
        assert!(as_expected, "{code}: {error:?}");
    }
    // What is wrong with a statement is told: it holds no values.
    let error = client.batch("SELECT nothing").unwrap_err();
    assert!(error.to_string().contains("column \"nothing\""), "{error}");
}

#[test]
fn statements_are_prepared_once_and_not_without_end() {
    let database = Database::new();
    let mut client = open(&database);
    for number in 0..Statements::MOST + 20 {
        let sql = format!("SELECT ?1 + {number}");
        let expected = i64::try_from(number).unwrap() + 1;
        assert_eq!(one(&mut client, &sql, &[Value::Int(1)]), expected);
        assert_eq!(one(&mut client, &sql, &[Value::Int(1)]), expected);
    }
    assert_eq!(client.prepared(), Statements::MOST);
    let held = "SELECT count(*) FROM pg_prepared_statements WHERE ?1 = 1";
    let held = one(&mut client, held, &[Value::Int(1)]);
    assert!(
        held <= i64::try_from(Statements::MOST).unwrap() + 2,
        "{held}"
    );
}

#[test]
fn a_connection_that_ends_is_unavailable_and_the_next_one_works() {
    let database = Database::new();
    let mut client = open(&database);
    assert_eq!(one(&mut client, "SELECT 1", &[]), 1);
    assert!(!client.is_lost());
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'tributary'";
    database.run(end);
    let error = client.query("SELECT 1", &[]).err().unwrap();
    assert!(is_unavailable(&error), "{error:?}");
    assert!(client.is_lost());
    let again = client.batch("SELECT 1").unwrap_err();
    assert!(is_unavailable(&again), "{again:?}");
    let queued = client
        .queue_batch("SELECT 1")
        .and_then(|()| client.commit());
    assert!(is_unavailable(&queued.unwrap_err()));
    assert_eq!(one(&mut open(&database), "SELECT 1", &[]), 1);
}

#[test]
fn a_connection_that_was_kept_knows_that_it_has_ended() {
    let database = Database::new();
    let mut client = open(&database);
    assert!(!client.is_lost());
    let pid = one(&mut client, "SELECT pg_backend_pid()", &[]);
    database.run(&format!("SELECT pg_terminate_backend({pid})"));
    let there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
    while database.ask(&there) != ["0"] {
        thread::yield_now();
    }
    assert!(client.is_lost());
    let error = client.batch("SELECT 1").unwrap_err();
    assert!(error.to_string().contains("shut down"), "{error}");
}

#[test]
fn a_server_that_is_killed_is_unavailable_until_it_is_up_again() {
    let server = Cluster::start(&[]);
    let url = server.url("postgres");
    let mut client = Client::open(&url, Limits::SERVING).unwrap();
    client.batch("CREATE TABLE kept (n BIGINT)").unwrap();
    client.batch("BEGIN").unwrap();
    client
        .queue("INSERT INTO kept VALUES (?1)", &[Value::Int(1)])
        .unwrap();
    server.kill();
    let error = client.commit().unwrap_err();
    assert!(is_unavailable(&error), "{error:?}");
    let error = Client::open(&url, Limits::SERVING).err().unwrap();
    assert!(is_unavailable(&error), "{error:?}");
    server.resume();
    let mut client = Client::open(&url, Limits::SERVING).unwrap();
    assert_eq!(one(&mut client, "SELECT count(*) FROM kept", &[]), 0);
}

#[test]
fn what_takes_too_long_is_unavailable_and_nothing_is_kept() {
    let database = Database::new();
    database.run("CREATE TABLE kept (n BIGINT)");
    let limited = |statement_ms, lock_ms, idle_in_transaction_ms| {
        let limits = Limits {
            statement_ms,
            lock_ms,
            idle_in_transaction_ms,
        };
        Client::open(&database.url, limits).unwrap()
    };
    // What is not meant to run out is longer than any test.
    let never = 600_000;
    let mut client = limited(200, never, never);
    let slow = client.batch("SELECT pg_sleep(600)").unwrap_err();
    assert!(slow.to_string().contains("longer than it may"), "{slow}");
    assert!(is_unavailable(&slow) && !client.is_lost());

    let mut other = limited(never, never, never);
    other.batch("BEGIN; LOCK TABLE kept").unwrap();
    let mut client = limited(never, 100, never);
    let waits = client.batch("INSERT INTO kept VALUES (1)").unwrap_err();
    assert!(waits.to_string().contains("locked by another"), "{waits}");
    assert!(is_unavailable(&waits) && !client.is_lost());
    other.batch("ROLLBACK").unwrap();

    let mut client = limited(never, never, 200);
    client.batch("BEGIN; INSERT INTO kept VALUES (2)").unwrap();
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND state LIKE 'idle in transaction%'";
    while database.ask(open) != ["0"] {
        thread::yield_now();
    }
    let idle = client.commit().unwrap_err();
    assert!(is_unavailable(&idle) && client.is_lost(), "{idle:?}");
    assert_eq!(database.ask("SELECT count(*) FROM kept"), ["0"]);
}

#[test]
fn a_commit_that_no_standby_confirmed_is_not_believed() {
    // One that never comes.
    let server = Cluster::start(&["synchronous_standby_names=*"]);
    let url = server.url("postgres");
    // What the server does by itself waits for nobody.
    let alone = "SET synchronous_commit = local; CREATE TABLE kept (n BIGINT)";
    super::cluster::run(&url, alone).unwrap();
    let limits = Limits {
        statement_ms: 200,
        ..Limits::SERVING
    };
    let mut client = Client::open(&url, limits).unwrap();
    client.batch("BEGIN").unwrap();
    let insert = "INSERT INTO kept VALUES (?1)";
    client.execute(insert, &[Value::Int(1)]).unwrap();
    let error = client.commit().unwrap_err();
    assert!(is_unavailable(&error) && client.is_lost(), "{error:?}");
}

#[test]
fn a_server_that_takes_no_writes_is_unavailable() {
    let database = Database::new();
    let mut before = open(&database);
    let read_only = format!(
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        database.name()
    );
    database.run(&read_only);
    let error = Client::open(&database.url, Limits::SERVING).err().unwrap();
    assert!(is_unavailable(&error), "{error:?}");
    assert!(error.to_string().contains("takes no writes"), "{error}");
    before.batch("BEGIN READ ONLY").unwrap();
    let error = before.batch("CREATE TABLE kept (n BIGINT)").unwrap_err();
    assert!(is_unavailable(&error), "{error:?}");
    assert!(error.to_string().contains("takes no writes"), "{error}");
}

#[test]
fn of_several_servers_the_one_that_takes_writes_is_taken() {
    let gone = Cluster::start(&[]);
    let standby = Cluster::start(&["default_transaction_read_only=on"]);
    let primary = Cluster::start(&[]);
    gone.kill();
    let ports = [gone.port, standby.port, primary.port];
    let hosts = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
    let url = format!("postgres://{USER}:{PASSWORD}@{hosts}/postgres");
    let mut client = Client::open(&url, Limits::SERVING).unwrap();
    let port = "SELECT setting::BIGINT FROM pg_settings WHERE name = 'port'";
    assert_eq!(one(&mut client, port, &[]), i64::from(primary.port));
    primary.kill();
    let error = Client::open(&url, Limits::SERVING).err().unwrap();
    assert!(is_unavailable(&error), "{error:?}");
    assert!(!format!("{error:?}").contains(PASSWORD), "{error:?}");
}

#[test]
fn a_runtime_may_hold_and_drop_a_connection() {
    fn goes_to_another_thread<T: Send>(_: &T) {}
    let database = Database::new();
    let client = open(&database);
    goes_to_another_thread(&client);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async move { drop(client) });
}

/// A statement that was prepared while its table was empty is planned for what is in it
/// later.
#[test]
fn a_statement_is_planned_anew_as_its_table_grows() {
    let database = Database::new();
    let mut client = open(&database);
    client
        .batch(
            "CREATE TABLE kept (a BIGINT, b BIGINT, c BIGINT, UNIQUE (a, b));
             CREATE INDEX kept_by_a ON kept (a, c)",
        )
        .unwrap();
    let sql = "SELECT count(*) FROM kept WHERE a = ?1 AND b = ?2";
    let values = |b| [Value::Int(1), Value::Int(b)];
    one(&mut client, sql, &values(0));
    // The server's name of the statement changes with each time that it is prepared.
    let names = "SELECT count(*) FROM pg_prepared_statements
        WHERE statement LIKE 'SELECT count(*) FROM kept%'";
    let newest = "SELECT CAST(extract(epoch FROM max(prepare_time)) * 1000000 AS BIGINT)
        FROM pg_prepared_statements WHERE statement LIKE 'SELECT count(*) FROM kept%'";
    let mut prepared = vec![one(&mut client, newest, &[])];
    for b in 1..2_000 {
        assert_eq!(one(&mut client, sql, &values(b)), 0);
        let last = one(&mut client, newest, &[]);
        if prepared.last() != Some(&last) {
            prepared.push(last);
        }
    }
    assert_eq!(prepared.len(), 4, "after 10, 100 and 1,000 uses");
    assert_eq!(one(&mut client, names, &[]), 1, "the older ones are gone");
}
