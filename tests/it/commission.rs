//! The mirror in the ledger, page by page and without a destination: what rewards
//! come to is what all of them come to one by one, and customers are found by what
//! was listed last.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tributary::day::{Day, Zone};
use tributary::destination::{List, ListedCustomer, ListedPartner, ListedReward, RosterRows};
use tributary::ledger::book::{SourceTerms, State};
use tributary::ledger::mirror::{
    Extent, MirrorPage, MirrorRead, MirrorTaken, MirrorTurn, is_commission,
};
use tributary::report::{Basis, By, Group, Heap, Question, Sums};
use tributary::time::{Clock, HOUR_MS, MINUTE_MS, Time};

use crate::bench::*;

/// Histories that are played; each takes about a tenth of a second.
const SEEDS: u64 = 20;
const SEEDS_ON_SERVER: u64 = 2;

/// Random steps of each.
const STEPS: usize = 60;

/// Rows on a page of the toy lists.
const PAGE: usize = 4;

/// The currency of rewards that name none, in these plays.
const OTHERWISE: &str = "EUR";

/// What the destination lists, and what the ledger should know of it.
#[derive(Default)]
struct Lists {
    there: BTreeMap<String, ListedReward>,
    known: BTreeMap<String, ListedReward>,
    listed: BTreeSet<String>,
    made: u32,
}

pub fn reward(key: &str, at: Time, rng: &mut StdRng) -> ListedReward {
    let pick = |words: &[&str], rng: &mut StdRng| {
        let word = words[rng.random_range(0..words.len())];
        (!word.is_empty()).then(|| word.to_owned())
    };
    let currency = |text: Option<String>| text.and_then(|it| it.parse().ok());
    let (partner_key, partnership_key) = match rng.random_range(0..4) {
        0 => (None, None),
        1 => (None, Some("part_1".to_owned())),
        2 => (Some("bluepeak".to_owned()), None),
        _ => (Some("northwind".to_owned()), Some("part_1".to_owned())),
    };
    ListedReward {
        key: key.to_owned(),
        amount: rng.random_range(-500..2_000),
        currency: currency(pick(&["", "", "USD"], rng)),
        transaction_currency: currency(pick(&["", "USD", "JPY"], rng)),
        customer: pick(&["", "cus_1", "cus_2"], rng),
        partner_key,
        partnership_key,
        transaction_key: pick(&["", "stripe:ch_1", "elsewhere:ch_1", "odd"], rng),
        status: pick(&["", "new", "approved", "declined"], rng),
        archived: rng.random_ratio(1, 8),
        created_at: at,
        updated_at: Some(at),
    }
}

impl Lists {
    /// Something happens at the destination.
    fn happen(&mut self, now: Time, rng: &mut StdRng) {
        let keys: Vec<String> = self.there.keys().cloned().collect();
        match rng.random_range(0..5) {
            0..3 => {
                self.made += 1;
                let key = format!("rwrd_{:03}", self.made);
                let made = reward(&key, now, rng);
                self.there.insert(key, made);
            }
            3 if !keys.is_empty() => {
                let key = &keys[rng.random_range(0..keys.len())];
                let before = &self.there[key];
                let mut after = reward(key, before.created_at, rng);
                after.updated_at = Some(now);
                self.there.insert(key.clone(), after);
            }
            _ if !keys.is_empty() => {
                self.there.remove(&keys[rng.random_range(0..keys.len())]);
            }
            _ => {}
        }
    }

    fn page(&self, read: &MirrorRead) -> (Vec<ListedReward>, Option<String>) {
        let place = |row: &ListedReward| (row.created_at, row.key.clone());
        // A cursor may name what is gone by now; the toy keys follow the times.
        let after = read.after.as_deref().unwrap_or_default();
        let mut rows: Vec<&ListedReward> = self
            .there
            .values()
            .filter(|row| read.since.is_none_or(|since| row.created_at >= since))
            .filter(|row| row.key.as_str() > after)
            .collect();
        rows.sort_by_key(|row| place(row));
        let more = rows.len() > PAGE;
        rows.truncate(PAGE);
        let next = rows.last().filter(|_| more).map(|row| row.key.clone());
        (rows.into_iter().cloned().collect(), next)
    }

    /// What the ledger should make of a row.
    fn hear(&mut self, row: &ListedReward) {
        self.listed.insert(row.key.clone());
        let newer = self
            .known
            .get(&row.key)
            .is_some_and(|known| known.updated_at > row.updated_at);
        if !newer {
            self.known.insert(row.key.clone(), row.clone());
        }
    }
}

fn page(read: MirrorRead, rows: RosterRows, next: Option<String>) -> MirrorPage {
    MirrorPage {
        read,
        rows,
        next,
        reward_currency: OTHERWISE.parse().ok(),
    }
}

fn partners(name: Option<&str>) -> RosterRows {
    RosterRows::Partners(vec![ListedPartner {
        key: "part_1".to_owned(),
        partner_key: Some("northwind".to_owned()),
        name: name.map(str::to_owned),
    }])
}

/// Reads on, and stops anywhere.
async fn read_some(bench: &Bench, lists: &mut Lists, rng: &mut StdRng, whole: bool) {
    while let Some(turn) = bench.ledger.mirror_next("ps").await.unwrap() {
        if !whole && rng.random_ratio(1, 6) {
            return;
        }
        let read = match turn {
            MirrorTurn::Sweep(read) => {
                if read.list == List::Rewards {
                    let listed = &lists.listed;
                    lists.known.retain(|key, _| listed.contains(key));
                }
                bench.ledger.mirror_sweep(read).await.unwrap();
                continue;
            }
            MirrorTurn::Ask(read) => read,
        };
        let (rows, next) = match read.list {
            List::Customers => (RosterRows::Customers(Vec::new()), None),
            List::Partners => (partners(None), None),
            List::Rewards => {
                if read.after.is_none() {
                    lists.listed.clear();
                }
                let (mut rows, next) = lists.page(&read);
                // An older state of a row may come late.
                if let Some(row) = rows.first()
                    && rng.random_ratio(1, 3)
                {
                    let mut stale = reward(&row.key, row.created_at, rng);
                    stale.updated_at = row.updated_at.map(|at| at.plus(-MINUTE_MS));
                    rows.push(stale);
                }
                rows.iter().for_each(|row| lists.hear(row));
                (RosterRows::Rewards(rows), next)
            }
        };
        let taken = page(read, rows, next);
        if rng.random_ratio(1, 4) {
            bench.ledger.mirror_take(taken.clone()).await.unwrap();
        }
        bench.ledger.mirror_take(taken).await.unwrap();
    }
}

/// Asserts that every report has the commission that all known rewards come to.
async fn agree(bench: &Bench, lists: &Lists, told: &str) {
    let ranges = [None, Day::parse("2026-01-02")];
    for by in [By::Partner, By::Customer, By::Source, By::Day, By::Month] {
        for zone in ["UTC", "Asia/Tokyo"].map(|name| Zone::parse(name).unwrap()) {
            for to in ranges {
                let question = Question {
                    by,
                    from: None,
                    to,
                    zone: Some(zone.clone()),
                    basis: Basis::Own,
                };
                let expected = fold(lists, &question, &zone).report(&question, zone.name());
                let kept = bench.ledger.report(question.clone()).await.unwrap();
                assert_eq!(kept, expected, "{told}: {question:?}");
                if by == By::Day && to.is_none() && zone == Zone::utc() {
                    let overview = bench.ledger.overview().await.unwrap();
                    assert_eq!(overview.currencies, expected.totals, "{told}");
                }
            }
        }
    }
}

fn fold(lists: &Lists, question: &Question, zone: &Zone) -> Heap {
    let mut sums: BTreeMap<(Group, _), i64> = BTreeMap::new();
    for row in lists.known.values() {
        let otherwise = OTHERWISE.parse().ok();
        let currency = row.currency.or(otherwise).unwrap();
        let day = zone.day_of(row.created_at);
        if !is_commission(row.status.as_deref(), row.archived) || !question.asks(day) {
            continue;
        }
        let group = match question.by {
            By::Partner => Group::Partner {
                partner_key: row
                    .partner_key
                    .clone()
                    .or(row.partnership_key.as_ref().map(|_| "northwind".to_owned())),
                attributed: true,
            },
            By::Customer => Group::Customer {
                destination: Some("ps".to_owned()),
                customer_key: row.customer.clone(),
                partner_key: None,
                attributed: true,
            },
            By::Source => Group::Source {
                source: match row.transaction_key.as_deref() {
                    Some("stripe:ch_1") => "stripe".to_owned(),
                    _ => "(other)".to_owned(),
                },
            },
            By::Day => Group::Day { day },
            By::Month => Group::Month { month: day.month() },
        };
        *sums.entry((group, currency)).or_default() += row.amount;
    }
    let mut heap = Heap::default();
    heap.mirrors("ps".to_owned());
    for ((group, currency), commission) in sums {
        // A line that stands for nothing is none: its rewards balance.
        if commission != 0 {
            let sums = Sums {
                commission,
                ..Sums::default()
            };
            heap.add(group, currency, &sums);
        }
    }
    heap
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roll_up_of_rewards_is_what_all_rewards_come_to() {
    for seed in 0..rounds(SEEDS, SEEDS_ON_SERVER) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut bench = Bench::in_memory(vec![terms("stripe")]);
        let mut lists = Lists::default();
        bench.ledger.mirror_begin("ps", Extent::All).await.unwrap();
        read_some(&bench, &mut lists, &mut rng, true).await;
        for step in 0..STEPS {
            bench.clock.advance(HOUR_MS / 2);
            match rng.random_range(0..6) {
                0..3 => lists.happen(bench.clock.now(), &mut rng),
                3 => bench.restart().await,
                which => {
                    let extent = [Extent::New, Extent::All][usize::from(which == 5)];
                    bench.ledger.mirror_begin("ps", extent).await.unwrap();
                    read_some(&bench, &mut lists, &mut rng, false).await;
                }
            }
            if step % 15 == 0 {
                agree(&bench, &lists, &format!("seed {seed}, step {step}")).await;
            }
        }
        // What was cut off is finished, then all there is is read.
        read_some(&bench, &mut lists, &mut rng, true).await;
        bench.ledger.mirror_begin("ps", Extent::All).await.unwrap();
        read_some(&bench, &mut lists, &mut rng, true).await;
        assert_eq!(lists.known, lists.there, "seed {seed}");
        agree(&bench, &lists, &format!("seed {seed}, at the end")).await;
    }
}

/// Takes pages of rewards in, each as a read of what is new.
async fn rewarded(bench: &Bench, rows: Vec<ListedReward>, otherwise: Option<&str>) {
    bench.ledger.mirror_begin("ps", Extent::New).await.unwrap();
    while let Some(turn) = bench.ledger.mirror_next("ps").await.unwrap() {
        let read = match turn {
            MirrorTurn::Sweep(read) => {
                bench.ledger.mirror_sweep(read).await.unwrap();
                continue;
            }
            MirrorTurn::Ask(read) => read,
        };
        let rows = match read.list {
            List::Customers => RosterRows::Customers(Vec::new()),
            List::Partners => partners(None),
            List::Rewards => RosterRows::Rewards(rows.clone()),
        };
        let reward_currency = otherwise.map(|code| code.parse().unwrap());
        let page = MirrorPage {
            reward_currency,
            ..page(read, rows, None)
        };
        bench.ledger.mirror_take(page).await.unwrap();
    }
}

#[tokio::test]
async fn a_reward_without_a_currency_counts_once_somebody_says_it() {
    let mut bench = Bench::new();
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.run(&mut There::default()).await;
    let mut rng = StdRng::seed_from_u64(1);
    let mut plain = |key: &str, transaction: &str| ListedReward {
        amount: 500,
        currency: None,
        transaction_currency: None,
        transaction_key: Some(transaction.to_owned()),
        status: None,
        archived: false,
        ..reward(key, START, &mut rng)
    };
    // That of our own transaction is in the ledger.
    let rows = vec![plain("r1", "stripe:ch_1"), plain("r2", "of_somebody_else")];
    let totals = async |bench: &Bench| -> Vec<(String, Option<i64>)> {
        let overview = bench.ledger.overview().await.unwrap();
        let lines = overview.currencies.iter();
        lines
            .map(|it| (it.currency.to_string(), it.commission))
            .collect()
    };
    assert_eq!(totals(&bench).await, [("USD".to_owned(), None)]);
    rewarded(&bench, rows.clone(), None).await;
    assert_eq!(totals(&bench).await, [("USD".to_owned(), Some(500))]);
    let figures = bench.ledger.mirror_figures("ps").await.unwrap();
    assert_eq!(figures.without_currency, 1);
    rewarded(&bench, rows, Some("EUR")).await;
    let both = [("EUR", 1000), ("USD", 0)].map(|(code, sum)| (code.to_owned(), Some(sum)));
    assert_eq!(totals(&bench).await, both);
    let figures = bench.ledger.mirror_figures("ps").await.unwrap();
    assert_eq!(figures.without_currency, 0);
}

/// How many customers are listed, unless `TRIBUTARY_MIRROR_CUSTOMERS` asks for more;
/// each has four rewards.
const MANY: usize = 1_000;
const MANY_ON_SERVER: usize = 300;

#[expect(
    clippy::disallowed_methods,
    reason = "a person asks for more customers by the environment"
)]
fn customers() -> usize {
    let asked = std::env::var("TRIBUTARY_MIRROR_CUSTOMERS");
    let usual = if on_postgres() { MANY_ON_SERVER } else { MANY };
    asked.map_or(usual, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_customers_and_rewards_add_up() {
    let many = customers();
    let bench = Bench::in_memory(vec![with_rules(true, &["mirror:customer"])]);
    let mut rng = StdRng::seed_from_u64(3);
    let customers: Vec<ListedCustomer> = (0..many)
        .map(|number| {
            listed(&format!("cus_{number}"), &format!("c{number}"), |row| {
                row.provider_key = Some(format!("p_{number}"));
            })
        })
        .collect();
    let rewards: Vec<ListedReward> = (0..many * 4)
        .map(|number| ListedReward {
            customer: Some(format!("cus_{}", number / 4)),
            currency: "USD".parse().ok(),
            partner_key: Some("northwind".to_owned()),
            status: None,
            archived: false,
            ..reward(
                &format!("r{number}"),
                START.plus(i64::try_from(number % 360).unwrap() * 24 * HOUR_MS),
                &mut rng,
            )
        })
        .collect();
    let began = Clock::Machine.now();
    bench.ledger.mirror_begin("ps", Extent::All).await.unwrap();
    while let Some(turn) = bench.ledger.mirror_next("ps").await.unwrap() {
        let read = match turn {
            MirrorTurn::Sweep(read) => {
                bench.ledger.mirror_sweep(read).await.unwrap();
                continue;
            }
            MirrorTurn::Ask(read) => read,
        };
        // The toy's cursor is a place in the list.
        let from = read.after.as_deref().map_or(0, |at| at.parse().unwrap());
        let to = from + 250;
        let place = |length: usize| (to < length).then(|| to.to_string());
        let (rows, next) = match read.list {
            List::Customers => {
                let rows = customers[from..to.min(many)].to_vec();
                (RosterRows::Customers(rows), place(many))
            }
            List::Rewards => {
                let rows = rewards[from..to.min(many * 4)].to_vec();
                (RosterRows::Rewards(rows), place(many * 4))
            }
            List::Partners => (partners(None), None),
        };
        let taken = page(read, rows, next);
        bench.ledger.mirror_take(taken).await.unwrap();
    }
    println!(
        "{many} customers took {} ms",
        Clock::Machine.now().since(began)
    );
    let earned: i64 = rewards.iter().map(|it| it.amount).sum();
    for by in [By::Partner, By::Customer, By::Month] {
        let began = Clock::Machine.now();
        let question = Question {
            by,
            from: None,
            to: None,
            zone: None,
            basis: Basis::Own,
        };
        let report = bench.ledger.report(question).await.unwrap();
        println!("by {by:?}: {} ms", Clock::Machine.now().since(began));
        assert_eq!(report.totals[0].commission, Some(earned));
    }
    let began = Clock::Machine.now();
    let overview = bench.ledger.overview().await.unwrap();
    println!("overview: {} ms", Clock::Machine.now().since(began));
    assert_eq!(overview.currencies[0].commission, Some(earned));
}

pub fn listed(
    key: &str,
    customer_key: &str,
    change: impl FnOnce(&mut ListedCustomer),
) -> ListedCustomer {
    let mut row = ListedCustomer {
        key: key.to_owned(),
        customer_key: Some(customer_key.to_owned()),
        partner_key: Some("northwind".to_owned()),
        updated_at: Some(START),
        ..ListedCustomer::default()
    };
    change(&mut row);
    row
}

/// Reads all there is, which is these customers.
async fn list(bench: &Bench, rows: &[ListedCustomer]) -> MirrorTaken {
    list_both(bench, rows, &[]).await
}

/// The same of these customers and rewards.
pub async fn list_both(
    bench: &Bench,
    rows: &[ListedCustomer],
    rewards: &[ListedReward],
) -> MirrorTaken {
    bench.clock.advance(1);
    bench.ledger.mirror_begin("ps", Extent::All).await.unwrap();
    let mut all = MirrorTaken::default();
    while let Some(turn) = bench.ledger.mirror_next("ps").await.unwrap() {
        let taken = match turn {
            MirrorTurn::Sweep(read) => bench.ledger.mirror_sweep(read).await,
            MirrorTurn::Ask(read) => {
                let rows = match read.list {
                    List::Customers => RosterRows::Customers(rows.to_vec()),
                    List::Rewards => RosterRows::Rewards(rewards.to_vec()),
                    List::Partners => partners(Some("Northwind Media")),
                };
                bench.ledger.mirror_take(page(read, rows, None)).await
            }
        };
        let taken = taken.unwrap();
        all.changed += taken.changed;
        all.payments += taken.payments;
        all.due |= taken.due;
    }
    all
}

fn with_rules(live: bool, rules: &[&str]) -> SourceTerms {
    SourceTerms {
        live,
        rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
        ..terms("stripe")
    }
}

#[tokio::test]
async fn a_test_customer_resolves_no_live_payment_and_the_other_way_round() {
    for live in [true, false] {
        let mut bench = Bench::with(vec![with_rules(live, &["mirror:customer"])]);
        let mut sale = charge("ch_1", 4999, Some("cus_A"));
        sale.scope.live = Some(live);
        bench.deliver(sale).await;
        let other = listed("cus_1", "acme", |row| {
            row.provider_key = Some("cus_A".to_owned());
            row.test = live;
        });
        list(&bench, std::slice::from_ref(&other)).await;
        assert_eq!(
            bench.state("ch_1").await,
            State::Unattributed,
            "live {live}"
        );
        let own = ListedCustomer {
            key: "cus_2".to_owned(),
            test: !live,
            ..other.clone()
        };
        let taken = list(&bench, &[other, own]).await;
        assert!(taken.due && taken.payments == 1, "{taken:?}");
        assert_eq!(bench.state("ch_1").await, State::Due, "live {live}");
        assert_eq!(
            bench.payment("ch_1").await.partner_key.as_deref(),
            Some("northwind")
        );
    }
}

#[tokio::test]
async fn what_was_listed_last_counts_and_what_is_gone_finds_nobody() {
    let mut bench = Bench::with(vec![with_rules(true, &["mirror:customer"])]);
    let at = |minutes: i64, id: &str| {
        listed("cus_1", "acme", |row| {
            row.provider_key = Some(id.to_owned());
            row.updated_at = Some(START.plus(minutes * MINUTE_MS));
        })
    };
    list(&bench, &[at(5, "cus_B")]).await;
    // An older state that comes late changes nothing.
    assert_eq!(list(&bench, &[at(1, "cus_A")]).await.changed, 0);
    bench.deliver(charge("ch_a", 100, Some("cus_A"))).await;
    bench.deliver(charge("ch_b", 200, Some("cus_B"))).await;
    assert_eq!(bench.state("ch_a").await, State::Unattributed);
    assert_eq!(bench.state("ch_b").await, State::Due);
    let mut there = There::default();
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 200);

    // A list that does not show it any more takes nothing back that was sent.
    let gone = list(&bench, &[]).await;
    assert!(gone.changed > 0, "{gone:?}");
    assert_eq!(bench.state("ch_b").await, State::Settled);
    bench.deliver(charge("ch_c", 300, Some("cus_B"))).await;
    assert_eq!(bench.state("ch_c").await, State::Unattributed);
    list(&bench, &[at(5, "cus_B")]).await;
    assert_eq!(bench.state("ch_c").await, State::Due);
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 500);
}

#[tokio::test]
async fn a_customer_whom_very_many_wait_for_is_taken_in_at_once() {
    let mut bench = Bench::in_memory(vec![with_rules(true, &["mirror:customer"])]);
    // More than one command folds.
    let sales = (0..520).map(|number| charge(&format!("ch_{number}"), 10, Some("cus_A")));
    bench.deliver_all(sales.collect()).await;
    let own = listed("cus_1", "acme", |row| {
        row.provider_key = Some("cus_A".to_owned());
    });
    let taken = list(&bench, &[own]).await;
    assert!(taken.due, "{taken:?}");
    let mut there = There::default();
    bench.run_all(&mut there).await;
    assert_eq!(there.sum(), 5_200);
}

#[tokio::test]
async fn a_customer_without_a_key_of_ours_is_told_and_named_by_nobody() {
    let mut bench = Bench::with(vec![with_rules(true, &["mirror:customer"])]);
    bench.deliver(charge("ch_1", 100, Some("cus_A"))).await;
    let own = listed("cus_1", "acme", |row| {
        row.customer_key = None;
        row.provider_key = Some("cus_A".to_owned());
    });
    list(&bench, &[own]).await;
    let reason = bench.payment("ch_1").await.reason.unwrap();
    assert!(reason.contains("has no customer_key"), "{reason}");
}

#[tokio::test]
async fn an_address_finds_its_customer_however_it_is_written() {
    let mut bench = Bench::with(vec![with_rules(true, &["mirror:email"])]);
    let mut sale = charge("ch_1", 100, Some(" Ann@Example.COM"));
    sale.clues[0].field = "email".to_owned();
    bench.deliver(sale).await;
    let own = listed("cus_1", "acme", |row| {
        row.email = Some("ANN@example.com".to_owned());
    });
    let taken = list(&bench, &[own]).await;
    assert_eq!(taken.payments, 1);
    let found = bench.payment("ch_1").await;
    assert_eq!(found.customer_key.as_deref(), Some("acme"));

    // Where payments are posted by address, their partner is known by it as well.
    let mut bench = Bench::with(vec![with_rules(true, &["email"])]);
    let mut sale = charge("ch_1", 100, Some("ann@example.com"));
    sale.clues[0].field = "email".to_owned();
    bench.deliver(sale).await;
    let own = listed("cus_1", "acme", |row| {
        row.email = Some("Ann@Example.com".to_owned());
    });
    list(&bench, &[own]).await;
    let found = bench.payment("ch_1").await;
    assert_eq!(found.partner_key.as_deref(), Some("northwind"));
    let kept = bench.number("SELECT count(email) FROM mirrored_customers");
    assert_eq!(kept, 0, "addresses are kept only where they resolve");
}
