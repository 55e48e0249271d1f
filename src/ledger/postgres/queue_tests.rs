//! Statements that are sent with the next one, against a server.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::client::{Client, Limits};
use super::client_tests::{is_unavailable, one, open};
use super::cluster::{Database, USER};
use crate::ledger::sql::{Kind, Value};

/// A connection in between that counts what asks for an answer, and holds answers
/// back until so many have been asked for.
struct Between {
    counts: Arc<(Mutex<(u32, u32)>, Condvar)>,
    url: String,
}

impl Between {
    fn new(database: &Database) -> Between {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::new((Mutex::new((0, 0)), Condvar::new()));
        let (_, there) = database.url.split_once('@').unwrap();
        let (socket, _) = there.split_once('/').unwrap();
        let (folder, at) = socket.rsplit_once(':').unwrap();
        let file = format!("{}/.s.PGSQL.{at}", folder.replace("%2F", "/"));
        let url = format!("postgres://{USER}@127.0.0.1:{port}/{}", database.name());
        let (asking, answering) = (Arc::clone(&counts), Arc::clone(&counts));
        thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let server = UnixStream::connect(file).unwrap();
            let (to_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || answers(server, to_client, &answering));
            questions(client, to_server, &asking);
        });
        Between { counts, url }
    }

    /// Answers are held back until `more` have been asked for from here on.
    fn hold_for(&self, more: u32) {
        let mut counts = self.counts.0.lock().unwrap();
        counts.1 = counts.0 + more;
    }

    fn asked(&self) -> u32 {
        self.counts.0.lock().unwrap().0
    }
}

/// Hands on what the client says, message by message.
fn questions(mut from: TcpStream, mut to: UnixStream, counts: &(Mutex<(u32, u32)>, Condvar)) {
    // The first message has no letter before its length.
    let mut letter = None;
    loop {
        let mut length = [0; 4];
        if from.read_exact(&mut length).is_err() {
            return;
        }
        let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
        from.read_exact(&mut body).unwrap();
        let head: Vec<u8> = letter.into_iter().chain(length).chain(body).collect();
        // A simple query or a sync; counted before anybody can answer it.
        if matches!(letter, Some(b'Q' | b'S')) {
            counts.0.lock().unwrap().0 += 1;
            counts.1.notify_all();
        }
        if to.write_all(&head).is_err() {
            return;
        }
        let mut next = [0];
        if from.read_exact(&mut next).is_err() {
            return;
        }
        letter = Some(next[0]);
    }
}

fn answers(mut from: UnixStream, mut to: TcpStream, counts: &(Mutex<(u32, u32)>, Condvar)) {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut bytes).unwrap_or(0);
        if read == 0 {
            let _ = to.shutdown(std::net::Shutdown::Both);
            return;
        }
        let counted = counts.0.lock().unwrap();
        let held = counts.1.wait_while(counted, |(asked, hold)| asked < hold);
        drop(held.unwrap());
        if to.write_all(&bytes[..read]).is_err() {
            return;
        }
    }
}

#[test]
fn queued_statements_cost_one_round_trip() {
    let database = Database::new();
    database.run("CREATE TABLE kept (n BIGINT, t TEXT)");
    let between = Between::new(&database);
    let mut client = Client::open(&between.url, Limits::SERVING).unwrap();
    let insert = "INSERT INTO kept VALUES (?1, ?2)";
    let long = "x".repeat(1_000);
    client.batch("BEGIN").unwrap();
    client
        .execute(insert, &[Value::Int(0), Value::Text(&long)])
        .unwrap();
    let before = between.asked();
    // Whoever waits for an answer before all of them are sent waits for ever.
    // (After so many uses more the statement would be prepared anew.)
    between.hold_for(8 + 3);
    for number in 1..=8 {
        client
            .queue(insert, &[Value::Int(number), Value::Text(&long)])
            .unwrap();
    }
    client.queue_batch("SAVEPOINT here").unwrap();
    client.commit().unwrap();
    assert_eq!(between.asked() - before, 11);
    assert_eq!(database.ask("SELECT count(*) FROM kept"), ["9"]);
}

#[test]
fn what_is_queued_without_end_is_sent_before_it_fills_the_memory() {
    let database = Database::new();
    let mut client = open(&database);
    client
        .batch("CREATE TEMPORARY TABLE kept (n BIGINT); BEGIN")
        .unwrap();
    for number in 0..1_000 {
        client
            .queue("INSERT INTO kept VALUES (?1)", &[Value::Int(number)])
            .unwrap();
    }
    assert_eq!(one(&mut client, "SELECT count(*) FROM kept", &[]), 1_000);
    client.commit().unwrap();
}

#[test]
fn the_error_of_a_queued_statement_is_told_by_the_next_answer() {
    let database = Database::new();
    let mut client = open(&database);
    client
        .batch("CREATE TABLE kept (n BIGINT CHECK (n > 0))")
        .unwrap();
    client.batch("BEGIN; SAVEPOINT a").unwrap();
    let insert = "INSERT INTO kept VALUES (?1)";
    client.queue(insert, &[Value::Int(-1)]).unwrap();
    client.queue(insert, &[Value::Int(1)]).unwrap();
    let error = client.query("SELECT n FROM kept", &[]).err().unwrap();
    assert!(error.to_string().contains("kept_n_check"), "{error}");
    // Who goes on all the same cannot commit: the server would say that all is well.
    let error = client.commit().unwrap_err();
    assert!(is_unavailable(&error), "{error:?}");
    assert_eq!(database.ask("SELECT count(*) FROM kept"), ["0"]);

    client.batch("BEGIN; SAVEPOINT a").unwrap();
    client.queue(insert, &[Value::Int(-1)]).unwrap();
    client.roll_back("ROLLBACK TO a").unwrap();
    client.queue(insert, &[Value::Int(2)]).unwrap();
    client.commit().unwrap();
    assert_eq!(database.ask("SELECT n FROM kept"), ["2"]);
}

/// Who waits for a later answer waits behind all of an earlier one, however long it is.
#[test]
fn a_long_answer_that_is_not_wanted_yet_is_in_nobodys_way() {
    let database = Database::new();
    let mut client = open(&database);
    let long = "SELECT repeat('x', 1000), n FROM generate_series(1, ?1) AS n";
    client.ask_ahead(long, &[Value::Int(20_000)]).unwrap();
    assert_eq!(one(&mut client, "SELECT ?1 + 1", &[Value::Int(1)]), 2);
    client.ask_ahead("SELECT ?1 + 2", &[Value::Int(1)]).unwrap();
    let before = client.waits;
    assert_eq!(one(&mut client, "SELECT ?1 + 2", &[Value::Int(1)]), 3);
    assert_eq!(
        client.query(long, &[Value::Int(20_000)]).unwrap().len(),
        20_000
    );
    assert_eq!(client.waits - before, 1, "both are answered by one wait");
}

/// What is glanced at is sent and not waited for, and each time all that was sent is
/// answered by one wait.
#[test]
fn what_is_glanced_at_is_answered_at_once() {
    let database = Database::new();
    let mut client = open(&database);
    let sum = "SELECT ?1 + 1";
    // Prepared before.
    assert_eq!(one(&mut client, sum, &[Value::Int(0)]), 1);
    let before = client.waits;
    for number in 0..3 {
        assert!(client.glance(sum, &[Value::Int(number)]).unwrap().is_none());
    }
    assert_eq!(client.waits - before, 0);
    assert!(client.answer_ahead().unwrap());
    for number in 0..3 {
        let told = client.glance(sum, &[Value::Int(number)]).unwrap().unwrap();
        assert_eq!(told[0].value(0).unwrap(), Value::Int(number + 1));
    }
    assert!(!client.answer_ahead().unwrap(), "nothing was missing");
    assert_eq!(client.waits - before, 1);
    client.forget_ahead();
    assert!(client.glance(sum, &[Value::Int(1)]).unwrap().is_none());
}

/// Columns of every kind, with values that are missing, and none at all.
#[test]
fn rows_are_written_as_columns() {
    let database = Database::new();
    let mut client = open(&database);
    client
        .batch("CREATE TABLE kept (n BIGINT, t TEXT, b BYTEA)")
        .unwrap();
    let insert = "INSERT INTO kept (n, t, b) SELECT * FROM unnest(?1, ?2, ?3)";
    let columns = |rows: usize| {
        let cut = |mut values: Vec<Value<'static>>| {
            values.truncate(rows);
            values
        };
        [
            (Kind::Int, cut(vec![Value::Int(i64::MIN), Value::Null])),
            (
                Kind::Text,
                cut(vec![Value::Absent(Kind::Text), Value::Text("ä,{}\"")]),
            ),
            (Kind::Blob, cut(vec![Value::Blob(b"\0{"), Value::Null])),
        ]
    };
    client.batch("BEGIN").unwrap();
    client.queue_columns(insert, &columns(2)).unwrap();
    client.queue_columns(insert, &columns(0)).unwrap();
    client.commit().unwrap();
    assert_eq!(
        database.ask("SELECT coalesce(n::text, '-') || coalesce(t, '-') || coalesce(encode(b, 'hex'), '-') FROM kept"),
        ["-9223372036854775808-007b", "-ä,{}\"-"]
    );
    let nul = [(Kind::Int, vec![]), (Kind::Text, vec![Value::Text("\0")])];
    let refused = client.queue_columns("SELECT ?1, ?2", &nul).unwrap_err();
    assert!(refused.to_string().contains("U+0000"), "{refused}");
}

/// What was asked ahead is answered as it was then; what is written before the answer is
/// wanted is in it all the same.
#[test]
fn what_is_asked_ahead_is_what_would_be_answered_then() {
    let database = Database::new();
    let mut client = open(&database);
    client.batch("CREATE TABLE kept (n BIGINT)").unwrap();
    let count = "SELECT count(*) FROM kept WHERE n > ?1";
    let above = |n| [Value::Int(n)];
    for _ in 0..2 {
        client.ask_ahead(count, &above(0)).unwrap();
        client.ask_ahead(count, &above(1)).unwrap();
    }
    client.batch("BEGIN").unwrap();
    client.ask_ahead(count, &above(0)).unwrap();
    client.ask_ahead(count, &above(1)).unwrap();
    assert_eq!(one(&mut client, count, &above(1)), 0);
    client
        .queue("INSERT INTO kept VALUES (?1)", &above(2))
        .unwrap();
    assert_eq!(one(&mut client, count, &above(0)), 1, "it was forgotten");
    client.ask_ahead(count, &above(0)).unwrap();
    let written = client.execute("INSERT INTO kept VALUES (?1)", &above(3));
    assert_eq!(written.unwrap(), 1);
    assert_eq!(one(&mut client, count, &above(0)), 2);
    client.ask_ahead(count, &above(0)).unwrap();
    client.roll_back("ROLLBACK").unwrap();
    assert_eq!(one(&mut client, count, &above(0)), 0);
    // One that fails takes the transaction with it, whoever hears of it.
    client.batch("BEGIN").unwrap();
    client.ask_ahead("SELECT 1 / ?1", &above(0)).unwrap();
    assert!(client.query(count, &above(0)).is_err());
    client.roll_back("ROLLBACK").unwrap();
    assert_eq!(one(&mut client, count, &above(0)), 0);
}
