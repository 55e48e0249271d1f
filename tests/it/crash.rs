//! The real binary, killed at random moments under load: nothing that was
//! answered 200 is lost, and nothing is paid twice.
//!
//! What dies is the process, not the machine: a power cut is not played here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tributary::app::App;
use tributary::config::{Config, Env};
use tributary::ledger::Filter;
use tributary::sandbox::{CreatedAt, Duplicates};
use tributary::time::Clock;

use crate::binary::{Folder, client, post};
use crate::world::{SECRET, charge, customer, event, refund};

/// How often the service is killed unless [`ROUNDS_VARIABLE`] says otherwise.
const ROUNDS: u32 = 12;
pub const ROUNDS_VARIABLE: &str = "TRIBUTARY_CRASH_ROUNDS";
pub const SEED_VARIABLE: &str = "TRIBUTARY_CRASH_SEED";
/// Who sends at the same time.
const SENDERS: u64 = 6;
/// Payments in a round at most, so that the end is near.
pub const PAYMENTS_A_ROUND: u64 = 100;
/// How long a service lives, in milliseconds.
pub const LIFE_MS: std::ops::Range<u64> = 50..800;
/// How long nothing may settle at the end while something is open, in steps of 100 ms.
const SETTLE_STEPS: u32 = 400;
const CUSTOMERS: u64 = 6;

/// The policies under which the destination ends at the net; no more than that
/// is expected here, however it comes about.
const POLICIES: [&str; 2] = ["negative", "replace"];
/// What no document says of the destination; it must come out right under all.
const DUPLICATES: [Duplicates; 4] = [
    Duplicates::SecondRow,
    Duplicates::Conflict409,
    Duplicates::Refused400,
    Duplicates::SameRow,
];
const CREATED_AT: [CreatedAt; 2] = [CreatedAt::Honour, CreatedAt::ServerTime];

const FAULTS: [&str; 7] = [
    "latency:5-30=100%",
    "drop-after=5%",
    "500-after=5%",
    "drop-before=1%",
    "429:0=2%",
    "429:1=0.2%",
    "lag:200@POST=5%",
];

/// What is sent, what was answered, and what it must come to.
pub struct Tale {
    rng: StdRng,
    payments: u64,
    pub payments_most: u64,
    waiting: Vec<Value>,
    acknowledged: Vec<Value>,
    sent: u64,
    expected: BTreeMap<String, i64>,
}

impl Tale {
    pub fn new(seed: u64) -> Tale {
        let links = (0..CUSTOMERS).map(|n| {
            let key = if n % 2 == 0 { "acme" } else { "globex" };
            event(
                &format!("evt_cus_{n}"),
                "customer.created",
                customer(&format!("cus_{n}"), key),
            )
        });
        Tale {
            rng: StdRng::seed_from_u64(seed),
            payments: 0,
            payments_most: 0,
            waiting: links.collect(),
            acknowledged: Vec::new(),
            sent: 0,
            expected: BTreeMap::new(),
        }
    }

    /// A sale, often with refunds, whose events come in any order.
    fn invent(&mut self) {
        let n = self.payments;
        self.payments += 1;
        let id = format!("ch_{n}");
        let gross = self.rng.random_range(100..100_000);
        let whose = format!("cus_{}", self.rng.random_range(0..CUSTOMERS));
        let mut told = vec![event(
            &format!("evt_{n}"),
            "charge.succeeded",
            charge(&id, gross, Some(&whose)),
        )];
        let mut net = gross;
        for part in 0..self.rng.random_range(0..3) {
            let all = self.rng.random_range(0..3) == 0;
            let back = if all { net } else { net / 3 };
            if back == 0 {
                continue;
            }
            net -= back;
            told.push(event(
                &format!("evt_{n}_{part}"),
                "refund.created",
                refund(&format!("re_{n}_{part}"), &id, back),
            ));
        }
        self.expected.insert(id, net);
        self.waiting.extend(told);
    }

    /// The next event to send; now and then one that was answered before.
    pub fn next(&mut self) -> Option<Value> {
        let again = self.rng.random_range(0..6) == 0;
        if again && !self.acknowledged.is_empty() {
            let index = self.rng.random_range(0..self.acknowledged.len());
            return Some(self.acknowledged[index].clone());
        }
        if self.waiting.len() < 10 && self.payments < self.payments_most {
            self.invent();
        }
        match self.waiting.len() {
            0 => None,
            many => {
                let index = self.rng.random_range(0..many);
                Some(self.waiting.swap_remove(index))
            }
        }
    }

    pub fn answered(&mut self, event: Value, status: Option<u16>) {
        self.sent += 1;
        match status {
            Some(200) => self.acknowledged.push(event),
            other => {
                assert!(
                    other.is_none_or(|status| status == 503),
                    "{other:?} {event}"
                );
                if !self.acknowledged.contains(&event) {
                    self.waiting.push(event);
                }
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long this test runs is no part of the product's configuration"
)]
pub fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_killed_at_any_moment_loses_nothing_and_pays_nothing_twice() {
    let rounds = number(ROUNDS_VARIABLE).unwrap_or_else(|| ROUNDS.into());
    let seed = number(SEED_VARIABLE).unwrap_or_else(rand::random);
    eprintln!("{SEED_VARIABLE}={seed} {ROUNDS_VARIABLE}={rounds}");
    let mut dice = StdRng::seed_from_u64(seed ^ 1);
    let folder = faulty(&mut dice).await;
    let tale = Arc::new(Mutex::new(Tale::new(seed)));
    let mut caught = 0;
    for round in 1..=rounds {
        tale.lock().unwrap().payments_most = round * PAYMENTS_A_ROUND;
        let mut running = folder.serve().await;
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| tokio::spawn(send(running.public.clone(), Arc::clone(&tale), false)))
            .collect();
        tokio::time::sleep(Duration::from_millis(dice.random_range(LIFE_MS))).await;
        running.kill();
        assert!(!running.log().contains("panicked"), "{}", running.log());
        caught += under_way(&folder);
        for sender in senders {
            sender.await.unwrap();
        }
    }
    // Whoever got no answer sends again, as providers do.
    let running = folder.serve().await;
    folder.sandbox.set_faults(Vec::new());
    send(running.public.clone(), Arc::clone(&tale), true).await;
    let tale = Arc::into_inner(tale).unwrap().into_inner().unwrap();
    let (payments, sent) = (tale.expected.len(), tale.sent);
    let url = format!("sqlite:{}", folder.path("ledger.db").display());
    let acknowledged = check(&folder, &url, tale).await;
    // The destination's own list agrees, by the command that people use.
    folder.expect(0, &["reconcile"]);
    assert_eq!(running.terminate().code(), Some(0));
    let calls = folder.sandbox.requests();
    let faults = calls.iter().filter(|call| call.fault.is_some()).count();
    eprintln!(
        "{rounds} kills, {caught} calls under way; {sent} deliveries sent, {acknowledged} answered 200; {payments} payments; \
         {} calls, {faults} of them faulty; lost 0, twice 0",
        calls.len()
    );
}

/// A folder whose destination behaves in one of the ways that no document rules out,
/// and is faulty.
pub async fn faulty(dice: &mut StdRng) -> Folder {
    let policy = POLICIES[dice.random_range(0..POLICIES.len())];
    let duplicates = DUPLICATES[dice.random_range(0..DUPLICATES.len())];
    let created_at = CREATED_AT[dice.random_range(0..CREATED_AT.len())];
    eprintln!("{policy}, {duplicates:?}, {created_at:?}");
    // A file, or what `replicas.rs` names: a service alone on its ledger dies here.
    let folder = Folder::on_file_with(&format!("partial_refunds = \"{policy}\"")).await;
    folder.sandbox.adjust(|settings| {
        settings.duplicates = duplicates;
        settings.created_at = created_at;
    });
    let faults = FAULTS.map(|fault| fault.parse().unwrap()).to_vec();
    folder.sandbox.set_faults(faults);
    folder
}

/// Sends until the service is gone or nothing is left.
pub async fn send(public: String, tale: Arc<Mutex<Tale>>, all: bool) {
    let client = client();
    loop {
        let next = {
            let mut tale = tale.lock().unwrap();
            match all && tale.waiting.is_empty() {
                true => return,
                false => tale.next(),
            }
        };
        let Some(event) = next else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if refused(&public).await {
                return;
            }
            continue;
        };
        let status = post(&client, &public, SECRET, &event)
            .await
            .map(|(status, _)| status);
        let gone = status.is_none() && refused(&public).await;
        tale.lock().unwrap().answered(event, status);
        if gone {
            assert!(!all, "the service is gone");
            return;
        }
    }
}

/// How many calls a service that died had begun and not settled.
fn under_way(folder: &Folder) -> usize {
    let path = folder.path("ledger.db");
    let ledger = rusqlite::Connection::open(path).unwrap();
    let unknown = "SELECT count(*) FROM transactions WHERE state LIKE '%_unknown'";
    let unknown: i64 = ledger.query_row(unknown, [], |row| row.get(0)).unwrap();
    usize::try_from(unknown).unwrap()
}

async fn refused(public: &str) -> bool {
    let at = public.strip_prefix("http://").unwrap();
    tokio::net::TcpStream::connect(at).await.is_err()
}

/// Waits until everything in the ledger at `url` is settled, then counts.
pub async fn check(folder: &Folder, url: &str, tale: Tale) -> usize {
    let env = Env::of([]);
    let file = folder.path("tributary.toml");
    let names = &tributary::provider::NAMES;
    // The file's own path is relative to its folder, where this process is not.
    let text = folder.config().replace("sqlite:ledger.db", url);
    let config = Config::parse(file, &text, &env, names).unwrap();
    let app = App::open(Arc::new(config), Clock::Machine, false).unwrap();
    let ledger = app.ledger;
    let (mut before, mut idle) = (0, 0);
    loop {
        let summary = ledger.summary().await.unwrap();
        let payments: i64 = summary.states.values().copied().sum();
        let settled = summary.states.get("settled").copied().unwrap_or_default();
        if payments == settled && payments > 0 {
            break;
        }
        idle = if settled > before { 0 } else { idle + 1 };
        before = before.max(settled);
        if idle == SETTLE_STEPS {
            let told = folder.run(&["payments", "--limit", "1000"]).out;
            let open: Vec<_> = told
                .lines()
                .filter(|line| !line.contains("settled"))
                .collect();
            panic!("stuck: {:?} {open:#?}", summary.states);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut ids = BTreeSet::new();
    for event in &tale.acknowledged {
        let id = event["id"].as_str().unwrap();
        if ids.insert(id) {
            let story = ledger.story("stripe", id).await.unwrap();
            assert_eq!(story.payment.is_some(), !id.starts_with("evt_cus"), "{id}");
        }
    }
    for id in ids.iter().step_by(ids.len() / 3 + 1) {
        folder.expect(0, &["explain", "stripe", id]);
    }
    let mut live: BTreeMap<String, i64> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for row in folder.sandbox.transactions() {
        if row.archived {
            continue;
        }
        assert!(keys.insert(row.key.clone()), "{} stands twice", row.key);
        let id = row.key.split(':').nth(1).unwrap().to_owned();
        *live.entry(id).or_default() += row.amount;
    }
    for (id, net) in &tale.expected {
        let held = live.remove(id).unwrap_or_default();
        assert_eq!(held, *net, "{id}");
        let filter = Filter {
            payment_id: Some(id.clone()),
            ..Filter::default()
        };
        let page = ledger.payments(filter, 2).await.unwrap();
        assert_eq!(page.items.len(), 1, "{id}");
        assert_eq!(page.items[0].net, Some(*net), "{id}");
        assert_eq!(page.items[0].forwarded, *net, "{id}");
    }
    assert_eq!(live, BTreeMap::new(), "paid and never told of");
    ledger.close().await;
    tale.acknowledged.len()
}
