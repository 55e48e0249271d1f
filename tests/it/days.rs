//! The roll-ups against the payments: after anything that can happen to a
//! ledger, every report is what all payments come to, one by one.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tributary::day::{Day, Zone};
use tributary::daybook::daybook;
use tributary::ledger::{Decision, Filter, Ledger, NewLink};
use tributary::movement::Reading;
use tributary::plan::Policy;
use tributary::report::{Basis, By, Counted, Group, Heap, Most, Question, Report};
use tributary::time::{DAY_MS, HOUR_MS};

use crate::bench::*;
use crate::tale::{Answers, history, thinned};

/// Histories that are played; each takes a few tenths of a second.
const SEEDS: u64 = 12;
const SEEDS_ON_SERVER: u64 = 1;

/// Random steps of each.
const STEPS: usize = 90;

const BYS: [By; 5] = [By::Partner, By::Customer, By::Source, By::Day, By::Month];

/// Every report that differs in how it is added up.
pub fn questions(zone: &Zone) -> Vec<Question> {
    let day = |text: &str| Day::parse(text);
    let ranges = [
        (None, None),
        (day("2026-01-03"), day("2026-01-20")),
        (None, day("2026-01-01")),
        (day("2026-01-09"), None),
    ];
    let mut questions = Vec::new();
    for by in BYS {
        for basis in [Basis::Own, Basis::Sale] {
            for (from, to) in ranges {
                questions.push(Question {
                    by,
                    from,
                    to,
                    zone: Some(zone.clone()),
                    basis,
                });
            }
        }
    }
    questions
}

/// Asserts that every report is what the payments come to, from their facts.
pub async fn agree(ledger: &Ledger, told: &str) {
    let zones = [
        ledger.report_zone().clone(),
        Zone::parse("Asia/Tokyo").unwrap(),
    ];
    let all = zones.iter().flat_map(questions).collect();
    agree_on(ledger, told, all).await;
}

/// The same of the few that read all there is of the roll-ups.
pub async fn agree_briefly(ledger: &Ledger, told: &str) {
    let mut few = questions(ledger.report_zone());
    few.retain(|it| it.from.is_none() && it.to.is_none());
    few.retain(|it| matches!(it.by, By::Customer | By::Day));
    agree_on(ledger, told, few).await;
}

async fn agree_on(ledger: &Ledger, told: &str, questions: Vec<Question>) {
    let page = ledger.payments(Filter::default(), 1_000).await.unwrap();
    assert_eq!(page.next_cursor, None, "a page holds them all");
    let mut stories = Vec::new();
    for payment in page.items.iter().filter(|it| it.gross > Some(0)) {
        let same_money = payment
            .reason
            .as_ref()
            .is_some_and(|it| it.contains("the same money as"));
        if same_money || payment.live == Some(false) && payment.forwarded == 0 {
            continue;
        }
        let (source, id) = (payment.source.as_str(), payment.payment_id.as_str());
        stories.push((payment, ledger.story(source, id).await.unwrap().facts));
    }
    for question in questions {
        let zone = question.zone.as_ref().unwrap();
        let mut heap = Heap::default();
        for (payment, facts) in &stories {
            let split = daybook(facts, zone).unwrap();
            assert_eq!(Some(split.gross), payment.gross, "{}", payment.payment_id);
            assert_eq!(
                Some(split.reversed()),
                payment.reversed,
                "{}",
                payment.payment_id
            );
            let counted = Counted {
                split: &split,
                currency: payment.currency.unwrap(),
                attributed: payment.customer_key.is_some(),
                ignored: payment.state == "ignored",
            };
            let customer = payment.customer_key.clone();
            heap.add_payment(&question, &counted, |day| match question.by {
                By::Partner => Group::Partner {
                    partner_key: None,
                    attributed: customer.is_some(),
                },
                By::Customer => Group::Customer {
                    destination: customer.as_ref().map(|_| payment.destination.clone()),
                    customer_key: customer.clone(),
                    partner_key: None,
                    attributed: customer.is_some(),
                },
                By::Source => Group::Source {
                    source: payment.source.clone(),
                },
                By::Day => Group::Day { day },
                By::Month => Group::Month { month: day.month() },
            });
        }
        let expected = heap.report(&question, zone.name());
        let kept = ledger.report(question.clone()).await.unwrap();
        assert_eq!(kept, expected, "{told}: {question:?}");
        if zone == ledger.report_zone() {
            fewer_agree(ledger, &question, &expected, told).await;
        }
        let all = question.from.is_none() && question.to.is_none();
        if all && question.basis == Basis::Own && zone == ledger.report_zone() {
            let overview = ledger.overview().await.unwrap();
            assert_eq!(overview.currencies, expected.totals, "{told}");
        }
    }
}

/// Asserts that a report with fewer lines is the beginning of the whole one, and that
/// the courses of customers add up to their nets.
async fn fewer_agree(ledger: &Ledger, question: &Question, whole: &Report, told: &str) {
    for most in [Most::First(1), Most::First(3), Most::Each(1), Most::Each(2)] {
        let mut expected = whole.clone();
        let (mut all, mut each) = (0, BTreeMap::new());
        expected.items.retain(|line| {
            let of_currency: &mut usize = each.entry(line.currency).or_default();
            let room = match most {
                Most::All => true,
                Most::First(lines) => all < lines,
                Most::Each(lines) => *of_currency < lines,
            };
            all += 1;
            *of_currency += 1;
            if !room {
                *expected.left_off_of.entry(line.currency).or_default() += 1;
            }
            room
        });
        expected.left_off = whole.items.len() - expected.items.len();
        let bys = vec![By::Customer, question.by, By::Partner];
        let kept = ledger.reports(question.clone(), bys, most.into());
        let kept = kept.await.unwrap();
        assert_eq!(kept.len(), 3);
        assert_eq!(kept[1], expected, "{told}: {most:?} of {question:?}");
    }
    if question.by != By::Customer || question.basis != Basis::Own {
        return;
    }
    let mut nets: BTreeMap<(String, _), i64> = BTreeMap::new();
    for line in &whole.items {
        if let Some(Group::Customer {
            customer_key: Some(key),
            ..
        }) = &line.group
        {
            *nets.entry((key.clone(), line.currency)).or_default() += line.net;
        }
    }
    let keys = nets.keys().map(|(key, _)| key.clone()).collect();
    let day = |day: Option<Day>, none: &str| day.or(Day::parse(none)).unwrap();
    let days = (
        day(question.from, "1970-01-01"),
        day(question.to, "2100-01-01"),
    );
    let courses = ledger.trends(By::Customer, days, keys).await.unwrap();
    let courses = courses.into_iter();
    let sums = courses.map(|(whose, days)| (whose, days.values().sum()));
    assert_eq!(
        sums.collect::<BTreeMap<_, i64>>(),
        nets,
        "{told}: {question:?}"
    );
}

/// Makes segments of all days that are over.
pub async fn condense(ledger: &Ledger) {
    while ledger.condense().await.unwrap() {}
}

/// What a provider tells of one payment, spread over weeks, in some currency and
/// about some customer.
pub fn told_of(id: &str, rng: &mut StdRng) -> Vec<Reading> {
    let (_, told, _) = history(id, rng);
    let currency = ["USD", "EUR"][rng.random_range(0..2)].parse().unwrap();
    let sold = rng.random_range(-3..12) * DAY_MS + rng.random_range(0..24) * HOUR_MS;
    let customer = ["cus_A", "cus_B", "cus_C"][rng.random_range(0..3)];
    let test = rng.random_ratio(1, 8);
    let mut answers = Answers::new();
    let mut spread = |mut reading: Reading| {
        for movement in &mut reading.movements {
            let fact = &mut movement.fact;
            let seconds = fact.at.since(START) / 1_000;
            fact.at = START.plus(sold + seconds * 7 * HOUR_MS);
            fact.currency = currency;
        }
        for clue in &mut reading.clues {
            clue.value = customer.to_owned();
        }
        reading.scope.live = test.then_some(false);
        // Some name the intent, so that they wait under a stand-in.
        let mut named = thinned(reading.clone(), &mut answers, rng);
        named.scope = reading.scope.clone();
        match named.inquiries.is_empty() {
            true => named,
            false => reading,
        }
    };
    told.into_iter().map(&mut spread).collect()
}

pub async fn decide(bench: &Bench, rng: &mut StdRng) {
    let filter = Filter {
        payment_id: Some(format!("ch_{}", rng.random_range(0..8))),
        ..Filter::default()
    };
    let decision = match rng.random_range(0..5) {
        0 | 1 => Decision::Skip { leave: true },
        2 => Decision::Policy {
            policy: Policy::Negative,
        },
        3 => Decision::Customer {
            customer: "initech".to_owned(),
        },
        _ => Decision::Accept,
    };
    let decided = bench.ledger.decide(filter, decision, bench.word(), false);
    decided.await.unwrap();
}

pub async fn link(bench: &Bench, rng: &mut StdRng) {
    let source = ["stripe", "shop"][rng.random_range(0..2)];
    let external_id = ["cus_A", "cus_B"][rng.random_range(0..2)];
    if rng.random_ratio(1, 4) {
        // There may be none.
        let _ = bench
            .ledger
            .unlink(source, "customer", external_id, bench.word())
            .await;
        return;
    }
    let link = NewLink {
        source: source.to_owned(),
        kind: "customer".to_owned(),
        external_id: external_id.to_owned(),
        customer_key: ["acme", "globex"][rng.random_range(0..2)].to_owned(),
        amount: None,
        replace: true,
        move_forwarded: rng.random_ratio(1, 2),
    };
    bench.ledger.link(link, bench.word()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roll_ups_are_what_all_payments_come_to() {
    for seed in 0..rounds(SEEDS, SEEDS_ON_SERVER) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut shop = terms("shop");
        shop.forward_from = Some(START.plus(4 * DAY_MS));
        let mut bench = Bench::in_memory(vec![terms("stripe"), shop]);
        let mut events: Vec<(&str, Reading)> = Vec::new();
        for number in 0..8 {
            let told = told_of(&format!("ch_{number}"), &mut rng);
            let source = ["stripe", "shop"][rng.random_range(0..2)];
            events.extend(told.into_iter().map(|it| (source, it)));
        }
        events.shuffle(&mut rng);
        let mut there = There::default();
        for step in 0..STEPS {
            bench.clock.advance(HOUR_MS);
            match rng.random_range(0..9) {
                8 => condense(&bench.ledger).await,
                0..4 => {
                    if let Some((source, told)) = events.pop() {
                        if rng.random_ratio(1, 4) {
                            bench.deliver_to(source, told.clone()).await;
                        }
                        bench.deliver_to(source, told).await;
                    }
                }
                4 => bench.run(&mut there).await,
                5 => decide(&bench, &mut rng).await,
                6 => link(&bench, &mut rng).await,
                _ => bench.restart().await,
            }
            if step % 9 == 0 {
                agree_briefly(&bench.ledger, &format!("seed {seed}, step {step}")).await;
            }
        }
        while let Some((source, told)) = events.pop() {
            bench.deliver_to(source, told).await;
        }
        bench.run(&mut there).await;
        agree(&bench.ledger, &format!("seed {seed}, at the end")).await;
        // Now all of its days are over, and what changes one of them is late.
        bench.clock.advance(400 * DAY_MS);
        for step in 0..6 {
            condense(&bench.ledger).await;
            agree_briefly(&bench.ledger, &format!("seed {seed}, over, {step}")).await;
            match step % 2 {
                0 => link(&bench, &mut rng).await,
                _ => decide(&bench, &mut rng).await,
            }
            agree_briefly(&bench.ledger, &format!("seed {seed}, late, {step}")).await;
        }
        condense(&bench.ledger).await;
        agree(&bench.ledger, &format!("seed {seed}, over")).await;
    }
}

#[tokio::test]
async fn money_moves_between_lines_when_its_customer_becomes_known() {
    let mut bench = Bench::new();
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    let lines = async |bench: &Bench| -> Vec<(Option<String>, i64, i64)> {
        let question = Question {
            by: By::Customer,
            from: None,
            to: None,
            zone: None,
            basis: Basis::Own,
        };
        let report = bench.ledger.report(question).await.unwrap();
        let lines = report.items.into_iter().map(|line| match line.group {
            Some(Group::Customer { customer_key, .. }) => {
                (customer_key, line.net, line.unattributed)
            }
            other => panic!("{other:?}"),
        });
        lines.collect()
    };
    assert_eq!(lines(&bench).await, [(None, 4999, 4999)]);
    bench.deliver(customer("cus_A", "acme", 1)).await;
    let acme = Some("acme".to_owned());
    assert_eq!(lines(&bench).await, [(acme.clone(), 4999, 0)]);
    bench.deliver(refund("ch_1", "re_1", 500, 5)).await;
    bench.deliver(refund("ch_1", "re_1", 500, 5)).await;
    assert_eq!(lines(&bench).await, [(acme, 4499, 0)]);
    // What is a test or nothing is no revenue.
    let mut test = charge("ch_test", 100, Some("cus_A"));
    test.scope.live = Some(false);
    bench.deliver(test).await;
    bench.deliver(charge("ch_nothing", 0, Some("cus_A"))).await;
    bench.deliver(authorised("ch_later", 100)).await;
    assert_eq!(lines(&bench).await.len(), 1);
    agree(&bench.ledger, "by hand").await;
}

#[tokio::test]
async fn the_same_money_counts_once_whatever_is_forwarded() {
    // The second source is only for what comes later, so its twin is ignored.
    let mut later = terms("later");
    later.forward_from = Some(START.plus(DAY_MS));
    let mut bench = Bench::with(vec![terms("stripe"), later]);
    bench.deliver(customer("cus_A", "acme", 1)).await;
    for source in ["later", "stripe"] {
        let sale = charge("ch_1", 4999, Some("cus_A"));
        bench.deliver_to(source, sale).await;
        let overview = bench.ledger.overview().await.unwrap();
        let sums: Vec<_> = overview
            .currencies
            .iter()
            .map(|it| (it.gross, it.payments))
            .collect();
        assert_eq!(sums, [(4999, 1)], "after {source}");
    }
}

#[tokio::test]
async fn a_ledger_keeps_the_zone_of_its_days() {
    let bench = Bench::new();
    let again = |name: &str| {
        Ledger::open(tributary::ledger::Opening {
            url: bench.url(),
            terms: bench.terms.clone(),
            clock: bench.clock.clone(),
            report_zone: Zone::parse(name).unwrap(),
            serve: false,
        })
    };
    assert!(again("UTC").is_ok());
    let refused = again("Europe/Stockholm").err().unwrap().to_string();
    for part in ["ledger.report_zone", "report_zone = \"UTC\"", "--zone"] {
        assert!(refused.contains(part), "{refused}");
    }
}
