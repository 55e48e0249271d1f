//! Faults of the disk, met over the public listener: intake answers 503,
//! `/readyz` says why, nothing acknowledged is lost, and it opens again without
//! a restart where the disk does.
//!
//! All of it is about a file, whichever store the run is on: what a server's faults do
//! is played in `fleet.rs` and `replicas.rs`.
//!
//! There is no file layer of our own under SQLite, because that would need
//! `unsafe`; the faults are made by limits, locks and bytes. A full disk and one
//! that became read-only are played beside the writer, by SQLite itself.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use tributary::ledger::{AllTerms, Ledger, Opening};

use crate::bench;
use crate::binary::{Folder, client, post};
use crate::world::{SECRET, World, charge, customer, event};

/// How long a test waits for `/readyz`, in steps of 20 ms.
const WAIT_STEPS: u32 = 3_000;

/// Deliveries until a limit must have been met.
const DELIVERIES_MOST: u32 = 500;

/// What the log of the ledger may still grow by under the limit: a part of a
/// commit, so that one is torn.
const ROOM_BYTES: u64 = 6_000;

/// What no page may begin with.
const GARBAGE: u8 = 0xa5;

async fn readiness(client: &reqwest::Client, public: &str) -> (u16, String) {
    let answer = client.get(format!("{public}/readyz")).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Waits for a status of `/readyz`; answers what it says.
async fn wait(client: &reqwest::Client, public: &str, status: u16) -> String {
    let mut last = (0, String::new());
    for _ in 0..WAIT_STEPS {
        last = readiness(client, public).await;
        if last.0 == status {
            return last.1;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("/readyz stays {last:?}");
}

fn sale(n: u32) -> Value {
    let charge = charge(&format!("ch_{n}"), 1_000, Some("cus_A"));
    event(&format!("evt_{n}"), "charge.succeeded", charge)
}

/// A limit on the size of the files of a process.
fn limit_files(pid: u32, bytes: Option<u64>) {
    let pid = Pid::from_raw(pid.try_into().unwrap());
    let limit = Rlimit {
        current: bytes,
        maximum: getrlimit(Resource::Fsize).maximum,
    };
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_to_write_loses_nothing_and_comes_back() {
    let folder = Folder::on_file().await;
    let running = folder.serve().await;
    let (client, public) = (client(), running.public.clone());
    let known = event("evt_c", "customer.created", customer("cus_A", "acme"));
    let first = post(&client, &public, SECRET, &known).await.unwrap();
    assert_eq!(first.0, 200, "{first:?}");

    let log = folder.path("ledger.db-wal");
    let room = std::fs::metadata(&log).unwrap().len() + ROOM_BYTES;
    limit_files(running.child.id(), Some(room));
    let mut taken = Vec::new();
    let mut refused = None;
    for n in 0..DELIVERIES_MOST {
        match post(&client, &public, SECRET, &sale(n)).await.unwrap() {
            (200, _) => taken.push(n),
            (503, _) => {
                refused = Some(n);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let refused = refused.expect("the limit was met");
    let why = wait(&client, &public, 503).await;
    assert!(why.contains("the disk failed"), "{why}");

    limit_files(running.child.id(), None);
    wait(&client, &public, 200).await;
    let again = post(&client, &public, SECRET, &sale(refused))
        .await
        .unwrap();
    assert_eq!(again.0, 200, "{again:?}");
    taken.push(refused);
    for n in taken {
        folder.wait_for(&format!("ch_{n}"), "settled").await;
    }
    assert!(running.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_locked_by_somebody_else_is_told_and_opens_when_let_go() {
    let mut world = World::on_file().await;
    let known = customer("cus_A", "acme");
    assert_eq!(world.stripe("customer.created", known).await.0, 200);
    let other = Connection::open(world.dir.path().join("ledger.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let (status, body) = world.stripe_event(&sale(1)).await;
    assert_eq!(status, 503, "{body}");
    let public = world.public("");
    let why = wait(&world.client, &public, 503).await;
    assert!(why.contains("locked by another program"), "{why}");
    // Reading goes on.
    assert!(world.service().app.ledger.summary().await.is_ok());

    other.execute_batch("ROLLBACK").unwrap();
    wait(&world.client, &public, 200).await;
    assert_eq!(world.stripe_event(&sale(1)).await.0, 200);
    world.wait_for("ch_1", "settled").await;
    world.strike().await;
}

/// Overwrites every page of the file, the first from behind its header.
fn spoil(path: &Path) {
    let length = std::fs::metadata(path).unwrap().len();
    let mut file = std::fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(100)).unwrap();
    let garbage = vec![GARBAGE; usize::try_from(length - 100).unwrap()];
    file.write_all(&garbage).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_closes_intake_until_a_backup_is_restored() {
    let mut world = World::on_file().await;
    let known = customer("cus_A", "acme");
    assert_eq!(world.stripe("customer.created", known).await.0, 200);
    assert_eq!(world.stripe_event(&sale(1)).await.0, 200);
    world.wait_for("ch_1", "settled").await;

    // Everything into the file and nothing in anybody's memory.
    let path = world.dir.path().join("ledger.db");
    let backup = world.dir.path().join("backup.db");
    let other = Connection::open(&path).unwrap();
    let write = "INSERT INTO meta (name, value) VALUES ('by_hand', '')";
    other.execute(write, []).unwrap();
    let into_file = "PRAGMA wal_checkpoint(TRUNCATE)";
    let busy: i64 = other.query_row(into_file, [], |row| row.get(0)).unwrap();
    assert_eq!(busy, 0);
    std::fs::copy(&path, &backup).unwrap();
    spoil(&path);

    let (status, body) = world.stripe_event(&sale(2)).await;
    assert_eq!(status, 503, "{body}");
    let public = world.public("");
    let why = wait(&world.client, &public, 503).await;
    assert!(why.contains("damaged"), "{why}");
    // It stays closed: what is written on top of damage could not be believed.
    assert_eq!(world.stripe_event(&sale(3)).await.0, 503);
    assert_eq!(readiness(&world.client, &public).await.0, 503);

    drop(other);
    world.service.take().unwrap().stop().await;
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(world.dir.path().join(name));
    }
    std::fs::copy(&backup, &path).unwrap();
    world.start().await;
    world.wait_for("ch_1", "settled").await;
    assert_eq!(world.stripe_event(&sale(2)).await.0, 200);
    world.wait_for("ch_2", "settled").await;
    world.strike().await;
}

#[tokio::test]
async fn a_file_that_is_damaged_or_no_ledger_is_refused_in_one_line() {
    let bench = bench::Bench::on_file(vec![bench::terms("stripe")]);
    bench.ledger.close().await;
    let path = bench.dir.path().join("other.db");
    let open = || {
        let opening = Opening {
            url: format!("sqlite:{}", path.display()),
            terms: AllTerms::new(),
            clock: bench.clock.clone(),
            report_zone: tributary::day::Zone::utc(),
            serve: true,
        };
        Ledger::open(opening)
            .err()
            .expect("it is refused")
            .to_string()
    };
    std::fs::write(&path, vec![GARBAGE; 8_192]).unwrap();
    let why = open();
    assert!(
        why.contains("not a database") && !why.contains('\n'),
        "{why}"
    );
    std::fs::copy(bench.dir.path().join("ledger.db"), &path).unwrap();
    spoil(&path);
    let why = open();
    assert!(
        why.contains("damaged") || why.contains("malformed"),
        "{why}"
    );
    assert!(!why.contains('\n'), "{why}");
}
