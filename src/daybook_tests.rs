//! The split over days, story by story, and the property that nothing is lost
//! or made up by it.

use proptest::prelude::*;

use super::*;
use crate::movement::{Authority, Basis, rank};
use crate::time::{DAY_MS, HOUR_MS, Time};

/// 2026-06-01 in milliseconds: day 0 of every story here.
const FIRST: i64 = 1_780_272_000_000;

fn fact(class: Class, id: &str, rank: u8, amount: Minor, day: i64) -> Fact {
    Fact {
        class,
        id: id.to_owned(),
        basis: Basis::Each,
        rank,
        version: day,
        authority: Authority::Webhook,
        amount,
        currency: "USD".parse().unwrap(),
        at: Time(FIRST + day * DAY_MS + 12 * HOUR_MS),
        partial_capture: false,
        product_key: None,
        category_key: None,
    }
}

fn sold(amount: Minor) -> Fact {
    fact(Class::Capture, "ch", rank::CAPTURED, amount, 0)
}

fn refund(id: &str, amount: Minor, day: i64) -> Fact {
    fact(Class::Refund, id, rank::LIVE, amount, day)
}

fn undone(id: &str, amount: Minor, day: i64) -> Fact {
    fact(Class::Refund, id, rank::UNDONE, amount, day)
}

fn total(amount: Minor, day: i64) -> Fact {
    Fact {
        basis: Basis::Total,
        ..refund("ch", amount, day)
    }
}

/// The parts with their days counted from the first.
fn parts(facts: &[Fact]) -> Vec<(i64, Minor)> {
    let split = daybook(facts, &Zone::utc()).unwrap();
    let first = Zone::utc().day_of(Time(FIRST));
    let after = |day: Day| (0..1_000).find(|it| first.plus(*it) == day).unwrap();
    let reversals = split.reversals.iter();
    reversals
        .map(|(day, amount)| (after(*day), *amount))
        .collect()
}

#[test]
fn a_sale_and_its_refunds_have_days_of_their_own() {
    let facts = [
        sold(4999),
        refund("a", 500, 3),
        refund("b", 300, 3),
        refund("c", 1, 40),
    ];
    assert_eq!(parts(&facts), [(3, 800), (40, 1)]);
    let split = daybook(&facts, &Zone::utc()).unwrap();
    assert_eq!(
        (split.sale.to_string().as_str(), split.gross),
        ("2026-06-01", 4999)
    );
    assert_eq!(split.reversed(), 801);
    assert_eq!(
        daybook(&facts[1..], &Zone::utc()),
        None,
        "nothing was captured"
    );
}

#[test]
fn a_failed_refund_comes_back_on_the_day_on_which_it_failed() {
    let facts = [sold(4999), refund("a", 500, 3), undone("a", 500, 9)];
    assert_eq!(parts(&facts), [(3, 500), (9, -500)]);
    // Failed on the same day: nothing happened that a day could show.
    assert_eq!(
        parts(&[sold(4999), refund("a", 500, 3), undone("a", 500, 3)]),
        []
    );
}

#[test]
fn a_total_counts_only_what_it_says_beyond_the_refunds_known_by_then() {
    let facts = [
        sold(4999),
        refund("a", 500, 3),
        total(500, 7),
        total(800, 8),
    ];
    assert_eq!(parts(&facts), [(3, 500), (8, 300)]);
    // The total was first, and the refund that it held is told of later.
    assert_eq!(
        parts(&[sold(4999), total(500, 3), refund("a", 500, 7)]),
        [(3, 500)]
    );
}

#[test]
fn the_clamp_leaves_a_later_reversal_only_what_was_left() {
    let lost = fact(Class::DisputeTaken, "dp", rank::INFERRED, 4999, 5);
    let won = fact(Class::DisputeReturned, "dp", rank::INFERRED, 4999, 30);
    let facts = [sold(4999), refund("a", 500, 3), lost, won];
    assert_eq!(parts(&facts[..3]), [(3, 500), (5, 4499)]);
    assert_eq!(parts(&facts), [(3, 500), (5, 4499), (30, -4499)]);
}

#[test]
fn an_alert_is_a_floor_that_a_refund_fills() {
    let alert = fact(Class::Alert, "al", rank::LIVE, 1000, 2);
    let facts = [sold(4999), alert, refund("a", 600, 4), refund("b", 900, 6)];
    assert_eq!(parts(&facts), [(2, 1000), (6, 500)]);
}

#[test]
fn nothing_goes_back_before_the_sale() {
    let mut early = refund("a", 500, 0);
    early.at = Time(FIRST - 3 * DAY_MS);
    assert_eq!(parts(&[sold(4999), early]), [(0, 500)]);
}

#[test]
fn the_zone_decides_the_day() {
    let late = Fact {
        at: Time(FIRST + 23 * HOUR_MS),
        ..sold(4999)
    };
    let stockholm = Zone::parse("Europe/Stockholm").unwrap();
    let split = daybook(&[late], &stockholm).unwrap();
    assert_eq!(split.sale.to_string(), "2026-06-02");
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let class = prop_oneof![
        2 => Just(Class::Capture),
        4 => Just(Class::Refund),
        1 => Just(Class::DisputeTaken),
        1 => Just(Class::DisputeReturned),
        1 => Just(Class::Alert),
        1 => Just(Class::Void),
    ];
    let shape = (0_u8..3, 0_i64..4, 0_i64..60, 0_u8..3, any::<bool>());
    (class, shape, 0_i64..12, 0_u8..9).prop_map(
        |(class, (rank, version, amount, id, total), day, rare)| Fact {
            basis: if total && class == Class::Refund {
                Basis::Total
            } else {
                Basis::Each
            },
            version,
            partial_capture: rare == 0 && class == Class::Capture,
            ..fact(class, &format!("id{id}"), rank, amount, day)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_days_add_up_to_the_position_in_any_order(
        facts in prop::collection::vec(any_fact(), 0..14),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        hours in -14_i64..15,
    ) {
        let whole = position::position(&facts);
        let zone = Zone::parse(&format!("{}{:02}:00", if hours < 0 { '-' } else { '+' }, hours.abs()));
        let zone = zone.unwrap();
        let Some(split) = daybook(&facts, &zone) else {
            prop_assert_eq!(whole.gross(), None);
            return Ok(());
        };
        prop_assert_eq!(Some(split.gross), whole.gross());
        prop_assert_eq!(Some(split.reversed()), whole.reversed());
        // Day after day, never more went back than was taken, and never less than nothing.
        let mut gone = 0;
        for (day, amount) in &split.reversals {
            gone += amount;
            prop_assert!(*amount != 0 && *day >= split.sale);
            prop_assert!((0..=split.gross).contains(&gone), "{:?}", split);
        }
        prop_assert!(split.reversals.is_sorted_by(|a, b| a.0 < b.0));
        let mut other: Vec<Fact> = facts.iter().rev().cloned().collect();
        for index in again {
            other.insert(0, index.get(&facts).clone());
        }
        prop_assert_eq!(daybook(&other, &zone), Some(split));
    }

    /// What is told later of what happened later changes no earlier day.
    #[test]
    fn the_past_stays_as_it_is(facts in prop::collection::vec(any_fact(), 0..14)) {
        let zone = Zone::utc();
        let first = zone.day_of(Time(FIRST));
        let (captures, others): (Vec<Fact>, Vec<Fact>) =
            facts.into_iter().partition(|fact| fact.class == Class::Capture);
        let Some(whole) = daybook(&[captures.clone(), others.clone()].concat(), &zone) else {
            return Ok(());
        };
        for until in 0..12 {
            let early = others.iter().filter(|fact| zone.day_of(fact.at) <= first.plus(until));
            let early: Vec<Fact> = captures.iter().chain(early).cloned().collect();
            let split = daybook(&early, &zone).unwrap();
            let kept = whole.reversals.iter().filter(|(day, _)| *day <= first.plus(until).max(whole.sale));
            if first.plus(until) >= whole.sale {
                prop_assert_eq!(split.reversals, kept.copied().collect::<Vec<_>>());
            }
        }
    }
}
