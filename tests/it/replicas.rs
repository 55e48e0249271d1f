//! Several processes on one PostgreSQL: one rate for all of them, and nothing twice.
//! There is no test without a server here; where none is installed they fail.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;

use tributary::destination::{Budget as _, Rate, Slot};
use tributary::ledger::{AllTerms, Ledger, Opening};
use tributary::time::{Clock, Time};

use crate::bench::terms;
use crate::binary::{Folder, client, post};
use crate::cluster::{Cluster, Database, run};
use crate::crash::{self, Tale};
use crate::world::{SECRET, charge, customer, event, refund};

/// The server's time in microseconds.
const NOW: &str =
    "SELECT CAST(CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) AS TEXT)";
const NEXT: &str = "SELECT CAST(next_at AS TEXT) FROM rates WHERE destination = 'ps'";

const SECOND_US: i64 = 1_000_000;

/// How many processes, and for how many seconds, unless a person asks for more.
const REPLICAS: u64 = 2;
const REPLICAS_VARIABLE: &str = "TRIBUTARY_CRASH_REPLICAS";
const SECONDS: u64 = 20;
const SECONDS_VARIABLE: &str = "TRIBUTARY_CRASH_SECONDS";
/// Who sends to each of them at the same time.
const SENDERS: usize = 3;
/// Payments that are told of in a second; each takes two or three calls.
const PAYMENTS_A_SECOND: u64 = 10;
/// Calls in a second by all of them, and at once.
const RATE: u32 = 50;
const BURST: u32 = 10;

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
        assert_eq!(replica.slot("ps", ten).await, Ok(Slot::Paused(Time(until))));
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

/// Milliseconds on a clock that nobody sets.
fn boot_ms() -> i64 {
    Clock::Machine.read().boot_ms
}

/// Asks for what `what` says until it holds.
async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..STEPS {
        if holds() {
            return;
        }
        tokio::time::sleep(STEP).await;
    }
    panic!("{what}");
}

/// A destination that says "later" to one process hears of no other until then,
/// whatever call it was, and whether or not it named a time.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_service_was_asked_for_the_other_obeys() {
    // What is refused, after which faults, and for how long in milliseconds.
    let cases: [(&str, &[&str], i64); 3] = [
        ("POST", &["429:5@POST=next:1"], 5_000),
        ("POST", &["429:none@POST=next:1"], 2_000),
        (
            "GET",
            &["drop-after@POST=next:1", "429:5@GET=next:1"],
            5_000,
        ),
    ];
    for (refused, faults, pause_ms) in cases {
        let database = Database::new();
        let mut folder = Folder::new().await;
        folder.set("TRIBUTARY__LEDGER__URL", &database.url);
        folder.set("TRIBUTARY__DESTINATIONS__PS__REQUESTS_PER_SECOND", "20");
        folder.set("TRIBUTARY__DESTINATIONS__PS__BURST", "1");
        let services = [folder.serve().await, folder.serve().await];
        let client = client();
        let linked = event("evt_c", "customer.created", customer("cus_A", "acme"));
        services[0].deliver(&client, SECRET, &linked).await.unwrap();
        for n in 0..200 {
            let sale = charge(&format!("ch_{n}"), 1000, Some("cus_A"));
            let sale = event(&format!("evt_{n}"), "charge.succeeded", sale);
            let answer = services[n % 2].deliver(&client, SECRET, &sale).await;
            assert_eq!(answer.unwrap().0, 200);
        }
        wait_until("both call", || folder.sandbox.requests().len() > 20).await;
        let faults = faults.iter().map(|fault| fault.parse().unwrap());
        folder.sandbox.set_faults(faults.collect());
        let mut at = None;
        wait_until("it is refused", || {
            let calls = folder.sandbox.requests();
            let first = calls.iter().find(|call| call.status == Some(429));
            at = first.map(|call| (call.at_ms, call.method.clone()));
            at.is_some()
        })
        .await;
        let (at, method) = at.unwrap();
        assert_eq!(method.as_str(), refused);
        wait_until("it is called again", || {
            let calls = folder.sandbox.requests();
            calls.iter().any(|call| call.at_ms >= at + pause_ms)
        })
        .await;
        // Who had a permit when the answer came may still have used it.
        let known_by = at + 1_000;
        let early = |at_ms| (known_by..at + pause_ms).contains(&at_ms);
        let calls = folder.sandbox.requests();
        let early = calls.iter().filter(|call| early(call.at_ms)).count();
        assert_eq!(early, 0, "{refused}: calls before {pause_ms} ms were over");
        for service in services {
            assert_eq!(service.terminate().code(), Some(0));
        }
    }
}

/// A service that waits for its turn, because its destination asked for a pause, ends at
/// once when it is told to.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_destination_is_paused_ends_at_once() {
    let database = Database::new();
    let mut folder = Folder::new().await;
    folder.set("TRIBUTARY__LEDGER__URL", &database.url);
    let service = folder.serve().await;
    database.run(&format!(
        "INSERT INTO destinations (name, paused_until) VALUES ('ps', {0})
         ON CONFLICT (name) DO UPDATE SET paused_until = {0}",
        Clock::Machine.now().ms() + 3_600_000
    ));
    let client = client();
    let linked = event("evt_c", "customer.created", customer("cus_A", "acme"));
    service.deliver(&client, SECRET, &linked).await.unwrap();
    let sale = event(
        "evt_1",
        "charge.succeeded",
        charge("ch_1", 1000, Some("cus_A")),
    );
    service.deliver(&client, SECRET, &sale).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(folder.sandbox.requests().len(), 0);
    let told = boot_ms();
    assert_eq!(service.terminate().code(), Some(0));
    let took = boot_ms() - told;
    assert!(took < 4_000, "calls are cut only after five seconds");
    // Whoever compares is told, and asks nobody.
    let ran = folder.expect(1, &["reconcile"]);
    assert!(ran.err.contains("asked to be left alone"), "{ran:?}");
    assert_eq!(folder.sandbox.requests().len(), 0);
}

/// Where each process listens, who sends to them, and when that is over.
struct Crowd {
    at: Mutex<Vec<String>>,
    tale: Mutex<Tale>,
    over: CancellationToken,
}

/// Sends to one place until it is over, whoever listens there.
async fn pour(crowd: Arc<Crowd>, place: usize) {
    let client = client();
    while !crowd.over.is_cancelled() {
        let Some(event) = crowd.tale.lock().unwrap().next() else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let public = crowd.at.lock().unwrap()[place].clone();
        let answer = post(&client, &public, SECRET, &event).await;
        let status = answer.map(|(status, _)| status);
        crowd.tale.lock().unwrap().answered(event, status);
        if status != Some(200) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Tells what a statement finds where the test fails.
struct Told<'a>(&'a str, &'a str);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:#?}", run(self.0, self.1));
        }
    }
}

/// What was done to them.
#[derive(Debug, Default)]
struct Harm {
    kills: u32,
    restarts: u32,
    cut: usize,
    failovers: u32,
}

/// The most calls that began in any time of this many milliseconds.
fn most_within(times: &[i64], ms: i64) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, at) in times.iter().enumerate() {
        while at - times[first] >= ms {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// Real processes on one PostgreSQL that a standby follows, under load, with a
/// destination that misbehaves. All the time one of them is killed and started again, or
/// all connections are cut, or the server is killed and started again; half-way the
/// server is gone for good and the standby takes over.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_and_their_server_killed_at_any_moment_lose_nothing_and_pay_nothing_twice() {
    let many = crash::number(REPLICAS_VARIABLE).unwrap_or(REPLICAS);
    let many = usize::try_from(many).unwrap();
    let seconds = crash::number(SECONDS_VARIABLE).unwrap_or(SECONDS);
    let seed = crash::number(crash::SEED_VARIABLE).unwrap_or_else(rand::random);
    eprintln!(
        "{}={seed} {REPLICAS_VARIABLE}={many} {SECONDS_VARIABLE}={seconds}",
        crash::SEED_VARIABLE
    );
    let mut dice = StdRng::seed_from_u64(seed ^ 2);
    let primary = Cluster::start(&["synchronous_standby_names=*"]);
    let standby = primary.follow();
    let follows = "SELECT count(*)::text FROM pg_stat_replication WHERE sync_state = 'sync'";
    wait_until("the standby follows", || {
        run(&primary.url("postgres"), follows).unwrap() == ["1"]
    })
    .await;
    let mut folder = crash::faulty(&mut dice).await;
    let url = Cluster::url_of(&[&primary, &standby], "postgres");
    folder.set("TRIBUTARY__LEDGER__URL", &url);
    let rate = RATE.to_string();
    folder.set("TRIBUTARY__DESTINATIONS__PS__REQUESTS_PER_SECOND", &rate);
    let burst = BURST.to_string();
    folder.set("TRIBUTARY__DESTINATIONS__PS__BURST", &burst);
    let mut running = Vec::new();
    for _ in 0..many {
        running.push(folder.serve().await);
    }
    let crowd = Arc::new(Crowd {
        at: Mutex::new(running.iter().map(|it| it.public.clone()).collect()),
        tale: Mutex::new(Tale::new(seed)),
        over: CancellationToken::new(),
    });
    let places = (0..many).flat_map(|place| (0..SENDERS).map(move |_| place));
    let senders: Vec<_> = places
        .map(|place| tokio::spawn(pour(Arc::clone(&crowd), place)))
        .collect();
    let (mut harm, mut server) = (Harm::default(), &primary);
    let began = boot_ms();
    let elapsed_s = || u64::try_from((boot_ms() - began) / 1_000).unwrap();
    while elapsed_s() < seconds {
        let payments = (elapsed_s() + 2) * PAYMENTS_A_SECOND;
        crowd.tale.lock().unwrap().payments_most = payments;
        let mut live = || Duration::from_millis(dice.random_range(crash::LIFE_MS));
        tokio::time::sleep(live()).await;
        if harm.failovers == 0 && elapsed_s() >= seconds / 2 {
            primary.kill();
            standby.promote();
            server = &standby;
            harm.failovers += 1;
            continue;
        }
        let (pause, which) = (live() / 4, dice.random_range(0..many));
        match dice.random_range(0..10) {
            0 => {
                server.kill();
                tokio::time::sleep(pause).await;
                server.resume();
                harm.restarts += 1;
            }
            1 | 2 => {
                let others = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
                     WHERE application_name = 'tributary' AND pid <> pg_backend_pid()";
                harm.cut += run(&server.url("postgres"), others).unwrap().len();
            }
            _ => {
                let one = &mut running[which];
                one.kill();
                assert!(!one.log().contains("panicked"), "{}", one.log());
                tokio::time::sleep(pause).await;
                *one = folder.serve().await;
                crowd.at.lock().unwrap()[which] = one.public.clone();
                harm.kills += 1;
            }
        }
    }
    crowd.over.cancel();
    for sender in senders {
        sender.await.unwrap();
    }
    folder.sandbox.set_faults(Vec::new());
    let crowd = Arc::into_inner(crowd).unwrap();
    let tale = Arc::new(crowd.tale);
    crash::send(running[0].public.clone(), Arc::clone(&tale), true).await;
    // The claims of those who died run out, also those that are somebody's by now, and
    // who was answered badly again and again need not wait for an hour: neither is what
    // keeps a payment safe.
    let out = "UPDATE payments SET due_at = 0 WHERE turn > 0";
    run(&server.url("postgres"), out).unwrap();
    let open = "SELECT concat_ws(' ', payment_id, state, turn, due_at, tries, claim, reason, tried)
        FROM payments WHERE state <> 'settled'";
    let url_now = server.url("postgres");
    let told = Told(&url_now, open);
    let tale = Arc::into_inner(tale).unwrap().into_inner().unwrap();
    let acknowledged = crash::check(&folder, &url, tale).await;
    drop(told);
    folder.expect(0, &["reconcile"]);
    for one in running {
        assert_eq!(one.terminate().code(), Some(0));
    }
    let mut times: Vec<i64> = folder
        .sandbox
        .requests()
        .iter()
        .map(|it| it.at_ms)
        .collect();
    times.sort_unstable();
    let (second, ten) = (most_within(&times, 1_000), most_within(&times, 10_000));
    eprintln!(
        "{harm:?}; {acknowledged} deliveries answered 200; lost 0, twice 0; {} calls, at most \
         {second} in a second and {ten} in ten",
        times.len()
    );
    // A call begins when its slot comes or a moment later, so that a window holds those of
    // a little more than its time.
    let late = RATE as usize;
    assert!(
        ten <= 10 * RATE as usize + BURST as usize + late,
        "{ten} calls in ten seconds"
    );
}
