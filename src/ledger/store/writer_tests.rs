//! The writer under faults that SQLite itself makes: nobody calls it meanwhile,
//! so that what opens the ledger again is the writer alone.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::ledger::postgres::cluster::Database;
use crate::ledger::sql::params;
use crate::ledger::store::Store;
use crate::ledger::{AllTerms, Opening};
use crate::time::{Clock, Time};

/// How long a test waits for the writer, in steps of 20 ms.
const WAIT_STEPS: u32 = 1_500;

fn open(path: &Path) -> Store {
    open_at(format!("sqlite:{}", path.display()))
}

fn open_at(url: String) -> Store {
    Store::open(Opening {
        url,
        terms: AllTerms::new(),
        clock: Clock::held(Time(1_767_225_600_000)),
        report_zone: crate::day::Zone::utc(),
        serve: true,
    })
    .unwrap()
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
