//! Deliveries that share a commit: what they come to is what they come to one by one,
//! whatever else stands beside them in it.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tributary::destination::Outcome;
use tributary::ledger::{Filter, Ledger, Taken};
use tributary::movement::Reading;

use crate::bench::*;
use crate::tale::history;

/// Two sources of one provider, so that some money is told of by both.
const SOURCES: [&str; 2] = ["stripe", "stripe-2"];

fn two_sources() -> Vec<tributary::ledger::book::SourceTerms> {
    SOURCES.map(terms).to_vec()
}

/// Told of in one commit by two sources, it is posted for one of them only.
#[tokio::test]
async fn one_money_told_of_by_two_sources_in_one_commit_is_posted_once() {
    let (mut bench, mut there) = (Bench::with(two_sources()), There::default());
    for source in SOURCES {
        bench.deliver_to(source, customer("cus_A", "acme", 1)).await;
    }
    let told = SOURCES.map(|source| (source, charge("ch_1", 4999, Some("cus_A"))));
    bench.deliver_together(told.to_vec()).await;
    // At once, and not only when its turn comes: reports count what is not held.
    assert_eq!(bench.payment_of("stripe-2", "ch_1").await.state, "held");
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 4999);
    assert_eq!(bench.payment_of("stripe-2", "ch_1").await.state, "held");
    // The same under two ids of one source.
    let mut invoice = charge("in_2", 700, Some("cus_A"));
    invoice.aliases = vec![alias("in_2", "payment_intent", "pi_ch_2")];
    let told = [charge("ch_2", 700, Some("cus_A")), invoice];
    bench
        .deliver_together(told.map(|it| ("stripe", it)).to_vec())
        .await;
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 4999 + 700);
    // Both know of it before any of them captures it.
    for source in SOURCES {
        let mut named = charge("ch_3", 300, Some("cus_A"));
        named.movements = authorised("ch_3", 300).movements;
        bench.deliver_to(source, named).await;
    }
    let told = SOURCES.map(|source| (source, charge("ch_3", 300, Some("cus_A"))));
    bench.deliver_together(told.to_vec()).await;
    let mut states = Vec::new();
    for source in SOURCES {
        states.push(bench.payment_of(source, "ch_3").await.state);
    }
    states.sort_unstable();
    assert_eq!(states, ["due", "held"]);
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 4999 + 700 + 300);
}

/// A payment, its customer, a refund that names its intent and what came twice, in any
/// order within one commit.
#[tokio::test]
async fn a_payment_its_customer_and_its_refund_in_one_commit_find_each_other() {
    let told = [
        charge("ch_1", 4999, Some("cus_A")),
        customer("cus_A", "acme", 1),
        refund_of_intent("pi_ch_1", "re_1", 1500, 2),
        charge("ch_1", 4999, Some("cus_A")),
    ];
    for first in 0..told.len() {
        let (mut bench, mut there) = (Bench::new(), There::default());
        let mut told = told.clone();
        told.rotate_left(first);
        bench
            .deliver_together(told.map(|it| ("stripe", it)).to_vec())
            .await;
        bench.run(&mut there).await;
        assert_eq!(there.sum(), 3499, "{first}");
    }
}

/// One that cannot be recorded takes none of the others with it, and each is told its own.
#[tokio::test]
async fn each_delivery_of_a_commit_is_answered_for_itself() {
    let mut bench = Bench::new();
    let new = bench.delivery("stripe", charge("ch_1", 100, None));
    let mut unreadable = bench.delivery("stripe", charge("ch_2", 100, None));
    unreadable.reading = Err("no JSON".to_owned());
    let nothing = bench.delivery("stripe", Reading::ignored("ping", "nothing in it"));
    let mut elsewhere = bench.delivery("stripe", charge("ch_3", 100, None));
    elsewhere.source = "shop".to_owned();
    let impossible = bench.delivery("stripe", charge("ch_4", -1, None));
    let mut other_words = new.clone();
    other_words.reading = Ok(Reading {
        delivery_id: new.reading.clone().unwrap().delivery_id,
        ..charge("ch_1", 200, None)
    });
    let told = vec![
        new.clone(),
        unreadable,
        nothing,
        elsewhere,
        impossible,
        new,
        other_words,
    ];
    let answers = bench.ledger.record_all(told.clone()).await;
    let status = |at: usize| answers[at].as_ref().map(|it| it.status).ok();
    assert_eq!(
        (0..told.len()).map(status).collect::<Vec<_>>(),
        [
            Some(Taken::Recorded),
            Some(Taken::Unreadable),
            Some(Taken::Ignored),
            None,
            Some(Taken::Unreadable),
            Some(Taken::Duplicate),
            Some(Taken::Recorded),
        ],
        "{answers:?}"
    );
    let names = |at: usize| answers[at].as_ref().unwrap().delivery.clone();
    assert_eq!(names(0), names(5));
    assert!(names(6).starts_with(&format!("{}~", names(0))));
    // All of them again: nothing is new.
    let again = bench.ledger.record_all(told).await;
    let status = |at: usize| again[at].as_ref().map(|it| it.status).ok();
    for at in [0, 1, 2, 4, 5, 6] {
        assert_eq!(status(at), Some(Taken::Duplicate), "{at}");
    }
    assert_eq!(bench.number("SELECT count(*) FROM payments"), 1);
    assert_eq!(bench.number("SELECT count(*) FROM deliveries"), 5);
}

/// Where each payment stands, and why.
async fn standings(ledger: &Ledger) -> BTreeMap<(String, String), String> {
    let page = ledger.payments(Filter::default(), 1_000).await.unwrap();
    assert_eq!(page.next_cursor, None, "a page holds them all");
    let mut all = BTreeMap::new();
    for it in page.items {
        let told = ledger.story(&it.source, &it.payment_id).await.unwrap();
        let standing = format!(
            "{:?} {:?} {:?} {:?} {} {:?}, {} facts",
            it.currency,
            it.gross,
            it.reversed,
            it.customer_key,
            it.state,
            it.reason,
            told.facts.len()
        );
        all.insert((it.source, it.payment_id), standing);
    }
    all
}

/// Customers who are known, linked, not linked, or unknown to the destination.
fn tales(rng: &mut StdRng) -> Vec<(&'static str, Reading)> {
    let mut told = Vec::new();
    for number in 0..12 {
        let id = format!("ch_{number}");
        let customer = ["cus_A", "cus_B", "cus_C"][number % 3];
        for mut reading in history(&id, rng).1 {
            for clue in &mut reading.clues {
                customer.clone_into(&mut clue.value);
            }
            told.push(("stripe", reading));
        }
        let refund = format!("re_{number}_named");
        told.push((
            "stripe",
            refund_of_intent(&format!("pi_{id}"), &refund, 7, 50),
        ));
    }
    let twice: Vec<_> = told
        .iter()
        .filter(|_| rng.random_ratio(1, 4))
        .cloned()
        .collect();
    told.extend(twice);
    told.shuffle(rng);
    told
}

/// What a second source tells of the same money, later: which of two is counted where
/// both are told of in one commit is nobody's concern.
fn told_elsewhere() -> Vec<(&'static str, Reading)> {
    let charges = (0..4).map(|number| charge(&format!("ch_{number}"), 500, Some("cus_A")));
    let told = charges.chain([customer("cus_A", "acme", 1)]);
    told.map(|it| ("stripe-2", it)).collect()
}

async fn begun(mut bench: Bench) -> Bench {
    for (id, key) in [("cus_A", "acme"), ("cus_B", "beta")] {
        bench.deliver(customer(id, key, 1)).await;
    }
    // The destination does not know the second of them.
    bench.deliver(charge("ch_first", 100, Some("cus_B"))).await;
    bench.call(Outcome::CustomerUnknown).await;
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_commit_takes_comes_to_what_it_comes_to_one_by_one() {
    for seed in 0..rounds(40, 3) {
        let mut rng = StdRng::seed_from_u64(seed);
        let told = tales(&mut rng);
        let mut alone = begun(Bench::in_memory(two_sources())).await;
        for (source, reading) in told.iter().cloned().chain(told_elsewhere()) {
            alone.deliver_to(source, reading).await;
        }
        // In a database as well, where all is asked ahead.
        let server = (seed % 10 == 0).then(|| Bench::on_server(two_sources()));
        let benches = [Some(Bench::in_memory(two_sources())), server];
        for bench in benches.into_iter().flatten() {
            let mut bench = begun(bench).await;
            let mut left = told.clone();
            while !left.is_empty() {
                let many = rng.random_range(1..=left.len().min(40));
                bench.deliver_together(left.drain(..many).collect()).await;
            }
            bench.deliver_together(told_elsewhere()).await;
            let (these, those) = (
                standings(&bench.ledger).await,
                standings(&alone.ledger).await,
            );
            assert_eq!(these, those, "seed {seed}");
            crate::days::agree_briefly(&bench.ledger, "the roll-ups").await;
        }
    }
}
