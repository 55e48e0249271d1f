//! The writer under faults that SQLite itself makes: nobody calls it meanwhile,
//! so that what opens the ledger again is the writer alone.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::ledger::book::SourceTerms;
use crate::ledger::postgres::cluster::Database;
use crate::ledger::sql::params;
use crate::ledger::store::Store;
use crate::ledger::{Delivery, Opening, Taken};
use crate::movement::{
    Alias, Authority, Basis, Class, Clue, Fact, Movement, Reading, Subject, rank,
};
use crate::plan::{Policy, Terms};
use crate::provider::Kept;
use crate::time::{Clock, Time};

/// How long a test waits for the writer, in steps of 20 ms.
const WAIT_STEPS: u32 = 1_500;

fn open(path: &Path) -> Store {
    open_at(format!("sqlite:{}", path.display()))
}

fn open_at(url: String) -> Store {
    open_with(&url, [])
}

fn open_with<const SOURCES: usize>(url: &str, terms: [SourceTerms; SOURCES]) -> Store {
    let terms = terms.into_iter().map(|it| (it.name.clone(), it));
    Store::open(Opening {
        url: url.to_owned(),
        terms: terms.collect(),
        clock: Clock::held(Time(1_767_225_600_000)),
        report_zone: crate::day::Zone::utc(),
        serve: true,
    })
    .unwrap()
}

fn terms(source: &str) -> SourceTerms {
    SourceTerms {
        name: source.to_owned(),
        provider: "stripe".to_owned(),
        destination: "ps".to_owned(),
        live: true,
        rules: vec!["metadata.customer_key".parse().unwrap()],
        forward_from: None,
        terms: Terms {
            policy: Policy::Negative,
            v2_available: true,
        },
        bind_provider_key: false,
        confirm_after_ms: 0,
        retry_for_ms: 0,
        timeout_ms: 0,
        asks: Vec::new(),
        api_missing: None,
    }
}

/// A delivery about a payment of its own, of a customer that it names.
fn paid(source: &str, number: usize) -> Delivery {
    let id = format!("ch_{number}");
    let fact = Fact {
        class: Class::Capture,
        id: id.clone(),
        basis: Basis::Each,
        rank: rank::CAPTURED,
        version: 0,
        authority: Authority::Webhook,
        amount: 100,
        currency: "USD".parse().unwrap(),
        at: Time(1_767_225_600_000),
        partial_capture: false,
        product_key: None,
        category_key: None,
    };
    let reading = Reading {
        delivery_id: Some(format!("evt_{number}")),
        event: "charge.succeeded".to_owned(),
        movements: vec![Movement {
            about: Subject::Payment(id.clone()),
            fact,
        }],
        clues: vec![Clue {
            payment_id: id.clone(),
            field: "metadata.customer_key".to_owned(),
            value: "acme".to_owned(),
            version: 0,
        }],
        aliases: vec![Alias {
            payment_id: id,
            kind: "charge".to_owned(),
            id: format!("py_{number}"),
            money: true,
        }],
        ..Reading::default()
    };
    Delivery {
        source: source.to_owned(),
        body: "a body".into(),
        received_at: Time(1_767_225_600_000),
        secret: 0,
        kept: Kept::default(),
        reading: Ok(reading),
    }
}

/// A part of such a payment goes back.
fn given_back(mut delivery: Delivery) -> Delivery {
    let reading = delivery.reading.as_mut().unwrap();
    reading.delivery_id = reading.delivery_id.take().map(|id| format!("{id}_back"));
    let fact = &mut reading.movements[0].fact;
    fact.id = format!("re_{}", fact.id);
    fact.class = Class::Refund;
    fact.amount = 40;
    delivery
}

async fn keep(store: &Store, name: &'static str, bytes: usize) -> Result<(), LedgerError> {
    let insert = "INSERT INTO meta (name, value) VALUES (?1, ?2)";
    store
        .write(move |tx| tx.run(insert, params![name, "x".repeat(bytes)]).map(|_| ()))
        .await
}

async fn kept(store: &Store) -> Vec<String> {
    let select = "SELECT name FROM meta WHERE name NOT IN
        ('writer', 'probed_at', 'served_at', 'report_zone', 'days_filled') ORDER BY name";
    store
        .read(|tx| tx.all(select, [], |row| row.get(0)))
        .await
        .unwrap()
}

/// Waits until `health` is as wished.
async fn wait(store: &Store, wished: fn(&Result<(), String>) -> bool) {
    for _ in 0..WAIT_STEPS {
        if wished(&store.health()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the ledger's health stayed {:?}", store.health());
}

fn why(result: Result<(), LedgerError>) -> String {
    match result {
        Err(LedgerError::Unavailable(why)) => why,
        other => panic!("{other:?} where the ledger should be unavailable"),
    }
}

/// What a pragma of one connection makes of the disk, until it is opened again.
async fn pragma(store: &Store, name: &'static str, value: i64) {
    let set = move |tx: &Tx<'_>| {
        let Conn::Sqlite(conn) = tx.conn else {
            panic!("a file")
        };
        conn.pragma_update_and_check(None, name, value, |_| Ok(()))
            .or_else(|error| match error {
                rusqlite::Error::QueryReturnedNoRows => Ok(()),
                other => Err(other.into()),
            })
    };
    store.write(set).await.unwrap();
}

/// Of commands that share a commit, one whose last statement is refused is taken back by
/// itself, also where a server says so only later: its caller is told, and neither who
/// came before it nor who comes behind.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_later_is_the_affair_of_who_wrote_it() {
    let (dir, database) = (tempfile::tempdir().unwrap(), Database::new());
    let file = format!("sqlite:{}", dir.path().join("ledger.db").display());
    for url in [file, database.url.clone()] {
        let store = open_at(url);
        // The others wait behind this one, and so share a commit.
        let first = store.write(|_| {
            std::thread::sleep(Duration::from_millis(300));
            Ok(())
        });
        let twice = store.write(|tx| {
            for value in ["1", "2"] {
                tx.queue(
                    "INSERT INTO meta (name, value) VALUES ('twice', ?1)",
                    [value],
                )?;
            }
            Ok(())
        });
        let behind = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            tokio::join!(
                keep(&store, "before", 1),
                twice,
                keep(&store, "behind", 1),
                store.write(|tx| tx.one("SELECT 1", [], |row| row.get::<_, i64>(0))),
            )
        };
        let (first, (before, twice, behind, read)) = tokio::join!(first, behind);
        first.unwrap();
        before.unwrap();
        assert!(twice.is_err(), "{twice:?}");
        behind.unwrap();
        assert_eq!(read.unwrap(), Some(1));
        let kept = kept(&store).await;
        let is_kept = |name| kept.iter().any(|known| known == name);
        assert!(is_kept("before") && is_kept("behind"), "{kept:?}");
        assert!(!is_kept("twice"), "{kept:?}");
    }
}

/// Deliveries that share a commit share what is waited for: so many as one would, not so
/// many for each.
#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_one_commit_wait_for_a_server_together() {
    let database = Database::new();
    let store = open_with(&database.url, [terms("stripe")]);
    let waits = async || {
        let waits = |tx: &Tx<'_>| {
            let Conn::Postgres(client) = tx.conn else {
                panic!("a server")
            };
            Ok(client.borrow().waits)
        };
        store.write(waits).await.unwrap()
    };
    let mut told = 0;
    let (mut cost, mut cost_of_known) = (Vec::new(), Vec::new());
    // Statements are prepared the first times, and anew after a hundred uses.
    for many in [1, 16, 128, 64, 1, 32, 64] {
        let deliveries = (told..told + many).map(|number| paid("stripe", number));
        let deliveries: Vec<Delivery> = deliveries.collect();
        told += many;
        let before = waits().await;
        for recorded in store.record(deliveries.clone()).await {
            assert!(recorded.unwrap().woke);
        }
        cost.push(waits().await - before);
        let known = deliveries.iter().cloned().map(given_back).collect();
        let before = waits().await;
        for recorded in store.record(known).await {
            assert!(recorded.unwrap().woke);
        }
        cost_of_known.push(waits().await - before);
        for again in store.record(deliveries).await {
            assert_eq!(again.unwrap().status, Taken::Duplicate);
        }
    }
    // Two are of who asks how many there were, and now and then a statement is prepared.
    assert!(cost[4..].iter().all(|cost| *cost <= 9), "{cost:?}");
    let of_known = &cost_of_known[4..];
    assert!(of_known.iter().all(|cost| *cost <= 14), "{cost_of_known:?}");
    let due = "SELECT count(*) FROM payments WHERE state = 'due' AND customer = 'acme'";
    assert_eq!(database.ask(due), [told.to_string()]);
}

/// Where one of the deliveries of a commit is refused, only that one is: the others are
/// recorded one by one, and once.
#[tokio::test(flavor = "multi_thread")]
async fn one_refused_delivery_takes_no_other_with_it() {
    let (dir, database) = (tempfile::tempdir().unwrap(), Database::new());
    let file = format!("sqlite:{}", dir.path().join("ledger.db").display());
    let on_file = "CREATE TRIGGER refuse BEFORE INSERT ON payments WHEN NEW.payment_id = 'ch_2'
        BEGIN SELECT RAISE(ABORT, 'not this one'); END";
    let on_server = "ALTER TABLE payments ADD CHECK (payment_id <> 'ch_2')";
    for (url, refuse) in [(file, on_file), (database.url.clone(), on_server)] {
        let store = open_with(&url, [terms("stripe")]);
        store
            .write(move |tx| tx.run(refuse, []).map(|_| ()))
            .await
            .unwrap();
        let deliveries: Vec<Delivery> = (0..5).map(|number| paid("stripe", number)).collect();
        for _ in 0..2 {
            let recorded = store.record(deliveries.clone()).await;
            let refused: Vec<bool> = recorded.iter().map(Result::is_err).collect();
            assert_eq!(refused, [false, false, true, false, false], "{recorded:?}");
        }
        let counts = |tx: &Tx<'_>| {
            let count = |table| {
                let counted = format!("SELECT count(*) FROM {table}");
                tx.one(&counted, [], |row| row.get::<_, i64>(0))
            };
            Ok([count("deliveries")?, count("payments")?, count("facts")?])
        };
        assert_eq!(store.read(counts).await.unwrap(), [Some(4); 3]);
        assert!(store.health().is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_closes_the_ledger_and_it_opens_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("ledger.db"));
    keep(&store, "before", 10).await.unwrap();
    // Fewer pages than there are already: every new one is one too many.
    pragma(&store, "max_page_count", 1).await;
    assert_eq!(
        why(keep(&store, "lost", 1_000_000).await),
        "the disk is full"
    );
    assert!(store.health().unwrap_err().contains("the disk is full"));
    wait(&store, Result::is_ok).await;
    keep(&store, "after", 1_000_000).await.unwrap();
    assert_eq!(kept(&store).await, ["after", "before"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_one_command_fails_the_whole_batch() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("ledger.db"));
    pragma(&store, "max_page_count", 1).await;
    // The first command has a commit of its own, which lasts until the others are in line:
    // they share the next one.
    let (tell_begun, begun) = tokio::sync::oneshot::channel();
    let (open_gate, gate) = std::sync::mpsc::channel::<()>();
    let blocked = store.write(move |_| {
        let _ = tell_begun.send(());
        let _ = gate.recv();
        Ok(())
    });
    let behind = async {
        begun.await.unwrap();
        let small = keep(&store, "small", 10);
        let large = keep(&store, "large", 1_000_000);
        let released = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            drop(open_gate);
        };
        tokio::join!(small, large, released)
    };
    let (_, (small, large, ())) = tokio::join!(blocked, behind);
    assert_eq!(why(large), "the disk is full");
    assert_eq!(why(small), "the disk is full");
    wait(&store, Result::is_ok).await;
    assert_eq!(kept(&store).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_became_read_only_closes_the_ledger_until_it_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("ledger.db"));
    pragma(&store, "query_only", 1).await;
    let read_only = why(keep(&store, "lost", 10).await);
    assert_eq!(read_only, "the ledger's file is read-only");
    assert!(store.health().unwrap_err().contains("read-only"));
    wait(&store, Result::is_ok).await;
    keep(&store, "after", 10).await.unwrap();
    assert_eq!(kept(&store).await, ["after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_moved_away_takes_nothing_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (path, aside) = (dir.path().join("ledger.db"), dir.path().join("aside.db"));
    let store = open(&path);
    keep(&store, "before", 10).await.unwrap();
    std::fs::rename(&path, &aside).unwrap();
    assert!(why(keep(&store, "lost", 10).await).contains("moved, removed or replaced"));
    assert!(!path.exists(), "nothing is made in its place");
    std::fs::write(&path, b"").unwrap();
    assert!(why(keep(&store, "lost", 10).await).contains("moved, removed or replaced"));
    std::fs::rename(&aside, &path).unwrap();
    wait(&store, Result::is_ok).await;
    keep(&store, "after", 10).await.unwrap();
    assert_eq!(kept(&store).await, ["after", "before"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_synced_before_it_is_answered_also_after_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("ledger.db"));
    let settings = |tx: &Tx<'_>| {
        let read = |name| {
            let Conn::Sqlite(conn) = tx.conn else {
                panic!("a file")
            };
            conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0))
        };
        Ok((read("synchronous")?, read("foreign_keys")?))
    };
    // 2 is FULL: the log is synced at each commit.
    assert_eq!(store.write(settings).await.unwrap(), (2, 1));
    pragma(&store, "query_only", 1).await;
    assert!(keep(&store, "lost", 10).await.is_err());
    wait(&store, Result::is_ok).await;
    assert_eq!(store.write(settings).await.unwrap(), (2, 1));
}
