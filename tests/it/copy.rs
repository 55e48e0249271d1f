//! Ledgers that move: from either store to either, whatever happened to them before,
//! killed anywhere, and never two of them that forward.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;
use tributary::day::Zone;
use tributary::ledger::copying::{self, Came, Copied, Order, Stage, Then};
use tributary::ledger::imports::NewImport;
use tributary::ledger::{AllTerms, Ask, Filter, Ledger, LedgerError, Opening};
use tributary::movement::Reading;
use tributary::time::{Clock, DAY_MS, HOUR_MS};

use crate::bench::*;
use crate::cluster::Database;
use crate::{days, rows, segments};

/// Lives that are played; each is copied six times.
const SEEDS: u64 = 3;
/// Random steps of each.
const STEPS: usize = 60;

fn sqlite(dir: &TempDir, name: &str) -> String {
    format!("sqlite:{}", dir.path().join(name).display())
}

fn file(url: &str) -> &str {
    url.strip_prefix("sqlite:").unwrap()
}

fn order(from: &str, to: &str, then: Then) -> Order {
    Order {
        from: from.to_owned(),
        to: to.to_owned(),
        then,
        clock: Clock::held(START),
    }
}

/// On a thread of its own, because it waits.
fn watched(
    from: &str,
    to: &str,
    then: Then,
    watch: &mut (dyn FnMut(Stage) + Send),
) -> Result<Copied, LedgerError> {
    let order = order(from, to, then);
    std::thread::scope(|threads| {
        let copying = threads.spawn(|| copying::copy(&order, watch));
        copying.join().unwrap()
    })
}

fn copied(from: &str, to: &str, then: Then) -> Result<Copied, LedgerError> {
    watched(from, to, then, &mut |_| {})
}

fn moved(from: &str, to: &str) -> Copied {
    copied(from, to, Then::Close).unwrap()
}

fn refused(from: &str, to: &str, then: Then) -> String {
    copied(from, to, then).unwrap_err().to_string()
}

/// A move that ends in the middle, when `table` was copied.
fn cut_off(from: &str, to: &str, at: &str) {
    let order = order(from, to, Then::Close);
    let cut = std::thread::scope(|threads| {
        let copying = || {
            copying::copy(&order, &mut |stage| {
                let done = matches!(stage, Stage::Copied { table, .. } if table == at);
                assert!(!done, "cut off");
            })
        };
        threads
            .spawn(move || std::panic::catch_unwind(AssertUnwindSafe(copying)).is_err())
            .join()
            .unwrap()
    });
    assert!(cut, "it came to its end");
}

fn give_up(from: &str) -> Result<String, LedgerError> {
    std::thread::scope(|threads| {
        let giving_up = threads.spawn(|| copying::give_up(from));
        giving_up.join().unwrap()
    })
}

fn all_terms() -> AllTerms {
    ["stripe", "shop"]
        .map(|name| (name.to_owned(), terms(name)))
        .into()
}

fn open(url: &str, clock: &Clock, serve: bool) -> Result<Ledger, LedgerError> {
    Ledger::open(Opening {
        url: url.to_owned(),
        terms: all_terms(),
        clock: clock.clone(),
        report_zone: Zone::utc(),
        serve,
    })
}

fn closed(url: &str) -> String {
    for serve in [false, true] {
        assert!(open(url, &Clock::held(START), serve).is_err(), "{url}");
    }
    open(url, &Clock::held(START), true)
        .err()
        .unwrap()
        .to_string()
}

/// A ledger to which everything happened that does, in some order.
async fn lived(seed: u64) -> (Bench, There) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut bench = Bench::with(vec![terms("stripe"), terms("shop")]);
    let mut there = There::default();
    let mut events: Vec<(&str, Reading)> = Vec::new();
    for number in 0..10 {
        let told = days::told_of(&format!("ch_{number}"), &mut rng);
        let source = ["stripe", "shop"][rng.random_range(0..2)];
        events.extend(told.into_iter().map(|it| (source, it)));
    }
    events.shuffle(&mut rng);
    for _ in 0..STEPS {
        bench.clock.advance(HOUR_MS);
        match rng.random_range(0..10) {
            0..4 => {
                if let Some((source, told)) = events.pop() {
                    bench.deliver_to(source, told).await;
                }
            }
            4 => bench.run(&mut there).await,
            5 => days::decide(&bench, &mut rng).await,
            6 => days::link(&bench, &mut rng).await,
            7 => segments::mirror(&bench, &mut rng).await,
            8 => segments::rows(&bench, &mut rng).await,
            _ => {
                // A call whose answer is lost.
                if let Some(begun) = bench.begin().await {
                    there.carry_out(&begun.call);
                }
            }
        }
    }
    // What is no text of ASCII, and what begins like a name of the store's own.
    bench
        .deliver(customer("cus_\u{e9}\u{1F600}", "writer", 3))
        .await;
    bench.deliver(customer("Z", "a", 3)).await;
    bench.clock.advance(40 * DAY_MS);
    days::condense(&bench.ledger).await;
    (bench, there)
}

/// All that people and programs are told.
async fn said(ledger: &Ledger) -> Vec<String> {
    let mut said = Vec::new();
    let page = ledger.payments(Filter::default(), 1_000).await.unwrap();
    for payment in page.items {
        let story = ledger.story(&payment.source, &payment.payment_id);
        said.push(serde_json::to_string(&payment).unwrap());
        said.push(serde_json::to_string(&story.await.unwrap()).unwrap());
    }
    for told in segments::reports(ledger, true).await {
        said.push(format!("{told:?}"));
    }
    said.push(format!("{:?}", ledger.overview().await.unwrap()));
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_lived_is_the_same_in_every_place() {
    for seed in 0..SEEDS {
        let (mut bench, mut there) = lived(seed).await;
        let before = said(&bench.ledger).await;
        bench.shut().await;
        let databases = [Database::new(), Database::new(), Database::new()];
        let places = [
            bench.url(),
            databases[0].url.clone(),
            sqlite(&bench.dir, "second.db"),
            sqlite(&bench.dir, "third.db"),
            databases[1].url.clone(),
            databases[2].url.clone(),
        ];
        let mut digests = Vec::new();
        for pair in places.windows(2) {
            let done = moved(&pair[0], &pair[1]);
            assert_eq!(done.came, Came::Moved);
            let count = |name: &str| {
                let table = done.tables.iter().find(|it| it.table == name);
                table.map_or(0, |it| it.rows)
            };
            for table in ["deliveries", "facts", "transactions", "attempts", "rewards"] {
                assert!(count(table) > 0, "{table}: {done:?}");
            }
            digests.push(done.digest.unwrap());
            assert!(closed(&pair[0]).contains("was moved to"), "{pair:?}");
            let here = open(&pair[1], &bench.clock, false).unwrap();
            assert_eq!(said(&here).await, before, "seed {seed}, {pair:?}");
            here.close().await;
            // Said once more, it does nothing.
            assert_eq!(moved(&pair[0], &pair[1]).came, Came::MovedBefore);
        }
        digests.dedup();
        assert_eq!(digests.len(), 1, "seed {seed}: {digests:?}");

        // It goes on under new row numbers, and posts nothing again.
        let ledger = open(&places[5], &bench.clock, true).unwrap();
        let mut bench = Bench::on(bench.dir, bench.clock, ledger);
        bench.clock.advance(HOUR_MS);
        bench.deliver(customer("cus_new", "acme", 9)).await;
        bench.deliver(charge("ch_new", 700, Some("cus_new"))).await;
        bench.read_back(&there).await;
        bench.run(&mut there).await;
        assert_eq!(there.sum_of("ch_new"), 700);
        for (key, rows) in &there.rows {
            assert!(rows.len() <= 1, "seed {seed}: {key} {rows:?}");
        }
        bench.ledger.close().await;
    }
}

/// The places to copy from and to: one of each kind.
struct Places {
    dir: TempDir,
    databases: Vec<Database>,
}

impl Places {
    fn new() -> Places {
        Places {
            dir: tempfile::tempdir().unwrap(),
            databases: (0..4).map(|_| Database::new()).collect(),
        }
    }

    /// From a file to a server, and the other way round.
    fn both_ways(&self) -> [(String, String); 2] {
        let server = |at: usize| self.databases[at].url.clone();
        [
            (sqlite(&self.dir, "a.db"), server(0)),
            (server(1), sqlite(&self.dir, "b.db")),
        ]
    }

    /// Two that are empty.
    fn spare(&self) -> [String; 2] {
        [sqlite(&self.dir, "spare.db"), self.databases[2].url.clone()]
    }
}

/// Runs statements in a ledger, whatever its store is.
fn run(url: &str, sql: &str) {
    match url.strip_prefix("sqlite:") {
        Some(path) => Connection::open(path).unwrap().execute_batch(sql).unwrap(),
        None => drop(crate::cluster::run(url, sql).unwrap()),
    }
}

/// A ledger with a sale that is not forwarded yet.
async fn owing(url: &str, serve: bool) -> Bench {
    let clock = Clock::held(START.plus(HOUR_MS));
    let ledger = open(url, &clock, serve).unwrap();
    let mut bench = Bench::on(tempfile::tempdir().unwrap(), clock, ledger);
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4_999, Some("cus_A"))).await;
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_had_the_old_ledger_open_forwards_and_records_nothing_any_more() {
    let places = Places::new();
    for (from, to) in places.both_ways() {
        // It serves no more as far as anybody can tell, and works on all the same.
        let mut old = owing(&from, false).await;
        for half in [true, false] {
            match half {
                true => cut_off(&from, &to, "facts"),
                false => drop(moved(&from, &to)),
            }
            let begun = old.ledger.begin("ps", Ask::one(1)).await;
            let why = begun.unwrap_err().to_string();
            assert!(why.contains("moved to"), "{why}");
            let told = old.try_deliver(charge("ch_2", 100, Some("cus_A"))).await;
            assert!(told.is_err(), "{told:?}");
            assert!(old.ledger.health().is_err());
        }
        // The new one does, once.
        let ledger = open(&to, &old.clock, true).unwrap();
        let new = Bench::on(tempfile::tempdir().unwrap(), old.clock.clone(), ledger);
        let mut there = There::default();
        new.run(&mut there).await;
        assert_eq!(there.sum_of("ch_1"), 4_999);
        new.ledger.close().await;
        old.ledger.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_served_is_not_moved() {
    let places = Places::new();
    for (from, to) in places.both_ways() {
        let served = owing(&from, true).await;
        let why = refused(&from, &to, Then::Close);
        assert!(
            why.contains("already running") || why.contains("somebody serves"),
            "{why}"
        );
        // Nothing was closed by that.
        served.ledger.health().unwrap();
        assert!(served.begin().await.is_some());
        served.ledger.close().await;
        drop(served);
        moved(&from, &to);
    }
    // One that was killed has said so last some time ago.
    let (from, to) = (&places.databases[3].url, sqlite(&places.dir, "c.db"));
    owing(from, false).await.ledger.close().await;
    let said = |ago_ms: i64| {
        let ms = Clock::Machine.now().ms() - ago_ms;
        run(
            from,
            &format!(
                "INSERT INTO meta VALUES ('serving/0a', '{ms}')
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            ),
        );
    };
    said(5_000);
    let why = refused(from, &to, Then::Close);
    assert!(why.contains("it said so 5 s ago"), "{why}");
    said(20_000);
    moved(from, &to);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_serves_goes_on_saying_so() {
    let database = Database::new();
    let served = owing(&database.url, true).await;
    let told = || {
        let rows = database.ask("SELECT value FROM meta WHERE name LIKE 'serving/%'");
        assert_eq!(rows.len(), 1);
        rows[0].parse::<i64>().unwrap()
    };
    let first = told();
    let mut waited = 0;
    while told() == first {
        waited += 1;
        assert!(waited < 300, "it was never said again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    served.ledger.close().await;
    let rows = database.ask("SELECT value FROM meta WHERE name LIKE 'serving/%'");
    assert!(rows.is_empty(), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_copy_opens_for_nobody_and_the_same_command_finishes_it() {
    let places = Places::new();
    for (from, to) in places.both_ways() {
        owing(&from, true).await.ledger.close().await;
        for table in ["sources", "payments", "meta"] {
            cut_off(&from, &to, table);
            let why = closed(&to);
            assert!(why.contains("unfinished copy"), "{why}");
            let why = closed(&from);
            assert!(why.contains("is being moved"), "{why}");
        }
        // Nor is it taken to another place meanwhile, or anything else into it.
        let [elsewhere, _] = places.spare();
        let why = refused(&from, &elsewhere, Then::Close);
        assert!(why.contains("is being moved"), "{why}");
        let done = moved(&from, &to);
        assert_eq!(done.came, Came::Moved);
        open(&to, &Clock::held(START), true).unwrap().close().await;
    }
}

/// A move that an older program began: the old ledger, which is closed, has not the
/// dictionaries of this one, and the new one has.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_program_finishes_a_move() {
    let places = Places::new();
    let (from, to) = (sqlite(&places.dir, "a.db"), sqlite(&places.dir, "b.db"));
    owing(&from, true).await.ledger.close().await;
    cut_off(&from, &to, "sources");
    std::fs::remove_file(file(&to)).unwrap();
    let first_alone = "DELETE FROM dictionaries WHERE dictionary > 1";
    run(&from, first_alone);
    assert_eq!(moved(&from, &to).came, Came::Moved);
    let dictionaries = |url: &str| {
        let ledger = Connection::open(file(url)).unwrap();
        let count = ledger.query_row("SELECT count(*) FROM dictionaries", [], |row| {
            row.get::<_, i64>(0)
        });
        count.unwrap()
    };
    assert_eq!((dictionaries(&from), dictionaries(&to)), (1, 2));
}

/// A kill after the old ledger said that it was moved, and before the new one opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_the_last_step_is_finished_as_well() {
    let places = Places::new();
    let (from, to) = (sqlite(&places.dir, "a.db"), sqlite(&places.dir, "b.db"));
    owing(&from, true).await.ledger.close().await;
    moved(&from, &to);
    let mark: String = Connection::open(file(&from))
        .unwrap()
        .query_row("SELECT value FROM meta WHERE name = 'writer'", [], |row| {
            row.get(0)
        })
        .unwrap();
    let mut mark: Value = serde_json::from_str(&mark).unwrap();
    assert_eq!(mark["why"], "moved");
    mark["why"] = "unfinished".into();
    mark["other"] = file(&from).into();
    run(
        &to,
        &format!(
            "UPDATE meta SET value = '{mark}' WHERE name = 'writer';
             DELETE FROM meta WHERE name = 'moved_here'"
        ),
    );
    closed(&to);
    assert!(give_up(&from).is_err());
    assert_eq!(moved(&from, &to).came, Came::Moved);
    open(&to, &Clock::held(START), true).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_tampered_with_is_never_opened() {
    let places = Places::new();
    for (from, to) in places.both_ways() {
        owing(&from, true).await.ledger.close().await;
        let tampered = watched(&from, &to, Then::Close, &mut |stage| {
            if matches!(stage, Stage::Compared { table: "sources" }) {
                run(&to, "UPDATE facts SET amount = amount - 1");
            }
        });
        let why = tampered.unwrap_err().to_string();
        assert!(why.contains("in facts (1 rows, 1 in the copy)"), "{why}");
        closed(&to);
        // Nor does another try overlook it.
        assert!(refused(&from, &to, Then::Close).contains("in facts"));
        closed(&to);
        // The old one goes on when the copy is given up, which then stays closed.
        closed(&from);
        give_up(&from).unwrap();
        closed(&to);
        assert!(give_up(&from).is_err());
        let old = open(&from, &Clock::held(START.plus(HOUR_MS)), true).unwrap();
        assert!(!begun(&old, 1).await.is_empty());
        old.close().await;
        drop(old);
        let why = refused(&from, &to, Then::Close);
        assert!(why.contains("unfinished copy"), "{why}");
        open(&from, &Clock::held(START), true)
            .unwrap()
            .close()
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_holds_anything_is_refused_and_nothing_is_closed_for_it() {
    let places = Places::new();
    let [(from, server), _] = places.both_ways();
    owing(&from, true).await.ledger.close().await;
    let [taken, foreign] = places.spare();
    owing(&taken, true).await.ledger.close().await;
    run(&foreign, "CREATE TABLE invoices (id BIGINT)");
    let absent = sqlite(&places.dir, "absent.db");
    for (from, to, why) in [
        (&from, &taken, "holds a ledger already"),
        (&from, &foreign, "not a Tributary ledger"),
        (&from, &from, "the same file"),
        (&absent, &server, "there is no ledger"),
        (&server, &absent, "there is no ledger"),
    ] {
        for then in [Then::Close, Then::Keep] {
            let told = refused(from, to, then);
            assert!(told.contains(why), "{told}");
        }
    }
    assert!(!Path::new(file(&absent)).exists());
    // A file that waits beside the ledger would be lost.
    run(
        &from,
        "INSERT INTO imports (source, spool, said, who, said_at, state)
         VALUES ('stripe', 'x.csv', '{}', 'ann', 0, 'waiting')",
    );
    let told = refused(&from, &server, Then::Close);
    assert!(told.contains("1 files that came by the API"), "{told}");
    open(&from, &Clock::held(START), true)
        .unwrap()
        .close()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ledger_beside_one_in_use_forwards_nothing() {
    let places = Places::new();
    for (from, to) in places.both_ways() {
        let mut served = owing(&from, true).await;
        let done = copied(&from, &to, Then::Keep).unwrap();
        assert_eq!(done.came, Came::Copied);
        let clock = served.clock.clone();
        let second = open(&to, &clock, true).unwrap();
        assert!(second.copied_at("ps").await.unwrap().is_some());
        assert!(begun(&second, 1).await.is_empty());
        second.close().await;
        // The first one goes on, and what it learns is not in the second.
        served.deliver(charge("ch_2", 100, Some("cus_A"))).await;
        let mut there = There::default();
        served.run(&mut there).await;
        assert_eq!(there.sum(), 5_099);
        served.ledger.close().await;
    }
}

/// The program, killed anywhere, finishes by the same command.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_killed_at_any_moment_is_finished_by_the_same_command() {
    let places = Places::new();
    for (from, to) in places.both_ways() {
        let bench = owing(&from, true).await;
        let sale = |n: usize| {
            let id = format!("ch_{n:05}");
            rows::whose(charge(&id, 100, None), &id, "acme")
        };
        let sales: Vec<Reading> = (0..1_500).map(sale).collect();
        rows::import(&bench, &sales).await;
        bench.ledger.close().await;
        drop(bench);
        let [expected, _] = places.spare();
        let expected = format!("{expected}.{}", from.len());
        let expected = copied(&from, &expected, Then::Keep).unwrap();

        let (mut kills, mut wait_ms, mut seen) = (0, 10, BTreeSet::new());
        loop {
            let mut child = program(&["copy", "--from", &from, "--to", &to]);
            std::thread::sleep(Duration::from_millis(wait_ms));
            child.kill().unwrap();
            if child.wait().unwrap().success() {
                break;
            }
            kills += 1;
            // Several moments on a quick machine, and not very many on a slow one.
            wait_ms += 5 + wait_ms / 4;
            let stands = (standing(&from), standing(&to));
            let fine = match (stands.0.as_str(), stands.1.as_str()) {
                ("", to) => to.is_empty(),
                ("moving", to) => to.is_empty() || to == "unfinished",
                // Only then may the new one be open.
                (from, to) => from == "moved" && (to.is_empty() || to == "unfinished"),
            };
            assert!(fine, "{stands:?}");
            seen.insert(stands.0);
        }
        assert!(kills > 3 && seen.contains("moving"), "{kills} {seen:?}");
        closed(&from);
        let done = moved(&from, &to);
        assert_eq!(done.came, Came::MovedBefore);
        let again = format!("{}.again", places.spare()[0]);
        let again = format!("{again}.{}", to.len());
        let now = copied(&to, &again, Then::Keep).unwrap();
        assert_eq!((now.digest, now.tables), (expected.digest, expected.tables));
    }
}

/// Why a ledger is closed, in one word; nothing of one that is open or not there.
fn standing(url: &str) -> String {
    let sql = "SELECT value FROM meta WHERE name = 'writer'";
    let found = match url.strip_prefix("sqlite:") {
        Some(path) => Connection::open(path).ok().and_then(|conn| {
            let found = conn.query_row(sql, [], |row| row.get::<_, String>(0));
            found.ok()
        }),
        None => crate::cluster::run(url, sql)
            .ok()
            .and_then(|mut it| it.pop()),
    };
    let mark = serde_json::from_str::<Value>(&found.unwrap_or_default());
    mark.map_or(String::new(), |mark| {
        mark["why"].as_str().unwrap().to_owned()
    })
}

fn program(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(args)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the queue of files by the API asks of a ledger, the same of either store.
#[tokio::test(flavor = "multi_thread")]
async fn files_by_the_api_wait_run_and_end_on_either_store() {
    let places = Places::new();
    for url in [&sqlite(&places.dir, "a.db"), &places.databases[0].url] {
        let bench = owing(url, true).await;
        let new = |spool: &str| NewImport {
            source: "stripe".to_owned(),
            spool: spool.to_owned(),
            said: "{}".to_owned(),
            who: "ann".to_owned(),
        };
        let first = bench.ledger.add_import(new("1.csv")).await.unwrap();
        let second = bench.ledger.add_import(new("2.csv")).await.unwrap();
        for (number, ends) in [(first, None), (second, Some("no such column"))] {
            // A process that takes over begins with the same one.
            for _ in 0..2 {
                let next = bench.ledger.next_import(|_| true).await.unwrap().unwrap();
                assert_eq!(next.import, number);
            }
            let failed = ends.map(str::to_owned);
            let came = ends.is_none().then(|| "{}".to_owned());
            bench.ledger.end_import(number, came, failed).await.unwrap();
            let told = bench.ledger.import(number).await.unwrap();
            assert_eq!(told.outcome.as_deref(), ends);
        }
        assert!(bench.ledger.next_import(|_| true).await.unwrap().is_none());
        bench.ledger.close().await;
    }
}

#[test]
fn no_password_is_printed_whatever_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (there, absent) = (sqlite(&dir, "a.db"), sqlite(&dir, "b.db"));
    open(&there, &Clock::held(START), false).unwrap();
    for (from, to) in [
        (there.as_str(), "postgres://u:geheim@127.0.0.1:1/x"),
        ("postgres://u:geheim@127.0.0.1:1/x", absent.as_str()),
        (there.as_str(), "postgres://u:geh@eim@127.0.0.1:1/x"),
        (there.as_str(), "postgres:/u:geheim@127.0.0.1:1/x"),
        (there.as_str(), "mysql://u:geheim@127.0.0.1:1/x"),
    ] {
        for end in [
            vec!["--to", to],
            vec!["--give-up"],
            vec!["--to", to, "--to", to],
        ] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
            command.args(["copy", "--from", from]).args(&end);
            let ran = command.env_clear().current_dir(&dir).output().unwrap();
            let told = [ran.stdout, ran.stderr].concat();
            let told = String::from_utf8(told).unwrap();
            assert!(!ran.status.success() && !told.is_empty(), "{from} {end:?}");
            assert!(!told.contains("geh") && !told.contains("eim"), "{told}");
        }
    }
    // Nothing was closed for a server that is not there.
    open(&there, &Clock::held(START), false).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_on_a_server_takes_a_copy_and_leaves_the_ledger() {
    let database = Database::new();
    let served = owing(&database.url, true).await;
    let before = said(&served.ledger).await;
    let scratch = served.ledger.scratch().await.unwrap();
    assert_eq!(said(&scratch.ledger).await, before);
    let clock = served.clock.clone();
    let mut tried = Bench::on(tempfile::tempdir().unwrap(), clock, scratch.ledger.clone());
    let row = rows::whose(charge("ch_old", 900, None), "ch_old", "acme");
    rows::import(&tried, &[row]).await;
    tried.deliver(refund("ch_1", "re_1", 999, 5)).await;
    assert_eq!(tried.payment("ch_1").await.net, Some(4_000));
    assert_eq!(tried.payment("ch_old").await.net, Some(900));
    scratch.ledger.close().await;
    assert_eq!(said(&served.ledger).await, before);
    served.ledger.close().await;
}
