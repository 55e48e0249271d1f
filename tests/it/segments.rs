//! Segments against the rows that they stand for: after anything that can happen to
//! a ledger, it reports what a copy of it reports that has none.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rusqlite::Connection;
use tributary::day::Day;
use tributary::ledger::{Ledger, Trends};
use tributary::movement::Reading;
use tributary::report::{By, Group, Line, Lines, Most, Only, Question, Report};
use tributary::time::{DAY_MS, HOUR_MS};

use crate::bench::*;
use crate::commission::{list_both, listed, reward};
use crate::days::{condense, link, questions, told_of};
use crate::rows::{import, whose};

/// Histories that are played; each takes about a second.
const SEEDS: u64 = 6;
const SEEDS_ON_SERVER: u64 = 1;

/// Random steps of each.
const STEPS: usize = 60;

const BYS: [By; 5] = [By::Partner, By::Customer, By::Source, By::Day, By::Month];

/// What is told of everything, with how it was asked for.
pub async fn reports(ledger: &Ledger, briefly: bool) -> Vec<(String, Vec<Report>, Vec<Trends>)> {
    let mut asked = questions(ledger.report_zone());
    asked.retain(|it| it.by == By::Day && !(briefly && it.from.is_some()));
    let mut all = Vec::new();
    for question in asked {
        for most in [Most::All, Most::Each(1), Most::First(2)] {
            let reports = ledger.reports(question.clone(), BYS.to_vec(), most.into());
            let reports = reports.await.unwrap();
            let courses = courses(ledger, &question, &reports).await;
            all.push((format!("{most:?} of {question:?}"), reports, courses));
        }
        narrowed(ledger, &question).await;
    }
    all
}

/// Asserts that a report of some only has the lines of all that are theirs, as many as
/// asked for, and the totals of all.
async fn narrowed(ledger: &Ledger, question: &Question) {
    let partner = |key: &str| Some(key.to_owned());
    let sought = [
        (partner("bluepeak"), None),
        (partner("bluepeak"), Some("o")),
        (partner("nobody"), None),
        (None, Some("o")),
        (None, Some("blue")),
        (None, Some("wind media")),
        (None, Some("@")),
    ];
    let bys = vec![By::Customer, By::Partner, By::Day];
    let reports = ledger.reports(question.clone(), bys.clone(), Most::All.into());
    let all = reports.await.unwrap();
    for (partner, text) in sought {
        let only = Only {
            partner: partner.clone(),
            text: text.map(str::to_owned),
            masked: false,
        };
        for most in [Most::All, Most::Each(1), Most::First(2)] {
            let lines = Lines {
                only: only.clone(),
                most,
            };
            let found = ledger.reports(question.clone(), bys.clone(), lines);
            for (found, all) in found.await.unwrap().iter().zip(&all) {
                let theirs = all.items.iter().filter(|line| match &line.group {
                    Some(
                        Group::Partner { partner_key, .. } | Group::Customer { partner_key, .. },
                    ) => {
                        let own = match &line.group {
                            Some(Group::Customer { customer_key, .. }) => customer_key.as_deref(),
                            _ => None,
                        };
                        let name = line.partner_name.as_deref().map(str::to_lowercase);
                        let mut texts = [own, partner_key.as_deref(), name.as_deref()]
                            .into_iter()
                            .flatten();
                        (partner.is_none() || partner == *partner_key)
                            && text.is_none_or(|text| texts.any(|it| it.contains(text)))
                    }
                    _ => true,
                });
                let theirs: Vec<Line> = theirs.cloned().collect();
                let told = format!("{partner:?} {text:?} {most:?} of {question:?}");
                assert_eq!(found.left_off + found.items.len(), theirs.len(), "{told}");
                assert_eq!(found.totals, all.totals, "{told}");
                match most {
                    Most::All => assert_eq!(found.items, theirs, "{told}"),
                    Most::First(_) => assert_eq!(found.items, theirs[..found.items.len()]),
                    Most::Each(_) => {
                        for line in &found.items {
                            let first = theirs.iter().find(|it| it.currency == line.currency);
                            assert_eq!(Some(line), first, "{told}");
                        }
                    }
                }
            }
        }
    }
}

/// How the money of everybody named went.
async fn courses(ledger: &Ledger, question: &Question, reports: &[Report]) -> Vec<Trends> {
    let first = question.from.or(Day::parse("1970-01-01")).unwrap();
    let last = question.to.or(Day::parse("2100-01-01")).unwrap();
    let mut courses = Vec::new();
    for by in [By::Partner, By::Customer] {
        let lines = reports.iter().flat_map(|report| &report.items);
        let keys = lines.filter_map(|line| match &line.group {
            Some(Group::Partner { partner_key, .. }) if by == By::Partner => partner_key.clone(),
            Some(Group::Customer { customer_key, .. }) if by == By::Customer => {
                customer_key.clone()
            }
            _ => None,
        });
        let course = ledger.trends(by, (first, last), keys.collect());
        courses.push(course.await.unwrap());
    }
    courses
}

/// How many segments there are.
const MADE: &str = "SELECT count(*) FROM customer_segments WHERE form > 0";

/// A server has no copy that is made at once: there the segments are put aside.
const ASIDE: &str = "
    CREATE TABLE segments_aside AS TABLE customer_segments;
    CREATE TABLE numbers_aside AS TABLE customer_numbers;
    DELETE FROM customer_segments; DELETE FROM customer_numbers";
const BACK: &str = "
    INSERT INTO customer_numbers SELECT * FROM numbers_aside;
    INSERT INTO customer_segments SELECT * FROM segments_aside;
    DROP TABLE segments_aside; DROP TABLE numbers_aside";

/// The ledger without its segments, as [`ASIDE`] says or in a copy.
fn plain(bench: &Bench) -> Ledger {
    let mut url = bench.url();
    if on_postgres() {
        bench.change(ASIDE);
    } else {
        let copy = bench.dir.path().join("copy.db");
        let _ = std::fs::remove_file(&copy);
        bench.change(&format!("VACUUM INTO '{}'", copy.display()));
        let plain = Connection::open(&copy).unwrap();
        plain
            .execute_batch("DELETE FROM customer_segments; DELETE FROM customer_numbers")
            .unwrap();
        url = format!("sqlite:{}", copy.display());
    }
    opened(&url, &bench.clock, &bench.terms, false)
}

/// Asserts that nothing is told otherwise without segments, and none is lost by
/// asking; answers how many there were.
async fn agree(bench: &Bench, told: &str, briefly: bool) -> i64 {
    let there = bench.number(MADE);
    let found = reports(&bench.ledger, briefly).await;
    assert_eq!(bench.number(MADE), there);
    let rows = plain(bench);
    assert_eq!(found, reports(&rows, briefly).await, "{told}");
    rows.close().await;
    if on_postgres() {
        bench.change(BACK);
    }
    there
}

/// The destination lists its customers, with other partners than before, and what
/// partners get.
pub async fn mirror(bench: &Bench, rng: &mut StdRng) {
    let now = bench.clock.now();
    let customers: Vec<_> = ["acme", "globex", "initech", "hooli"]
        .into_iter()
        .filter_map(|key| {
            if rng.random_ratio(1, 4) {
                return None;
            }
            let partner = ["northwind", "bluepeak", ""][rng.random_range(0..3)];
            Some(listed(&format!("cus_{key}"), key, |row| {
                row.partner_key = (!partner.is_empty()).then(|| partner.to_owned());
                row.updated_at = Some(now);
            }))
        })
        .collect();
    let rewards: Vec<_> = (0..rng.random_range(0..5))
        .map(|number| {
            let at = START.plus(rng.random_range(0..200) * HOUR_MS);
            let mut made = reward(&format!("rwrd_{number}"), at, rng);
            let customer = ["acme", "globex", "nobody"][rng.random_range(0..3)];
            made.customer = Some(format!("cus_{customer}"));
            made.updated_at = Some(now);
            made
        })
        .collect();
    list_both(bench, &customers, &rewards).await;
}

/// A few rows of a file about payments that may be known.
pub async fn rows(bench: &Bench, rng: &mut StdRng) {
    let mut rows = Vec::new();
    for _ in 0..3 {
        let id = format!("ch_{}", rng.random_range(0..12));
        let mut sale = charge(&id, rng.random_range(1..9_000), None);
        for movement in &mut sale.movements {
            movement.fact.at = START.plus(rng.random_range(0..9) * DAY_MS);
        }
        rows.push(whose(sale, &id, ["acme", "hooli"][rng.random_range(0..2)]));
    }
    import(bench, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_say_what_the_rows_say_whatever_happens() {
    let (mut met, seeds) = (0, rounds(SEEDS, SEEDS_ON_SERVER));
    for seed in 0..seeds {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut bench = Bench::in_memory(vec![terms("stripe"), terms("shop")]);
        let mut events: Vec<(&str, Reading)> = Vec::new();
        for number in 0..8 {
            let told = told_of(&format!("ch_{number}"), &mut rng);
            let source = ["stripe", "shop"][rng.random_range(0..2)];
            events.extend(told.into_iter().map(|it| (source, it)));
        }
        events.shuffle(&mut rng);
        // Everything happened some days ago by the time that it is told.
        bench.clock.advance(12 * DAY_MS);
        let mut there = There::default();
        for step in 0..STEPS {
            bench.clock.advance(6 * HOUR_MS);
            match rng.random_range(0..9) {
                0..3 => {
                    if let Some((source, told)) = events.pop() {
                        bench.deliver_to(source, told).await;
                    }
                }
                3 => bench.run(&mut there).await,
                4 => link(&bench, &mut rng).await,
                5 => mirror(&bench, &mut rng).await,
                6 => rows(&bench, &mut rng).await,
                7 => drop(bench.ledger.condense().await.unwrap()),
                _ => condense(&bench.ledger).await,
            }
            if step % 5 == 0 {
                met += agree(&bench, &format!("seed {seed}, step {step}"), true).await;
            }
        }
        condense(&bench.ledger).await;
        met += agree(&bench, &format!("seed {seed}, at the end"), false).await;
    }
    assert!(
        met > 15 * i64::try_from(seeds).unwrap(),
        "segments were read: {met}"
    );
}

#[tokio::test]
async fn a_segment_that_was_damaged_is_made_anew() {
    let mut bench = Bench::new();
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.clock.advance(2 * DAY_MS);
    condense(&bench.ledger).await;
    let damage = if on_postgres() {
        r"'\x55534400020088'"
    } else {
        "x'55534400020088'"
    };
    bench.change(&format!(
        "CREATE TABLE whole_segments AS SELECT bytes AS whole FROM customer_segments;
         UPDATE customer_segments SET bytes = {damage}"
    ));
    let whole = "SELECT count(*) FROM customer_segments, whole_segments WHERE bytes = whole";
    assert_eq!(bench.number(whole), 0);
    agree(&bench, "damaged", false).await;
    condense(&bench.ledger).await;
    assert_eq!(bench.number(whole), 1);
}
