//! The counter-examples that a simpler rule gets wrong, each by name, and the
//! property that the order and the repetition of facts never matter.

use proptest::prelude::*;

use super::*;
use crate::movement::Authority;

fn usd() -> Currency {
    "USD".parse().unwrap()
}

fn fact(class: Class, id: &str, rank: u8, amount: Minor, version: i64) -> Fact {
    Fact {
        class,
        id: id.to_owned(),
        basis: Basis::Each,
        rank,
        version,
        authority: Authority::Webhook,
        amount,
        currency: usd(),
        at: Time(version * 1000),
        partial_capture: false,
        product_key: None,
        category_key: None,
    }
}

fn capture(amount: Minor) -> Fact {
    fact(Class::Capture, "ch", rank::CAPTURED, amount, 0)
}

fn refund(id: &str, amount: Minor, version: i64) -> Fact {
    fact(Class::Refund, id, rank::LIVE, amount, version)
}

fn undone(id: &str, amount: Minor, version: i64) -> Fact {
    fact(Class::Refund, id, rank::UNDONE, amount, version)
}

fn total(amount: Minor, version: i64) -> Fact {
    Fact {
        basis: Basis::Total,
        ..refund("ch", amount, version)
    }
}

fn net(facts: &[Fact]) -> Option<Minor> {
    position(facts).net()
}

#[test]
fn a_refund_stated_twice_counts_once() {
    assert_eq!(
        net(&[capture(4999), refund("re", 500, 1), total(500, 1)]),
        Some(4499)
    );
}

#[test]
fn totals_alone_are_exact() {
    assert_eq!(
        net(&[capture(4999), total(500, 1), total(800, 2)]),
        Some(4199)
    );
}

#[test]
fn a_total_that_falls_when_a_refund_fails_gives_the_money_back() {
    let facts = [
        capture(4999),
        total(500, 1),
        refund("re", 500, 1),
        undone("re", 500, 2),
    ];
    assert_eq!(net(&facts), Some(4999));
    assert_eq!(position(&facts).doubt, None);
}

#[test]
fn a_failed_refund_beside_a_live_one() {
    let facts = [
        capture(4999),
        refund("a", 500, 1),
        total(500, 1),
        undone("a", 500, 2),
        refund("b", 300, 3),
        total(300, 3),
    ];
    assert_eq!(net(&facts), Some(4699));
    assert_eq!(position(&facts).doubt, None);
}

#[test]
fn totals_with_a_failure_and_an_unlisted_refund_are_held() {
    let later = [
        capture(4999),
        total(500, 1),
        undone("a", 500, 2),
        total(300, 3),
    ];
    assert_eq!(position(&later).doubt, Some(Doubt::Unlisted));
    // The same amount again: only the versions tell.
    let same = [
        capture(4999),
        total(500, 1),
        undone("a", 500, 2),
        total(500, 3),
    ];
    assert_eq!(position(&same).doubt, Some(Doubt::Unlisted));
    // The same second: only the amounts tell.
    let second = [
        capture(4999),
        total(500, 1),
        undone("a", 500, 1),
        total(300, 1),
    ];
    assert_eq!(position(&second).doubt, Some(Doubt::Unlisted));
}

/// Nobody told of the refund that stands but in sums, and one of the same amount
/// failed: the failure explains nothing. Only the list of all refunds does.
#[test]
fn a_failure_explains_no_total_of_the_same_amount() {
    let hidden = [capture(4999), total(500, 10), undone("b", 500, 11)];
    assert_eq!(position(&hidden).doubt, Some(Doubt::Unlisted));
    let api = |fact: Fact| Fact {
        authority: Authority::Api,
        version: 12,
        ..fact
    };
    // An answer about the failed one alone is no list.
    let mut asked = hidden.to_vec();
    asked.push(api(undone("b", 500, 11)));
    assert_eq!(position(&asked).doubt, Some(Doubt::Unlisted));
    let whole = |sum| Fact {
        rank: rank::ANNOUNCED,
        ..api(total(sum, 12))
    };
    asked.extend([api(refund("a", 500, 10)), whole(500)]);
    assert_eq!(position(&asked).doubt, None);
    assert_eq!(net(&asked), Some(4499));
    // The list says that there was no other one.
    let only = [hidden.as_slice(), &[api(undone("b", 500, 11)), whole(0)]].concat();
    assert_eq!((position(&only).doubt, net(&only)), (None, Some(4999)));
    // What the list comes to is no sum of money: it may name what was never captured.
    assert_eq!(net(&[capture(4999), whole(700)]), Some(4999));
}

/// One that failed before a total was stated is no part of it, also where a later list
/// says again that it failed.
#[test]
fn a_list_does_not_make_a_failure_later() {
    let mut captured = capture(3000);
    captured.partial_capture = true;
    let facts = [
        captured,
        refund("a", 1000, 1),
        total(1000, 1),
        undone("a", 1000, 2),
        total(1000, 3),
        undone("a", 1000, 9),
    ];
    assert_eq!(net(&facts), Some(2000));
}

#[test]
fn a_total_after_a_failed_refund_of_a_partial_capture_counts_in_full() {
    let mut captured = capture(3000);
    captured.partial_capture = true;
    let facts = [
        captured,
        refund("released", 2000, 1),
        refund("a", 1000, 2),
        total(1000, 2),
        undone("a", 1000, 3),
        refund("b", 500, 4),
        total(500, 4),
    ];
    assert_eq!(net(&facts), Some(2500));
}

#[test]
fn a_partial_capture_counts_totals_only() {
    let mut captured = capture(3000);
    captured.partial_capture = true;
    let released = refund("released", 2000, 1);
    assert_eq!(net(&[captured.clone(), released.clone()]), Some(3000));
    assert_eq!(net(&[captured, released, total(1000, 2)]), Some(2000));
}

#[test]
fn reversals_never_exceed_the_gross() {
    let lost = fact(Class::DisputeTaken, "dp", rank::INFERRED, 4999, 2);
    assert_eq!(net(&[capture(4999), refund("re", 500, 1), lost]), Some(0));
    let over = position(&[capture(100), refund("a", 80, 1), refund("b", 80, 1)]);
    assert_eq!((over.reversed(), over.net()), (Some(100), Some(0)));
}

#[test]
fn a_won_dispute_restores_and_entries_beat_the_status() {
    let taken = fact(Class::DisputeTaken, "dp", rank::INFERRED, 4999, 1);
    let won = fact(Class::DisputeReturned, "dp", rank::INFERRED, 4999, 2);
    assert_eq!(
        net(&[capture(4999), taken.clone(), won.clone()]),
        Some(4999)
    );
    let partly = fact(Class::DisputeReturned, "dp", rank::ENTERED, 2000, 2);
    assert_eq!(net(&[capture(4999), taken, won, partly]), Some(2000));
}

#[test]
fn of_two_equal_captures_the_larger_counts_and_a_failure_is_no_void() {
    let failed = Fact {
        rank: rank::FAILED,
        version: 9,
        ..capture(5000)
    };
    let facts = [capture(4000), capture(5000), failed];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let told = order.map(|at: usize| facts[at].clone());
        assert_eq!(net(&told), Some(5000), "{order:?}");
    }
}

#[test]
fn an_alert_is_a_floor() {
    let alert = fact(Class::Alert, "al", rank::LIVE, 1000, 1);
    assert_eq!(net(&[capture(4999), alert.clone()]), Some(3999));
    assert_eq!(
        net(&[capture(4999), alert, refund("re", 1500, 2)]),
        Some(3499)
    );
}

#[test]
fn a_void_takes_everything_and_a_failure_nothing() {
    assert_eq!(
        net(&[capture(4999), fact(Class::Void, "ch", rank::LIVE, 0, 1)]),
        Some(0)
    );
    let failed = fact(Class::Capture, "ch", rank::FAILED, 4999, 9);
    assert_eq!(net(&[capture(4999), failed.clone()]), Some(4999));
    assert_eq!(position(&[failed]).unfinished, Some(Unfinished::Failed));
}

#[test]
fn another_currency_and_a_contradiction_are_held() {
    let mut euros = refund("re", 500, 1);
    euros.currency = "EUR".parse().unwrap();
    let doubt = position(&[capture(4999), euros]).doubt;
    assert!(matches!(doubt, Some(Doubt::Currency { .. })), "{doubt:?}");
    let doubt = position(&[capture(4999), refund("re", 500, 1), refund("re", 600, 1)]).doubt;
    assert_eq!(
        doubt,
        Some(Doubt::Contradiction {
            id: "re".to_owned()
        })
    );
    // A better witness settles it.
    let mut api = refund("re", 600, 1);
    api.authority = Authority::Api;
    let facts = [
        capture(4999),
        refund("re", 500, 1),
        refund("re", 550, 1),
        api,
    ];
    assert_eq!((position(&facts).doubt, net(&facts)), (None, Some(4399)));
}

#[test]
fn an_announced_refund_takes_nothing_yet() {
    let announced = fact(Class::Refund, "re", rank::ANNOUNCED, 500, 1);
    assert_eq!(net(&[capture(4999), announced.clone()]), Some(4999));
    assert_eq!(net(&[announced]), None);
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let class = prop_oneof![
        Just(Class::Capture),
        Just(Class::Refund),
        Just(Class::DisputeTaken),
        Just(Class::DisputeReturned),
        Just(Class::Alert),
    ];
    let shape = (0_u8..3, 0_i64..4, 0_i64..60, 0_u8..3, any::<bool>());
    (class, shape, 0_u8..3).prop_map(|(class, (rank, version, amount, id, total), word)| Fact {
        basis: if total && class != Class::Capture && class != Class::Alert {
            Basis::Total
        } else {
            Basis::Each
        },
        authority: [Authority::Csv, Authority::Webhook, Authority::Api][usize::from(word)],
        currency: if amount == 59 {
            "EUR".parse().unwrap()
        } else {
            usd()
        },
        product_key: (version == 2).then(|| format!("p{rank}")),
        ..fact(class, &format!("id{id}"), rank, amount, version)
    })
}

fn csv(class: Class, rank: u8, amount: Minor, version: i64) -> Fact {
    Fact {
        basis: Basis::Total,
        authority: Authority::Csv,
        ..fact(class, "ch", rank, amount, version)
    }
}

#[test]
fn a_disputed_sum_and_the_same_disputes_by_id_count_once() {
    use Class::{DisputeReturned, DisputeTaken};
    let capture = fact(Class::Capture, "ch", rank::CAPTURED, 5_000, 0);
    let sum = |rank, amount, version| csv(DisputeTaken, rank, amount, version);
    let held = |facts: &[Fact]| {
        let mut all = vec![capture.clone()];
        all.extend_from_slice(facts);
        position(&all).disputes
    };
    assert_eq!(held(&[sum(0, 3_000, 10)]), 3_000);
    let taken = fact(DisputeTaken, "du", rank::ENTERED, 3_000, 11);
    assert_eq!(held(&[sum(0, 3_000, 10), taken.clone()]), 3_000);
    // Won since the sum was stated, told by id or by a later file.
    let won = fact(DisputeReturned, "du", rank::ENTERED, 3_000, 20);
    assert_eq!(held(&[sum(0, 3_000, 10), taken.clone(), won.clone()]), 0);
    assert_eq!(held(&[sum(0, 3_000, 10), won.clone()]), 0);
    assert_eq!(
        held(&[sum(0, 3_000, 10), csv(DisputeReturned, 0, 3_000, 10)]),
        0
    );
    // Won before the sum was stated: that is of another dispute.
    let other = sum(0, 2_000, 30);
    assert_eq!(held(&[taken, won, other]), 2_000);
}

#[test]
fn a_sum_tells_when_only_where_nothing_else_does() {
    let capture = fact(Class::Capture, "ch", rank::CAPTURED, 5_000, 0);
    let sum = csv(Class::DisputeTaken, 0, 3_000, 30);
    let taken = fact(Class::DisputeTaken, "du", rank::ENTERED, 3_000, 11);
    let newest = |facts: &[Fact]| position(facts).newest_reversal;
    assert_eq!(newest(&[capture.clone(), sum.clone()]), Some(sum.at));
    assert_eq!(
        newest(&[capture.clone(), sum.clone(), taken.clone()]),
        Some(taken.at)
    );
    let more = csv(Class::DisputeTaken, 0, 4_000, 30);
    assert_eq!(newest(&[capture, more.clone(), taken]), Some(more.at));
}

#[test]
fn what_a_file_calls_refunded_and_was_never_captured_is_no_refund() {
    let partly = Fact {
        partial_capture: true,
        ..fact(Class::Capture, "ch", rank::CAPTURED, 3_000, 0)
    };
    let whole = Fact {
        basis: Basis::Each,
        ..csv(Class::Capture, rank::CAPTURED, 4_999, 0)
    };
    let net = |refunded| {
        let total = csv(Class::Refund, rank::LIVE, refunded, 5);
        let folded = position(&[whole.clone(), total, partly.clone()]);
        (folded.gross(), folded.net(), folded.doubt)
    };
    assert_eq!(net(1_999), (Some(3_000), Some(3_000), None));
    assert_eq!(net(2_999), (Some(3_000), Some(2_000), None));
    // The same total from a provider that leaves the released part out.
    let told = fact(Class::Refund, "ch", rank::LIVE, 1_000, 5);
    let told = Fact {
        basis: Basis::Total,
        ..told
    };
    assert_eq!(position(&[whole, partly, told]).net(), Some(2_000));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_and_repetition_never_matter(
        facts in prop::collection::vec(any_fact(), 0..12),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        seed in any::<u64>(),
    ) {
        let expected = position(&facts);
        let mut shuffled = facts.clone();
        for index in again {
            if !facts.is_empty() {
                shuffled.push(index.get(&facts).clone());
            }
        }
        let mut state = seed;
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(at, usize::try_from(state >> 33).unwrap() % (at + 1));
        }
        prop_assert_eq!(position(&shuffled), expected);
    }

    #[test]
    fn the_net_is_between_zero_and_the_gross(facts in prop::collection::vec(any_fact(), 0..12)) {
        let folded = position(&facts);
        if let (Some(gross), Some(net)) = (folded.gross(), folded.net()) {
            prop_assert!((0..=gross).contains(&net));
        }
    }
}
