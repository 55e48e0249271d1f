//! Several processes on one PostgreSQL: one rate for all of them, and nothing twice.
//! There is no test without a server here; where none is installed they fail.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use tributary::destination::{Budget as _, Rate, Slot};
use tributary::ledger::{AllTerms, Ledger, Opening};
use tributary::time::Clock;

use crate::bench::terms;
use crate::binary::{Folder, client};
use crate::cluster::{Cluster, Database, run};
use crate::crash::{self, Tale};
use crate::world::{SECRET, charge, customer, event, refund};

/// The server's time in microseconds.
const NOW: &str =
    "SELECT CAST(CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) AS TEXT)";
const NEXT: &str = "SELECT CAST(next_at AS TEXT) FROM rates WHERE destination = 'ps'";

const SECOND_US: i64 = 1_000_000;

/// Rounds of kills unless a person asks for more, as for one process.
const ROUNDS: u32 = 3;
/// Who sends to each of two processes at the same time.
const SENDERS: u64 = 3;

/// How often a payment is looked at, and how many times.
const STEP: Duration = Duration::from_millis(100);
const STEPS: u32 = 600;

fn number(database: &Database, sql: &str) -> i64 {
    database.ask(sql)[0].parse().unwrap()
}

fn opened(database: &Database) -> Ledger {
    Ledger::open(Opening {
        url: database.url.clone(),
        terms: AllTerms::from([("stripe".to_owned(), terms("stripe"))]),
        report_zone: tributary::day::Zone::utc(),
        clock: Clock::Machine,
        serve: true,
    })
    .unwrap()
}

fn rate(per_second: u32, burst: u32) -> Rate {
    Rate {
        per_second: NonZeroU32::new(per_second).unwrap(),
        burst: NonZeroU32::new(burst).unwrap(),
    }
}

/// However many ask, each slot is handed out once and lies behind the one before.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_take_slots_of_one_rate() {
    let database = Database::new();
    let replicas: Vec<Ledger> = (0..4).map(|_| opened(&database)).collect();
    let twenty = rate(20, 5);
    replicas[0].slot("ps", twenty).await.unwrap();
    // Far ahead, so that how fast this machine asks changes nothing.
    let ahead = number(&database, NOW) + 3_600 * SECOND_US;
    database.run(&format!("UPDATE rates SET next_at = {ahead}"));
    let asking: Vec<_> = replicas
        .iter()
        .cloned()
        .map(|replica| {
            tokio::spawn(async move {
                for _ in 0..30 {
                    let slot = replica.slot("ps", twenty).await.unwrap();
                    assert!(
                        matches!(slot, Slot::After(wait) if !wait.is_zero()),
                        "{slot:?}"
                    );
                }
            })
        })
        .collect();
    for asked in asking {
        asked.await.unwrap();
    }
    assert_eq!(number(&database, NEXT), ahead + 4 * 30 * SECOND_US / 20);
    // Who waits no longer gives nothing back and takes nothing more.
    drop(replicas);
    assert_eq!(number(&database, NEXT), ahead + 120 * SECOND_US / 20);
}

/// After a pause so many calls may be made at once as one process may make, by all of
/// them together.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_one_burst() {
    let database = Database::new();
    let replicas = [opened(&database), opened(&database)];
    let slow = rate(1, 5);
    let (before, first) = (number(&database, NOW), replicas[0].slot("ps", slow).await);
    assert_eq!(first, Ok(Slot::After(Duration::ZERO)));
    let (next, after) = (number(&database, NEXT), number(&database, NOW));
    let spent = (before - 3 * SECOND_US)..=(after - 3 * SECOND_US);
    assert!(spent.contains(&next), "one of five: {next} in {spent:?}");
    for replica in [1, 0, 1, 0] {
        let slot = replicas[replica].slot("ps", slow).await;
        assert_eq!(slot, Ok(Slot::After(Duration::ZERO)));
    }
    assert_eq!(number(&database, NEXT), next + 4 * SECOND_US);
    // A long pause leaves no more than one burst.
    database.run("UPDATE rates SET next_at = 7");
    replicas[1].slot("ps", slow).await.unwrap();
    assert!(number(&database, NEXT) >= after - 3 * SECOND_US);
}

/// What one replica was asked for, all obey; nothing is taken meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_one_was_asked_for_is_obeyed_by_all() {
    let database = Database::new();
    let replicas = [opened(&database), opened(&database)];
    let ten = rate(10, 1);
    replicas[0].slot("ps", ten).await.unwrap();
    let next = number(&database, NEXT);
    let until = number(&database, NOW) / 1000 + 3_600_000;
    database.run(&format!(
        "INSERT INTO destinations (name, paused_until) VALUES ('ps', {until})"
    ));
    for replica in &replicas {
        assert_eq!(replica.slot("ps", ten).await, Ok(Slot::Paused));
    }
    assert_eq!(number(&database, NEXT), next);
    // Others are not meant.
    assert!(matches!(
        replicas[1].slot("other", ten).await,
        Ok(Slot::After(_))
    ));
    database.run("UPDATE destinations SET paused_until = 0");
    assert!(matches!(
        replicas[1].slot("ps", ten).await,
        Ok(Slot::After(_))
    ));
}

/// Without the database nobody gets a permit, and it is there again with it.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_no_slot_is_given() {
    let server = crate::cluster::Cluster::start(&[]);
    let url = server.url("postgres");
    let ledger = Ledger::open(Opening {
        url,
        terms: AllTerms::from([("stripe".to_owned(), terms("stripe"))]),
        report_zone: tributary::day::Zone::utc(),
        clock: Clock::Machine,
        serve: true,
    })
    .unwrap();
    let ten = rate(10, 1);
    assert!(matches!(ledger.slot("ps", ten).await, Ok(Slot::After(_))));
    server.kill();
    let why = ledger.slot("ps", ten).await.unwrap_err();
    assert!(!why.is_empty() && !why.contains("postgres://"), "{why}");
    server.resume();
    assert!(matches!(ledger.slot("ps", ten).await, Ok(Slot::After(_))));
}

/// Two real processes take the webhooks of one source and forward them; one of them is
/// ended in order in the midst of it.
#[tokio::test(flavor = "multi_thread")]
async fn two_services_on_one_database_forward_each_payment_once() {
    let database = Database::new();
    let mut folder = Folder::new().await;
    folder.set("TRIBUTARY__LEDGER__URL", &database.url);
    let (first, second) = (folder.serve().await, folder.serve().await);
    let client = client();
    let linked = customer("cus_A", "acme");
    let linked = event("evt_c", "customer.created", linked);
    assert_eq!(
        first.deliver(&client, SECRET, &linked).await.unwrap().0,
        200
    );
    let mut told = Vec::new();
    for n in 0..60 {
        let id = format!("ch_{n}");
        let sale = charge(&id, 1000 + n, Some("cus_A"));
        told.push(event(&format!("evt_{id}"), "charge.succeeded", sale));
        if n % 3 == 0 {
            let back = refund(&format!("re_{n}"), &id, 100);
            told.push(event(&format!("evt_re_{n}"), "refund.created", back));
        }
    }
    let (some, others) = told.split_at(told.len() / 2);
    for event in some {
        // Both are told, as by a provider that sends again.
        for replica in [&first, &second] {
            let answer = replica.deliver(&client, SECRET, event).await.unwrap();
            assert_eq!(answer.0, 200, "{answer:?}");
        }
    }
    assert_eq!(first.terminate().code(), Some(0));
    for event in others {
        let answer = second.deliver(&client, SECRET, event).await.unwrap();
        assert_eq!(answer.0, 200, "{answer:?}");
    }
    let expected: i64 = (0..60)
        .map(|n| 1000 + n - i64::from(n % 3 == 0) * 100)
        .sum();
    let rows = || {
        let rows = folder.sandbox.transactions();
        rows.into_iter()
            .filter(|row| !row.archived)
            .collect::<Vec<_>>()
    };
    for step in 0.. {
        let states = folder.json(&["payments", "--limit", "100"]);
        let items = states["items"].as_array().unwrap();
        if items.len() == 60 && items.iter().all(|it| it["state"] == "settled") {
            break;
        }
        assert!(step < STEPS, "{states}");
        tokio::time::sleep(STEP).await;
    }
    assert_eq!(rows().iter().map(|row| row.amount).sum::<i64>(), expected);
    let mut keys: Vec<String> = rows().into_iter().map(|row| row.key).collect();
    let many = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), many, "no key stands twice");
    folder.expect(0, &["reconcile"]);
    folder.expect(0, &["check"]);
    let exported = folder.expect(0, &["export"]);
    assert_eq!(exported.out.lines().count(), 1 + 80, "sales and refunds");
    let report = folder.json(&["report", "--by", "source"]);
    assert_eq!(report["items"][0]["net"], expected);
    assert_eq!(second.terminate().code(), Some(0));
}

/// Two real processes on one PostgreSQL under load. In each round the server is killed
/// and started again, or all connections are cut, or neither; then one process is killed
/// after the other.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_and_their_server_killed_at_any_moment_lose_nothing_and_pay_nothing_twice() {
    let rounds = crash::number(crash::ROUNDS_VARIABLE).unwrap_or_else(|| ROUNDS.into());
    let seed = crash::number(crash::SEED_VARIABLE).unwrap_or_else(rand::random);
    eprintln!(
        "{}={seed} {}={rounds}",
        crash::SEED_VARIABLE,
        crash::ROUNDS_VARIABLE
    );
    let mut dice = StdRng::seed_from_u64(seed ^ 2);
    let server = Cluster::start(&[]);
    let url = server.url("postgres");
    let mut folder = crash::faulty(&mut dice).await;
    folder.set("TRIBUTARY__LEDGER__URL", &url);
    let tale = Arc::new(Mutex::new(Tale::new(seed)));
    let (mut restarts, mut cuts) = (0, 0);
    for round in 1..=rounds {
        tale.lock().unwrap().payments_most = round * crash::PAYMENTS_A_ROUND;
        let mut replicas = [folder.serve().await, folder.serve().await];
        let mut senders = Vec::new();
        for replica in &replicas {
            for _ in 0..SENDERS {
                let sending = crash::send(replica.public.clone(), Arc::clone(&tale), false);
                senders.push(tokio::spawn(sending));
            }
        }
        let mut live = || Duration::from_millis(dice.random_range(crash::LIFE_MS));
        tokio::time::sleep(live()).await;
        match round % 3 {
            1 => {
                server.kill();
                tokio::time::sleep(live() / 2).await;
                server.resume();
                restarts += 1;
            }
            2 => {
                let others = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
                     WHERE application_name = 'tributary' AND pid <> pg_backend_pid()";
                cuts += run(&url, others).unwrap().len();
            }
            _ => {}
        }
        for replica in &mut replicas {
            tokio::time::sleep(live()).await;
            replica.kill();
            assert!(!replica.log().contains("panicked"), "{}", replica.log());
        }
        for sender in senders {
            sender.await.unwrap();
        }
    }
    let running = folder.serve().await;
    folder.sandbox.set_faults(Vec::new());
    crash::send(running.public.clone(), Arc::clone(&tale), true).await;
    // The claims of those who died run out, also those that are somebody's by now:
    // a claim is not what keeps a payment safe.
    let out = "UPDATE payments SET due_at = 0 WHERE claim IS NOT NULL";
    run(&url, out).unwrap();
    let tale = Arc::into_inner(tale).unwrap().into_inner().unwrap();
    let acknowledged = crash::check(&folder, &url, tale).await;
    folder.expect(0, &["reconcile"]);
    assert_eq!(running.terminate().code(), Some(0));
    eprintln!(
        "{} kills, the server {restarts} times, {cuts} connections cut; {acknowledged} deliveries answered 200; lost 0, twice 0",
        2 * rounds
    );
}
