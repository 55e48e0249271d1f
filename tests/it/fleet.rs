//! Several replicas on one database, all at once: whatever they are told together, and
//! whatever happens to their connections and their server meanwhile, they keep the same
//! books as one alone, and no two of them do the same thing.
//!
//! Each replica is a ledger of its own, with its own connections and its own writer, in
//! this process. That processes die is not played here, and the rate that they share is
//! not either. These tests are on PostgreSQL whichever store the run is on, and where
//! there is no server they fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tributary::destination::Outcome;
use tributary::ledger::{Ask, Delivery, Filter, Ledger, LedgerError};
use tributary::movement::{Inquiry, Reading, Subject};

use crate::bench::*;
use crate::cluster::{Cluster, Database, PASSWORD, USER};
use crate::tale::history;

/// Replicas at the same time.
const REPLICAS: usize = 3;
/// Who sends to each of them at the same time.
const SENDERS: usize = 4;
/// Pause before a delivery that was answered with an error is sent again.
const AGAIN: Duration = Duration::from_millis(20);
/// How often a delivery is sent at most: more than a minute of trouble.
const SENT_MOST: u32 = 3_000;

/// All replicas of a bench; its own ledger is the first.
fn replicas(bench: &Bench) -> Vec<Ledger> {
    let others = (1..REPLICAS).map(|_| bench.replica());
    std::iter::once(bench.ledger.clone())
        .chain(others)
        .collect()
}

async fn close(replicas: Vec<Ledger>) {
    for ledger in replicas {
        ledger.close().await;
    }
}

/// No transaction was the victim of another.
fn no_deadlock(database: &Database) {
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(database.ask(deadlocks), ["0"]);
}

/// What a verb answers in the end: a replica may be told that another one was in the
/// way for too long, and comes again.
async fn insist<F, T>(verb: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, LedgerError>>,
{
    for _ in 0..SENT_MOST {
        match verb().await {
            Ok(done) => return done,
            Err(LedgerError::Unavailable(_)) => tokio::time::sleep(AGAIN).await,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the ledger stays closed");
}

/// What the senders of one run share.
struct Feed {
    waiting: Mutex<Vec<Delivery>>,
    acknowledged: AtomicUsize,
    /// How often a delivery was answered with an error and sent again.
    again: AtomicUsize,
}

impl Feed {
    fn of(waiting: Vec<Delivery>) -> Arc<Feed> {
        Arc::new(Feed {
            waiting: Mutex::new(waiting),
            acknowledged: AtomicUsize::new(0),
            again: AtomicUsize::new(0),
        })
    }

    /// All of it to all replicas; each delivery until one of them has acknowledged it,
    /// and never after that, so that what was acknowledged and lost is missed.
    fn pour(self: &Arc<Feed>, replicas: &[Ledger]) -> Vec<tokio::task::JoinHandle<()>> {
        let senders = (0..replicas.len() * SENDERS).map(|number| {
            let (feed, replicas) = (Arc::clone(self), replicas.to_vec());
            tokio::spawn(async move {
                let next = || feed.waiting.lock().unwrap().pop();
                while let Some(delivery) = next() {
                    feed.send(&replicas, number, delivery).await;
                }
            })
        });
        senders.collect()
    }

    async fn send(&self, replicas: &[Ledger], first: usize, delivery: Delivery) {
        for try_number in 0..SENT_MOST {
            // A provider that sends again reaches whichever replica it is given.
            let at = first + usize::try_from(try_number).unwrap();
            let ledger = &replicas[at % replicas.len()];
            match ledger.record(delivery.clone()).await {
                Ok(_) => {
                    self.acknowledged.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                Err(LedgerError::Unavailable(_)) => {
                    self.again.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(AGAIN).await;
                }
                Err(other) => panic!("{other}"),
            }
        }
        panic!("no replica takes a delivery");
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until so many are acknowledged.
    async fn reaches(&self, many: usize) {
        while self.acknowledged() < many {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn ended(senders: Vec<tokio::task::JoinHandle<()>>) {
    for sender in senders {
        sender.await.unwrap();
    }
}

/// Where each payment stands, in all that does not depend on who came first.
async fn books(ledger: &Ledger) -> BTreeMap<String, String> {
    let page = ledger.payments(Filter::default(), 1_000).await.unwrap();
    assert_eq!(page.next_cursor, None, "a page holds them all");
    let mut books = BTreeMap::new();
    for it in page.items {
        let facts = ledger.story(&it.source, &it.payment_id).await.unwrap();
        let standing = format!(
            "{:?} {:?} {:?} {:?} {:?} {}, {} facts",
            it.currency,
            it.gross,
            it.reversed,
            it.net,
            it.customer_key,
            it.state,
            facts.facts.len()
        );
        books.insert(it.payment_id, standing);
    }
    books
}

/// Payments with refunds and disputes, told in any order and partly twice; refunds that
/// name an intent too, whose payment may be known or not.
fn tales(bench: &mut Bench, payments: usize, rng: &mut StdRng) -> Vec<Delivery> {
    let mut told = vec![customer("cus_A", "acme", 1)];
    for number in 0..payments {
        let id = format!("ch_{number}");
        told.extend(history(&id, rng).1);
        let refund = format!("re_{number}_named");
        told.push(refund_of_intent(&format!("pi_{id}"), &refund, 7, 50));
    }
    let mut deliveries: Vec<Delivery> = told
        .into_iter()
        .map(|reading| bench.delivery("stripe", reading))
        .collect();
    let twice: Vec<Delivery> = deliveries
        .iter()
        .filter(|_| rng.random_ratio(1, 3))
        .cloned()
        .collect();
    deliveries.extend(twice);
    deliveries.shuffle(rng);
    deliveries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_replicas_are_told_together_comes_to_what_one_is_told_alone() {
    for seed in 0..4 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut bench = Bench::on_server(vec![terms("stripe")]);
        let mut deliveries = tales(&mut bench, 12, &mut rng);
        let replicas = replicas(&bench);
        let feed = Feed::of(deliveries.clone());
        ended(feed.pour(&replicas)).await;
        assert_eq!(feed.acknowledged(), deliveries.len());
        no_deadlock(bench.database());

        let alone = Bench::in_memory(vec![terms("stripe")]);
        deliveries.shuffle(&mut rng);
        for delivery in deliveries {
            alone.ledger.record(delivery).await.unwrap();
        }
        assert_eq!(
            books(&replicas[1]).await,
            books(&alone.ledger).await,
            "seed {seed}"
        );
        crate::days::agree_briefly(&replicas[2], "the roll-ups").await;
        close(replicas).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_its_customer_and_its_refund_told_at_one_moment_find_each_other() {
    const MOMENTS: u32 = 40;
    let mut bench = Bench::on_server(vec![terms("stripe")]);
    let replicas = replicas(&bench);
    for number in 0..MOMENTS {
        let (id, whose) = (format!("ch_{number}"), format!("cus_{number}"));
        let readings = [
            charge(&id, 1_000, Some(&whose)),
            customer(&whose, "acme", 1),
            refund_of_intent(&format!("pi_{id}"), &format!("re_{number}"), 300, 10),
        ];
        let [paid, linked, returned] = readings.map(|reading| bench.delivery("stripe", reading));
        tokio::join!(
            insist(|| replicas[0].record(paid.clone())),
            insist(|| replicas[1].record(linked.clone())),
            insist(|| replicas[2].record(returned.clone()))
        );
        let payment = bench.payment(&id).await;
        assert_eq!(payment.state, "due", "{payment:?}");
        assert_eq!(payment.customer_key.as_deref(), Some("acme"));
        assert_eq!(payment.net, Some(700), "{payment:?}");
    }
    let states = bench.ledger.summary().await.unwrap().states;
    assert_eq!(
        states,
        BTreeMap::from([("due".to_owned(), i64::from(MOMENTS))])
    );
    no_deadlock(bench.database());
    close(replicas).await;
}

/// Every replica does `next` until none finds anything; what each of them found.
async fn drained<F, T>(replicas: &[Ledger], next: impl Fn(Ledger) -> F) -> Vec<T>
where
    F: Future<Output = Vec<T>> + Send + 'static,
    T: Send + 'static,
{
    let running: Vec<_> = replicas
        .iter()
        .flat_map(|ledger| [ledger.clone(), ledger.clone()])
        .map(|ledger| tokio::spawn(next(ledger)))
        .collect();
    let mut found = Vec::new();
    for one in running {
        found.extend(one.await.unwrap());
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_two_replicas_begin_the_same_call_or_read_back_the_same_row() {
    const PAYMENTS: usize = 60;
    let mut bench = Bench::on_server(vec![terms("stripe")]);
    bench.deliver(customer("cus_A", "acme", 1)).await;
    for number in 0..PAYMENTS {
        let paid = charge(&format!("ch_{number}"), 1_000, Some("cus_A"));
        bench.deliver(paid).await;
    }
    let replicas = replicas(&bench);
    let begun = drained(&replicas, |ledger| async move {
        let mut begun = Vec::new();
        while let Some(one) = insist(|| ledger.begin("ps", Ask::one(1))).await.begun.pop() {
            begun.push(one);
        }
        begun
    })
    .await;
    let ids: BTreeSet<_> = begun.iter().map(|it| it.payment_id.clone()).collect();
    assert_eq!((begun.len(), ids.len()), (PAYMENTS, PAYMENTS));

    // Half of the answers come, each to another replica than the one that called.
    let mut there = There::default();
    for (at, one) in begun.iter().enumerate() {
        there.carry_out(&one.call);
        if at % 2 == 0 {
            let ledger = &replicas[at % REPLICAS];
            let settled = ledger.settle(one.claim, Outcome::Accepted, 0).await;
            settled.unwrap();
        }
    }
    bench.outwait_claims();
    let unknown = drained(&replicas, |ledger| async move {
        let mut unknown = Vec::new();
        loop {
            let some = insist(|| ledger.unknowns("ps", 5)).await;
            if some.is_empty() {
                return unknown;
            }
            unknown.extend(some);
        }
    })
    .await;
    let keys: BTreeSet<_> = unknown.iter().map(|it| it.key.clone()).collect();
    assert_eq!((unknown.len(), keys.len()), (PAYMENTS / 2, PAYMENTS / 2));
    bench.outwait_claims();
    while bench.read_back(&there).await > 0 {}
    bench.run(&mut there).await;
    let states = bench.ledger.summary().await.unwrap().states;
    let settled = i64::try_from(PAYMENTS).unwrap();
    assert_eq!(states, BTreeMap::from([("settled".to_owned(), settled)]));
    assert!(there.rows.values().all(|rows| rows.len() == 1));
    no_deadlock(bench.database());
    close(replicas).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_two_replicas_ask_the_same_question() {
    const QUESTIONS: usize = 40;
    let mut source = terms("stripe");
    source.asks = vec!["payment".to_owned()];
    let mut bench = Bench::on_server(vec![source]);
    for number in 0..QUESTIONS {
        let id = format!("ch_{number}");
        let thin = Reading {
            event: "thin".to_owned(),
            inquiries: vec![Inquiry {
                kind: "payment".to_owned(),
                id: id.clone(),
                about: Some(Subject::Payment(id)),
            }],
            ..Reading::default()
        };
        bench.deliver(thin).await;
    }
    let replicas = replicas(&bench);
    let asked = drained(&replicas, |ledger| async move {
        let mut asked = Vec::new();
        while let Some(one) = insist(|| ledger.ask("stripe")).await {
            asked.push(one.inquiry);
        }
        asked
    })
    .await;
    let different: BTreeSet<_> = asked.iter().collect();
    assert_eq!((asked.len(), different.len()), (QUESTIONS, QUESTIONS));
    close(replicas).await;
}

#[tokio::test]
async fn without_the_row_that_keeps_writers_apart_nothing_is_written() {
    let mut bench = Bench::on_server(vec![terms("stripe")]);
    bench.deliver(charge("ch_1", 1_000, None)).await;
    bench
        .database()
        .run("DELETE FROM meta WHERE name = 'writer'");
    let refused = bench.try_deliver(charge("ch_2", 1_000, None)).await;
    let error = refused.unwrap_err();
    assert!(error.to_string().contains("writers"), "{error}");
    assert!(bench.ledger.health().is_err());
    let states = bench.ledger.summary().await.unwrap().states;
    assert_eq!(states.values().sum::<i64>(), 1);
    bench.ledger.close().await;
}

/// Payments of one delivery each, so that each that was acknowledged is one to find.
fn sales(bench: &mut Bench, many: usize) -> Vec<Delivery> {
    (0..many)
        .map(|number| bench.delivery("stripe", charge(&format!("ch_{number}"), 1_000, None)))
        .collect()
}

/// Every sale is there, once.
async fn holds(ledger: &Ledger, many: usize) {
    let states = ledger.summary().await.unwrap().states;
    let many = i64::try_from(many).unwrap();
    assert_eq!(states, BTreeMap::from([("unattributed".to_owned(), many)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_cut_at_any_moment_lose_nothing_that_was_acknowledged() {
    const SALES: usize = 400;
    let mut bench = Bench::on_server(vec![terms("stripe")]);
    let sales = sales(&mut bench, SALES);
    let replicas = replicas(&bench);
    let feed = Feed::of(sales);
    let senders = feed.pour(&replicas);
    let mut cut = 0;
    let cuts = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.5";
    for step in 1..10 {
        feed.reaches(SALES * step / 10).await;
        cut += bench.database().ask(cuts).len();
    }
    ended(senders).await;
    let again = feed.again.load(Ordering::SeqCst);
    assert!(cut > 0 && again > 0, "{cut} cut, {again} sent again");
    holds(&replicas[0], SALES).await;
    crate::days::agree_briefly(&replicas[1], "the roll-ups").await;
    no_deadlock(bench.database());
    close(replicas).await;
}

/// Replicas on servers of the test's own, whose URL names each of them.
fn on_servers(bench: &Bench, servers: &[&Cluster]) -> Vec<Ledger> {
    let hosts: Vec<String> = servers
        .iter()
        .map(|server| format!("127.0.0.1:{}", server.port))
        .collect();
    let url = format!("postgres://{USER}:{PASSWORD}@{}/postgres", hosts.join(","));
    let open = |_| opened(&url, &bench.clock, &bench.terms, true);
    (0..REPLICAS).map(open).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_killed_under_load_loses_nothing_that_was_acknowledged() {
    const SALES: usize = 300;
    let server = Cluster::start(&[]);
    let mut bench = Bench::new();
    let replicas = on_servers(&bench, &[&server]);
    let feed = Feed::of(sales(&mut bench, SALES));
    let senders = feed.pour(&replicas);
    for step in 1..4 {
        feed.reaches(SALES * step / 4).await;
        server.kill();
        server.resume();
    }
    ended(senders).await;
    assert!(feed.again.load(Ordering::SeqCst) > 0);
    holds(&replicas[2], SALES).await;
    close(replicas).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_go_on_with_the_standby_when_the_primary_is_gone() {
    const SALES: usize = 200;
    let primary = Cluster::start(&["synchronous_standby_names=*"]);
    let standby = primary.follow();
    let follows = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    while crate::cluster::run(&primary.url("postgres"), follows).unwrap() != ["1"] {
        tokio::time::sleep(AGAIN).await;
    }
    let mut bench = Bench::new();
    let replicas = on_servers(&bench, &[&primary, &standby]);
    let feed = Feed::of(sales(&mut bench, SALES));
    let senders = feed.pour(&replicas);
    feed.reaches(SALES / 2).await;
    primary.kill();
    standby.promote();
    ended(senders).await;
    assert!(feed.again.load(Ordering::SeqCst) > 0);
    holds(&replicas[1], SALES).await;
    let payments = "SELECT count(*) FROM payments";
    let there = crate::cluster::run(&standby.url("postgres"), payments).unwrap();
    assert_eq!(there, [SALES.to_string()]);
    close(replicas).await;
}
