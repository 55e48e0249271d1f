//! A ledger on a workbench: a held clock, one source, deliveries made by hand
//! and a toy destination that does what it is told or loses the answer.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cluster::Database;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tributary::destination::Outcome;
use tributary::ledger::book::{SourceTerms, State};
use tributary::ledger::story::PaymentView;
use tributary::ledger::{
    AllTerms, Ask, Begun, Delivery, Filter, Ledger, LedgerError, Opening, Outgoing, ReadBack,
    Recorded, Seen, Word,
};
use tributary::money::Currency;
use tributary::movement::{
    Alias, Authority, Basis, Class, Clue, Fact, Link, Movement, Reading, Subject, rank,
};
use tributary::plan::{Policy, Terms};
use tributary::time::{Clock, HOUR_MS, MINUTE_MS, SECOND_MS, Time};

/// Where the bench's clock starts: 2026-01-01.
pub const START: Time = Time(1_767_225_600_000);

/// Files here are kept in memory, where the system has the place. Only who
/// counts seeds asks for it: that a commit reaches a disk is proven elsewhere.
const MEMORY: &str = "/dev/shm";

/// Calls that are made at a time.
const TOGETHER: u64 = 50;

/// The calls that a ledger begins, of those asked for at once.
pub async fn begun(ledger: &Ledger, most: u64) -> Vec<Begun> {
    let ask = Ask {
        turns: 1..1 + most,
        sure: false,
    };
    ledger.begin("ps", ask).await.unwrap().begun
}

pub struct Bench {
    pub dir: TempDir,
    pub clock: Clock,
    pub ledger: Ledger,
    pub terms: AllTerms,
    /// Where the ledger is, if it is no file.
    database: Option<Database>,
    /// What stands in while a ledger is closed and not opened again yet.
    closed: Option<Ledger>,
    /// The same ledger, opened a second time.
    other: Option<Ledger>,
    /// A connection of our own, to empty the file by.
    broom: Option<Connection>,
    deliveries: u64,
}

pub fn usd() -> Currency {
    "USD".parse().unwrap()
}

pub fn terms(name: &str) -> SourceTerms {
    SourceTerms {
        name: name.to_owned(),
        provider: "stripe".to_owned(),
        destination: "ps".to_owned(),
        live: true,
        rules: ["metadata.customer_key", "link:customer"]
            .map(|rule| rule.parse().unwrap())
            .to_vec(),
        forward_from: None,
        terms: Terms {
            policy: Policy::Negative,
            v2_available: true,
        },
        bind_provider_key: true,
        confirm_after_ms: 900 * SECOND_MS,
        retry_for_ms: 72 * HOUR_MS,
        timeout_ms: 20 * SECOND_MS,
        asks: Vec::new(),
        api_missing: None,
    }
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(vec![terms("stripe")])
    }

    pub fn with(sources: Vec<SourceTerms>) -> Bench {
        Bench::at(tempfile::tempdir().unwrap(), sources)
    }

    /// The same on files that never wait for a disk.
    pub fn in_memory(sources: Vec<SourceTerms>) -> Bench {
        let dir = match Path::new(MEMORY).is_dir() {
            true => tempfile::tempdir_in(MEMORY),
            false => tempfile::tempdir(),
        };
        Bench::at(dir.unwrap(), sources)
    }

    /// In a database, whichever store this run is on.
    pub fn on_server(sources: Vec<SourceTerms>) -> Bench {
        let database = Some(Database::new());
        Bench::in_place(tempfile::tempdir().unwrap(), sources, database)
    }

    /// In a file, whichever store this run is on: for what SQLite alone can be told.
    pub fn on_file(sources: Vec<SourceTerms>) -> Bench {
        Bench::in_place(tempfile::tempdir().unwrap(), sources, None)
    }

    fn at(dir: TempDir, sources: Vec<SourceTerms>) -> Bench {
        Bench::in_place(dir, sources, database())
    }

    fn in_place(dir: TempDir, sources: Vec<SourceTerms>, database: Option<Database>) -> Bench {
        let clock = Clock::held(START);
        let terms: AllTerms = sources
            .into_iter()
            .map(|it| (it.name.clone(), it))
            .collect();
        let ledger = opened(&url(&dir, database.as_ref()), &clock, &terms, true);
        Bench {
            dir,
            clock,
            ledger,
            terms,
            database,
            closed: None,
            other: None,
            broom: None,
            deliveries: 0,
        }
    }

    /// A bench on a ledger that was made elsewhere.
    pub fn on(dir: TempDir, clock: Clock, ledger: Ledger) -> Bench {
        Bench {
            dir,
            clock,
            ledger,
            terms: AllTerms::from([("stripe".to_owned(), terms("stripe"))]),
            database: None,
            closed: None,
            other: None,
            broom: None,
            deliveries: 1_000,
        }
    }

    /// The ledger and the clock as they were when the bench was made: every row
    /// is gone but those of the sources, which opening writes. To open a ledger
    /// afresh would cost most of what a short play costs.
    pub fn empty(&mut self) {
        self.clock.advance(START.since(self.clock.now()));
        self.deliveries = 0;
        if let Some(database) = &self.database {
            database.sweep();
            return;
        }
        let path = self.dir.path().join("ledger.db");
        let broom = self
            .broom
            .get_or_insert_with(|| Connection::open(path).unwrap());
        broom.pragma_update(None, "foreign_keys", false).unwrap();
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' 
            AND name NOT IN ('sources', 'dictionaries')";
        let mut tables = broom.prepare_cached(tables).unwrap();
        let names = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let sweeps: String = names
            .map(|name| format!("DELETE FROM {};", name.unwrap()))
            .collect();
        let sweep = format!("BEGIN; {sweeps} UPDATE sources SET last_delivery = NULL; COMMIT");
        broom.execute_batch(&sweep).unwrap();
    }

    /// The ledger is lost with its machine, and `copy` takes its place.
    pub async fn restore(&mut self, copy: &Path) {
        self.shut().await;
        self.broom = None;
        let ledger = self.dir.path().join("ledger.db");
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", ledger.display()));
        }
        std::fs::rename(copy, &ledger).unwrap();
        self.ledger = self.opened(true);
    }

    /// Closes the ledger as a crash would leave it to a new process, and opens it again.
    pub async fn restart(&mut self) {
        self.shut().await;
        self.ledger = self.opened(true);
    }

    /// As [`Bench::restart`], but somebody goes on who had the ledger open already:
    /// nothing is prepared anew, which costs a third of a short play, and what was
    /// claimed stays so until its time is over.
    pub fn hand_over(&mut self) {
        let other = match self.other.take() {
            Some(other) => other,
            None => self.opened(false),
        };
        self.other = Some(std::mem::replace(&mut self.ledger, other));
    }

    fn opened(&self, serve: bool) -> Ledger {
        opened(&self.url(), &self.clock, &self.terms, serve)
    }

    /// The same ledger once more, as another process that serves has it: only where
    /// it is in a database.
    pub fn replica(&self) -> Ledger {
        self.opened(true)
    }

    /// The database, where the ledger is in one.
    pub fn database(&self) -> &Database {
        self.database.as_ref().unwrap()
    }

    /// What one statement counts.
    pub fn number(&self, sql: &str) -> i64 {
        number(&self.dir, self.database.as_ref(), sql)
    }

    /// Runs statements past the ledger.
    pub fn change(&self, sql: &str) {
        match &self.database {
            Some(database) => database.run(sql),
            None => {
                let file = self.dir.path().join("ledger.db");
                Connection::open(file).unwrap().execute_batch(sql).unwrap();
            }
        }
    }

    /// Where the ledger is.
    pub fn url(&self) -> String {
        url(&self.dir, self.database.as_ref())
    }

    /// What a process claimed that is gone is read back: of a file by the next one
    /// that serves, of a server, which others serve on, once its time is over.
    pub fn outwait_claims(&self) {
        if self.database.is_some() {
            self.clock.advance(11 * MINUTE_MS);
        }
    }

    /// Closes the ledger, so that nobody serves on it.
    pub async fn shut(&mut self) {
        self.ledger.close().await;
        if let Some(other) = self.other.take() {
            other.close().await;
        }
        // The lock goes with the last hold on the old ledger.
        let (dir, clock) = (self.dir.path(), self.clock.clone());
        let closed = self.closed.get_or_insert_with(|| {
            let empty = Opening {
                url: format!("sqlite:{}", dir.join("scratch.db").display()),
                terms: AllTerms::new(),
                clock,
                report_zone: tributary::day::Zone::utc(),
                serve: false,
            };
            Ledger::open(empty).unwrap()
        });
        self.ledger = closed.clone();
    }

    pub async fn deliver(&mut self, reading: Reading) -> Recorded {
        self.deliver_to("stripe", reading).await
    }

    /// The same of many that are waiting together, so that they share commits.
    pub async fn deliver_all(&mut self, readings: Vec<Reading>) {
        let mut commits = JoinSet::new();
        for reading in readings {
            let delivery = self.delivery("stripe", reading);
            let ledger = self.ledger.clone();
            commits.spawn(async move { ledger.record(delivery).await.map(|_| ()) });
        }
        for recorded in commits.join_all().await {
            recorded.unwrap();
        }
    }

    /// Several that share one commit.
    pub async fn deliver_together(&mut self, readings: Vec<(&str, Reading)>) {
        let deliveries = readings.into_iter();
        let deliveries = deliveries.map(|(source, reading)| self.delivery(source, reading));
        let deliveries = deliveries.collect();
        for recorded in self.ledger.record_all(deliveries).await {
            recorded.unwrap();
        }
    }

    pub async fn deliver_to(&mut self, source: &str, reading: Reading) -> Recorded {
        let delivery = self.delivery(source, reading);
        self.ledger.record(delivery).await.unwrap()
    }

    /// A delivery of a provider that does not say whether it is live.
    pub async fn deliver_unsaid(&mut self, reading: Reading) -> Recorded {
        let mut delivery = self.delivery("stripe", reading);
        if let Ok(reading) = &mut delivery.reading {
            reading.scope.live = None;
        }
        self.ledger.record(delivery).await.unwrap()
    }

    pub async fn try_deliver(&mut self, reading: Reading) -> Result<Recorded, LedgerError> {
        let delivery = self.delivery("stripe", reading);
        self.ledger.record(delivery).await
    }

    pub fn delivery(&mut self, source: &str, mut reading: Reading) -> Delivery {
        self.deliveries += 1;
        if reading.delivery_id.is_none() {
            reading.delivery_id = Some(format!("evt_{}", self.deliveries));
        }
        reading.scope.live = Some(reading.scope.live.unwrap_or(true));
        Delivery {
            source: source.to_owned(),
            body: serde_json::to_vec(&reading).unwrap().into(),
            received_at: self.clock.now(),
            secret: 0,
            kept: Default::default(),
            reading: Ok(reading),
        }
    }

    pub async fn payment(&self, id: &str) -> PaymentView {
        self.payment_of("stripe", id).await
    }

    pub async fn payment_of(&self, source: &str, id: &str) -> PaymentView {
        let filter = Filter {
            source: Some(source.to_owned()),
            payment_id: Some(id.to_owned()),
            ..Filter::default()
        };
        let mut page = self.ledger.payments(filter, 2).await.unwrap();
        assert_eq!(page.items.len(), 1, "{source} {id}");
        page.items.remove(0)
    }

    pub async fn state(&self, id: &str) -> State {
        State::from_word(self.payment(id).await.state).unwrap()
    }

    /// As many calls as are due, of those asked for at once.
    pub async fn begin_several(&self, most: u64) -> Vec<Begun> {
        begun(&self.ledger, most).await
    }

    pub async fn begin(&self) -> Option<Begun> {
        self.begin_several(1).await.pop()
    }

    /// One call, answered with `outcome`; panics where none is due.
    pub async fn call(&self, outcome: Outcome) -> Begun {
        let begun = self.begin().await.expect("a call is due");
        self.ledger.settle(begun.claim, outcome, 0).await.unwrap();
        begun
    }

    /// Calls and accepts until nothing is due.
    pub async fn run(&self, there: &mut There) {
        while let Some(begun) = self.begin().await {
            there.carry_out(&begun.call);
            self.ledger
                .settle(begun.claim, Outcome::Accepted, 0)
                .await
                .unwrap();
        }
    }

    /// The same of very many, of which several are called at a time and share commits.
    pub async fn run_all(&self, there: &mut There) {
        loop {
            let begun = self.begin_several(TOGETHER).await;
            if begun.is_empty() {
                return;
            }
            let mut answered = JoinSet::new();
            for begun in begun {
                there.carry_out(&begun.call);
                let ledger = self.ledger.clone();
                answered.spawn(async move {
                    let accepted = Outcome::Accepted;
                    ledger.settle(begun.claim, accepted, 0).await.unwrap();
                });
            }
            answered.join_all().await;
        }
    }

    /// Reads back everything unknown, from a list that is complete.
    pub async fn read_back(&self, there: &There) -> usize {
        let unknowns = self.ledger.unknowns("ps", 250).await.unwrap();
        let seen = unknowns.iter().map(|unknown| {
            let read = ReadBack {
                begun_at: self.clock.now(),
                found: Some(there.seen(&unknown.key)),
                reached: true,
            };
            (unknown.claim, read)
        });
        self.ledger.settle_read_back(seen.collect()).await.unwrap();
        unknowns.len()
    }

    pub fn word(&self) -> Word {
        Word {
            who: "ann".to_owned(),
            why: "a test".to_owned(),
            at: self.clock.now(),
        }
    }
}

/// Whether this run of the suite is on PostgreSQL.
#[expect(
    clippy::disallowed_methods,
    reason = "a run of the tests says which store it is on"
)]
pub fn on_postgres() -> bool {
    std::env::var_os("TRIBUTARY_TEST_STORE").is_some_and(|store| store == "postgres")
}

/// How often something is played: on a server less, where each step is a transaction
/// of a dozen answers, and what is played is the same.
pub fn rounds(on_file: u64, on_server: u64) -> u64 {
    match on_postgres() {
        true => on_server,
        false => on_file,
    }
}

/// A database of its own, where this run is on PostgreSQL.
pub fn database() -> Option<Database> {
    on_postgres().then(Database::new)
}

/// Where a ledger is: in the database, or in a file of the folder.
pub fn url(dir: &TempDir, database: Option<&Database>) -> String {
    let file = dir.path().join("ledger.db");
    database.map_or_else(
        || format!("sqlite:{}", file.display()),
        |database| database.url.clone(),
    )
}

/// What one statement counts in a ledger.
pub fn number(dir: &TempDir, database: Option<&Database>, sql: &str) -> i64 {
    match database {
        Some(database) => database.ask(sql)[0].parse().unwrap(),
        None => {
            let file = Connection::open(dir.path().join("ledger.db")).unwrap();
            file.query_row(sql, [], |row| row.get(0)).unwrap()
        }
    }
}

pub fn opened(url: &str, clock: &Clock, terms: &AllTerms, serve: bool) -> Ledger {
    Ledger::open(Opening {
        url: url.to_owned(),
        terms: terms.clone(),
        clock: clock.clone(),
        report_zone: tributary::day::Zone::utc(),
        serve,
    })
    .unwrap()
}

/// What the destination holds: rows by key, more than one where it was told twice.
#[derive(Default)]
pub struct There {
    pub rows: BTreeMap<String, Vec<(String, i64)>>,
}

impl There {
    pub fn carry_out(&mut self, call: &Outgoing) {
        match call {
            Outgoing::Post(new) => {
                let row = (new.customer.value.clone(), new.amount);
                self.rows.entry(new.key.clone()).or_default().push(row);
            }
            Outgoing::Delete { key } => {
                if let Some(rows) = self.rows.get_mut(key) {
                    rows.pop();
                }
            }
        }
    }

    pub fn seen(&self, key: &str) -> Vec<Seen> {
        let rows = self.rows.get(key).cloned().unwrap_or_default();
        rows.into_iter()
            .map(|(customer, amount)| Seen {
                amount: Some(amount),
                currency: Some(usd()),
                customer: Some(customer),
                created_at: None,
                archived: false,
            })
            .collect()
    }

    pub fn sum(&self) -> i64 {
        self.rows.values().flatten().map(|row| row.1).sum()
    }

    pub fn sum_of(&self, payment_id: &str) -> i64 {
        self.sum_at("stripe", payment_id)
    }

    pub fn sum_at(&self, source: &str, payment_id: &str) -> i64 {
        let key = format!("{source}:{payment_id}");
        let ours = |it: &&String| **it == key || it.starts_with(&format!("{key}:"));
        self.rows
            .iter()
            .filter(|(k, _)| ours(k))
            .flat_map(|(_, rows)| rows)
            .map(|row| row.1)
            .sum()
    }
}

/// A fact about `id` at second `version` after the start.
pub fn fact(class: Class, id: &str, rank: u8, amount: i64, version: i64) -> Fact {
    Fact {
        class,
        id: id.to_owned(),
        basis: Basis::Each,
        rank,
        version,
        authority: Authority::Webhook,
        amount,
        currency: usd(),
        at: START.plus(version * SECOND_MS),
        partial_capture: false,
        product_key: None,
        category_key: None,
    }
}

fn about(payment_id: &str, fact: Fact) -> Reading {
    Reading {
        event: "by hand".to_owned(),
        movements: vec![Movement {
            about: Subject::Payment(payment_id.to_owned()),
            fact,
        }],
        ..Reading::default()
    }
}

/// A captured charge of `customer`, a provider's customer id.
pub fn charge(id: &str, amount: i64, customer: Option<&str>) -> Reading {
    let clue = |field: &str, value: &str| Clue {
        payment_id: id.to_owned(),
        field: field.to_owned(),
        value: value.to_owned(),
        version: 1,
    };
    Reading {
        clues: customer
            .map(|customer| clue("customer", customer))
            .into_iter()
            .collect(),
        aliases: vec![
            alias(id, "charge", id),
            alias(id, "payment_intent", &format!("pi_{id}")),
        ],
        ..about(id, fact(Class::Capture, id, rank::CAPTURED, amount, 0))
    }
}

pub fn alias(payment_id: &str, kind: &str, id: &str) -> Alias {
    Alias {
        payment_id: payment_id.to_owned(),
        kind: kind.to_owned(),
        id: id.to_owned(),
        money: true,
    }
}

pub fn refund(payment_id: &str, id: &str, amount: i64, version: i64) -> Reading {
    about(
        payment_id,
        fact(Class::Refund, id, rank::LIVE, amount, version),
    )
}

pub fn refund_failed(payment_id: &str, id: &str, amount: i64, version: i64) -> Reading {
    about(
        payment_id,
        fact(Class::Refund, id, rank::UNDONE, amount, version),
    )
}

/// What was refunded in all so far, as a charge's snapshot states it.
pub fn refund_total(payment_id: &str, total: i64, version: i64) -> Reading {
    let total = Fact {
        basis: Basis::Total,
        ..fact(Class::Refund, payment_id, rank::LIVE, total, version)
    };
    about(payment_id, total)
}

/// What tells an answer with all refunds from one about a single one.
pub fn whole_list(payment_id: &str, standing: i64, version: i64) -> Reading {
    let whole = Fact {
        basis: Basis::Total,
        ..fact(
            Class::Refund,
            payment_id,
            rank::ANNOUNCED,
            standing,
            version,
        )
    };
    about(payment_id, whole)
}

pub fn refund_of_intent(intent: &str, id: &str, amount: i64, version: i64) -> Reading {
    let fact = fact(Class::Refund, id, rank::LIVE, amount, version);
    let about = Subject::Reference {
        kind: "payment_intent".to_owned(),
        id: intent.to_owned(),
    };
    Reading {
        event: "by hand".to_owned(),
        movements: vec![Movement { about, fact }],
        ..Reading::default()
    }
}

pub fn dispute(payment_id: &str, class: Class, amount: i64, version: i64) -> Reading {
    about(
        payment_id,
        fact(class, "dp", rank::INFERRED, amount, version),
    )
}

/// Authorised, and nothing more: no money yet.
pub fn authorised(id: &str, amount: i64) -> Reading {
    Reading {
        aliases: vec![alias(id, "charge", id)],
        ..about(id, fact(Class::Capture, id, rank::PENDING, amount, 0))
    }
}

/// The same of one of several disputes, by a witness of `rank`.
pub fn dispute_of(payment_id: &str, class: Class, id: &str, rank: u8, amount: i64) -> Reading {
    about(payment_id, fact(class, id, rank, amount, 70))
}

pub fn void(payment_id: &str) -> Reading {
    about(payment_id, fact(Class::Void, payment_id, 0, 0, 95))
}

pub fn alert(payment_id: &str, id: &str, amount: i64) -> Reading {
    about(payment_id, fact(Class::Alert, id, 0, amount, 60))
}

pub fn customer(id: &str, key: &str, version: i64) -> Reading {
    Reading {
        event: "customer".to_owned(),
        links: vec![Link {
            kind: "customer".to_owned(),
            external_id: id.to_owned(),
            customer_key: key.to_owned(),
            version,
        }],
        ..Reading::default()
    }
}
