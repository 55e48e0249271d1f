//! The ledger's promises, one by one. The same suite is to run on every store.

use tributary::destination::Outcome;
use tributary::ledger::book::State;
use tributary::ledger::{
    Decision, Filter, LedgerError, NewLink, Outgoing, ReadBack, Statement, Taken,
};
use tributary::movement::{Alias, Class};
use tributary::plan::Policy;
use tributary::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

use crate::bench::*;

fn unknown() -> Outcome {
    Outcome::Unknown {
        why: "the answer was lost",
    }
}

fn later(bench: &Bench, ms: i64) -> Outcome {
    Outcome::Later {
        retry_after: Some(bench.clock.now().plus(ms)),
        status: 429,
    }
}

fn only(source: &str, id: &str) -> Filter {
    Filter {
        source: Some(source.to_owned()),
        payment_id: Some(id.to_owned()),
        ..Filter::default()
    }
}

async fn decide(bench: &Bench, id: &str, decision: Decision) -> Option<String> {
    let (mut lines, _) = bench
        .ledger
        .decide(only("stripe", id), decision, bench.word(), false)
        .await
        .unwrap();
    lines.remove(0).refused
}

#[tokio::test]
async fn a_sale_a_refund_and_the_rest_leave_exactly_the_net() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.run(&mut there).await;
    assert_eq!(
        (there.sum(), bench.state("ch_1").await),
        (4999, State::Settled)
    );
    bench.deliver(refund("ch_1", "re_1", 500, 5)).await;
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 4499);
    assert_eq!(there.rows["stripe:ch_1:2"], vec![("acme".to_owned(), -500)]);
    bench.deliver(refund("ch_1", "re_2", 4499, 6)).await;
    bench.run(&mut there).await;
    let payment = bench.payment("ch_1").await;
    assert_eq!(
        (there.sum(), payment.forwarded, payment.net),
        (0, 0, Some(0))
    );
    assert_eq!(payment.state, "settled");
}

#[tokio::test]
async fn the_same_delivery_is_a_duplicate_and_other_contents_are_not() {
    let mut bench = Bench::new();
    let mut reading = charge("ch_1", 4999, None);
    reading.delivery_id = Some("evt_same".to_owned());
    assert_eq!(bench.deliver(reading.clone()).await.status, Taken::Recorded);
    for _ in 0..4 {
        assert_eq!(
            bench.deliver(reading.clone()).await.status,
            Taken::Duplicate
        );
    }
    let mut other = charge("ch_1", 5000, None);
    other.delivery_id = Some("evt_same".to_owned());
    let recorded = bench.deliver(other).await;
    assert_eq!(recorded.status, Taken::Recorded);
    assert!(
        recorded.delivery.starts_with("evt_same~"),
        "{}",
        recorded.delivery
    );
}

#[tokio::test]
async fn a_payment_before_its_customer_waits_and_goes_on_by_itself() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    let payment = bench.payment("ch_1").await;
    assert_eq!(payment.state, "unattributed");
    let reason = payment.reason.unwrap();
    assert!(reason.contains("cus_A is not linked"), "{reason}");
    assert!(bench.begin().await.is_none());
    let recorded = bench.deliver(customer("cus_A", "acme", 1)).await;
    assert!(recorded.woke);
    bench.run(&mut there).await;
    assert_eq!(there.rows["stripe:ch_1"], vec![("acme".to_owned(), 4999)]);
}

#[tokio::test]
async fn live_test_and_connected_customers_are_kept_apart() {
    let mut bench = Bench::new();
    let mut test = customer("cus_A", "test-key", 9);
    test.scope.live = Some(false);
    bench.deliver(test).await;
    let mut connected = customer("cus_A", "connected-key", 9);
    connected.scope.account = "acct_1".to_owned();
    bench.deliver(connected).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    assert_eq!(bench.state("ch_1").await, State::Unattributed);
    bench.deliver(customer("cus_A", "acme", 1)).await;
    assert_eq!(
        bench.payment("ch_1").await.customer_key.as_deref(),
        Some("acme")
    );
}

#[tokio::test]
async fn an_older_statement_never_replaces_a_newer_link() {
    let mut bench = Bench::new();
    bench.deliver(customer("cus_A", "new", 9)).await;
    bench.deliver(customer("cus_A", "old", 3)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    assert_eq!(
        bench.payment("ch_1").await.customer_key.as_deref(),
        Some("new")
    );
}

#[tokio::test]
async fn a_refund_before_its_payment_waits_and_only_the_net_is_posted() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(refund("ch_1", "re_1", 500, 5)).await;
    assert_eq!(bench.state("ch_1").await, State::Waiting);
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.run(&mut there).await;
    assert_eq!(there.rows["stripe:ch_1"], vec![("acme".to_owned(), 4499)]);
}

#[tokio::test]
async fn a_reversal_that_names_an_alias_finds_its_payment_in_any_order() {
    for refund_first in [true, false] {
        let mut bench = Bench::new();
        let sale = charge("ch_1", 4999, Some("cus_A"));
        let back = refund_of_intent("pi_ch_1", "re_1", 500, 5);
        if refund_first {
            bench.deliver(back.clone()).await;
            assert_eq!(bench.state("payment_intent:pi_ch_1").await, State::Waiting);
            bench.deliver(sale).await;
        } else {
            bench.deliver(sale).await;
            bench.deliver(back).await;
        }
        assert_eq!(bench.payment("ch_1").await.net, Some(4499));
        let all = bench.ledger.payments(Filter::default(), 10).await.unwrap();
        assert_eq!(all.items.len(), 1, "the stand-in is gone");
    }
}

#[tokio::test]
async fn a_reversal_of_two_possible_payments_is_held_until_it_is_attached() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    for id in ["ch_1", "ch_2"] {
        let mut sale = charge(id, 4999, Some("cus_A"));
        sale.aliases.push(Alias {
            money: false,
            ..alias(id, "order", "o_1")
        });
        bench.deliver(sale).await;
    }
    let mut back = refund_of_intent("o_1", "re_1", 500, 5);
    back.movements[0].about = tributary::movement::Subject::Reference {
        kind: "order".to_owned(),
        id: "o_1".to_owned(),
    };
    bench.deliver(back.clone()).await;
    assert_eq!(bench.state("order:o_1").await, State::Held);
    let attach = Statement::Attach {
        reversal_id: "re_1".to_owned(),
    };
    bench
        .ledger
        .state("stripe", "ch_2", attach, bench.word())
        .await
        .unwrap();
    // A later delivery about the same reversal follows it.
    bench.deliver(back).await;
    bench.run(&mut there).await;
    assert_eq!((there.sum_of("ch_1"), there.sum_of("ch_2")), (4999, 4499));
}

#[tokio::test]
async fn the_same_money_at_two_sources_is_counted_once() {
    let (mut bench, mut there) = (
        Bench::with(vec![terms("stripe"), terms("stripe-2")]),
        There::default(),
    );
    for source in ["stripe", "stripe-2"] {
        bench.deliver_to(source, customer("cus_A", "acme", 1)).await;
        bench
            .deliver_to(source, charge("ch_1", 4999, Some("cus_A")))
            .await;
    }
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 4999);
    let later = bench.payment_of("stripe-2", "ch_1").await;
    assert_eq!(later.state, "held");
    assert!(
        later
            .reason
            .unwrap()
            .contains("the same money as stripe ch_1")
    );
}

#[tokio::test]
async fn the_same_money_is_counted_once_though_the_other_source_named_it_before() {
    let (mut bench, mut there) = (
        Bench::with(vec![terms("stripe"), terms("stripe-2")]),
        There::default(),
    );
    for source in ["stripe", "stripe-2"] {
        bench.deliver_to(source, customer("cus_A", "acme", 1)).await;
    }
    // The first names it, the second captures and forwards it, the first captures it.
    bench.deliver(authorised("ch_1", 4999)).await;
    let captured = charge("ch_1", 4999, Some("cus_A"));
    bench.deliver_to("stripe-2", captured.clone()).await;
    bench.run(&mut there).await;
    bench.deliver(captured).await;
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 4999);
    assert_eq!(bench.state("ch_1").await, State::Held);
    let second = bench.payment_of("stripe-2", "ch_1").await;
    assert_eq!((second.state, second.forwarded), ("settled", 4999));
}

/// The one that was named first goes first once its money is told. The other one had
/// nothing to forward, so no call says which of them it is.
#[tokio::test]
async fn the_same_money_that_went_back_before_the_first_source_told_of_it_is_counted_once() {
    for waits in [false, true] {
        let mut bench = Bench::with(vec![terms("stripe"), terms("stripe-2")]);
        if !waits {
            for source in ["stripe", "stripe-2"] {
                bench.deliver_to(source, customer("cus_A", "acme", 1)).await;
            }
        }
        bench.deliver(authorised("ch_1", 4999)).await;
        let mut sale = charge("ch_1", 4999, Some("cus_A"));
        // Nothing else is new with it: an id would make both be looked at.
        sale.aliases.truncate(1);
        for source in ["stripe-2", "stripe"] {
            bench.deliver_to(source, sale.clone()).await;
            let back = refund("ch_1", "re_1", 4999, 4999);
            bench.deliver_to(source, back).await;
        }
        let states = [
            bench.payment_of("stripe", "ch_1").await.state,
            bench.payment_of("stripe-2", "ch_1").await.state,
        ];
        assert_eq!(states[1], "held", "{states:?}, waits {waits}");
        crate::days::agree(&bench.ledger, "the same money that went back").await;
        let report = bench.ledger.overview().await.unwrap().currencies;
        assert_eq!(report[0].gross, 4999, "waits {waits}");
    }
}

#[tokio::test]
async fn the_same_money_under_two_ids_of_one_source_is_counted_once() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    let mut invoice = charge("in_1", 4999, Some("cus_A"));
    invoice.aliases = vec![alias("in_1", "payment_intent", "pi_ch_1")];
    bench.deliver(invoice).await;
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 4999);
    assert_eq!(bench.state("in_1").await, State::Held);
    // Where the tie is told too late, a person is told at once.
    bench.deliver(charge("ch_2", 100, Some("cus_A"))).await;
    let mut late = charge("in_2", 100, Some("cus_A"));
    late.aliases.clear();
    bench.deliver(late).await;
    bench.run(&mut there).await;
    let tie = tributary::movement::Reading {
        event: "tie".to_owned(),
        aliases: vec![alias("in_2", "payment_intent", "pi_ch_2")],
        ..Default::default()
    };
    bench.deliver(tie).await;
    assert_eq!(bench.state("in_2").await, State::Held);
}

#[tokio::test]
async fn an_unknown_outcome_is_read_back_before_anything_is_sent_again() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    let begun = bench.call(unknown()).await;
    there.carry_out(&begun.call);
    // A refund that comes meanwhile may not be sent either.
    bench.deliver(refund("ch_1", "re_1", 500, 5)).await;
    assert!(bench.begin().await.is_none());
    bench.clock.advance(3 * SECOND_MS);
    assert_eq!(bench.read_back(&there).await, 1);
    bench.run(&mut there).await;
    assert_eq!(
        (there.sum(), bench.state("ch_1").await),
        (4499, State::Settled)
    );
    assert_eq!(there.rows["stripe:ch_1"].len(), 1);
}

#[tokio::test]
async fn several_calls_that_begin_at_once_are_of_several_payments() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    for id in ["ch_1", "ch_2", "ch_3"] {
        bench.deliver(charge(id, 1000, Some("cus_A"))).await;
    }
    let two = bench.begin_several(2).await;
    let rest = bench.begin_several(5).await;
    assert_eq!((two.len(), rest.len()), (2, 1));
    assert!(bench.begin_several(5).await.is_empty());
    for begun in two.into_iter().chain(rest) {
        there.carry_out(&begun.call);
        let settled = bench.ledger.settle(begun.claim, Outcome::Accepted, 0).await;
        assert!(settled.unwrap().ours);
    }
    for id in ["ch_1", "ch_2", "ch_3"] {
        assert_eq!(there.sum_of(id), 1000);
    }
}

#[tokio::test]
async fn not_found_is_believed_only_long_after_the_call() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.call(unknown()).await;
    let mut looks = 0;
    while bench.clock.now().since(START) < 919 * SECOND_MS {
        bench.clock.advance(SECOND_MS);
        looks += bench.read_back(&there).await;
        assert!(bench.begin().await.is_none(), "sent again too early");
    }
    assert!((3..12).contains(&looks), "{looks} looks");
    bench.clock.advance(2 * SECOND_MS);
    bench.read_back(&there).await;
    bench.run(&mut there).await;
    assert_eq!(there.rows["stripe:ch_1"], vec![("acme".to_owned(), 4999)]);
}

#[tokio::test]
async fn a_listing_cut_short_does_not_wear_out_what_it_did_not_come_to() {
    let mut bench = Bench::new();
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.call(unknown()).await;
    bench.clock.advance(2 * DAY_MS);
    let mut waits = Vec::new();
    for reached in [false, false, false, false, true, true, true] {
        let unknowns = bench.ledger.unknowns("ps", 10).await.unwrap();
        let blind = ReadBack {
            begun_at: bench.clock.now(),
            found: None,
            reached,
        };
        let seen = vec![(unknowns[0].claim, blind)];
        bench.ledger.settle_read_back(seen).await.unwrap();
        let before = bench.clock.now();
        while bench.ledger.unknowns("ps", 10).await.unwrap().is_empty() {
            bench.clock.advance(SECOND_MS);
        }
        waits.push(bench.clock.now().since(before) / SECOND_MS);
        bench.restart().await;
        bench.outwait_claims();
    }
    // The call itself was the first try.
    assert_eq!(waits, [2, 2, 2, 2, 5, 15, 60]);
}

#[tokio::test]
async fn a_listing_that_could_not_tell_proves_nothing() {
    let mut bench = Bench::new();
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.call(unknown()).await;
    bench.clock.advance(2 * DAY_MS);
    let unknowns = bench.ledger.unknowns("ps", 10).await.unwrap();
    let blind = ReadBack {
        begun_at: bench.clock.now(),
        found: None,
        reached: true,
    };
    bench
        .ledger
        .settle_read_back(vec![(unknowns[0].claim, blind)])
        .await
        .unwrap();
    assert!(bench.begin().await.is_none());
    assert_eq!(bench.state("ch_1").await, State::Due);
}

#[tokio::test]
async fn a_crash_during_a_call_leaves_an_unknown_and_never_a_second_row() {
    for committed in [true, false] {
        let (mut bench, mut there) = (Bench::new(), There::default());
        bench.deliver(customer("cus_A", "acme", 1)).await;
        bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
        let begun = bench.begin().await.unwrap();
        if committed {
            there.carry_out(&begun.call);
        }
        bench.restart().await;
        bench.outwait_claims();
        assert!(
            bench.begin().await.is_none(),
            "sent again without a read-back"
        );
        assert_eq!(bench.read_back(&there).await, 1);
        bench.clock.advance(HOUR_MS);
        bench.read_back(&there).await;
        bench.run(&mut there).await;
        assert_eq!(there.rows["stripe:ch_1"].len(), 1, "committed: {committed}");
        // The old holder comes back late: its word changes nothing any more.
        let late = bench
            .ledger
            .settle(begun.claim, Outcome::NotSent { why: "late" }, 0)
            .await
            .unwrap();
        assert!(!late.ours);
        assert_eq!(bench.state("ch_1").await, State::Settled);
    }
}

#[tokio::test]
async fn a_row_read_back_with_another_amount_is_held() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.call(Outcome::Unknown { why: "no answer" }).await;
    let other = vec![("acme".to_owned(), 4998)];
    there.rows.insert("stripe:ch_1".to_owned(), other);
    bench.clock.advance(10 * SECOND_MS);
    assert_eq!(bench.read_back(&there).await, 1);
    assert_eq!(bench.state("ch_1").await, State::Held);
}

/// A destination that never forgets a key would be asked for ever: after a ledger was
/// lost, the key may be one that the lost ledger posted and deleted.
#[tokio::test]
async fn a_key_that_is_taken_and_listed_nowhere_waits_for_a_person() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.call(Outcome::Repeated).await;
    // A list may be late, so that a while nothing is made of it.
    bench.clock.advance(10 * SECOND_MS);
    bench.read_back(&there).await;
    assert_eq!(bench.state("ch_1").await, State::Due);
    assert!(bench.begin().await.is_none());
    bench.clock.advance(HOUR_MS);
    bench.read_back(&there).await;
    let held = bench.payment("ch_1").await;
    assert_eq!(held.state, "held");
    assert!(bench.begin().await.is_none());
    assert!(held.reason.unwrap().contains("lists none"));
    assert_eq!(decide(&bench, "ch_1", Decision::Accept).await, None);
    let begun = bench.begin().await.unwrap();
    assert!(matches!(&begun.call, Outgoing::Post(new) if new.key == "stripe:ch_1:2"));
    there.carry_out(&begun.call);
    let settled = bench.ledger.settle(begun.claim, Outcome::Accepted, 0).await;
    assert_eq!(settled.unwrap().state, State::Settled);
    assert_eq!(there.sum(), 4999);
}

#[tokio::test]
async fn a_duplicate_row_and_another_amount_are_held_and_can_be_accepted() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    let begun = bench.call(unknown()).await;
    there.carry_out(&begun.call);
    there.carry_out(&begun.call);
    bench.clock.advance(3 * SECOND_MS);
    bench.read_back(&there).await;
    let held = bench.payment("ch_1").await;
    assert_eq!(held.state, "held");
    assert!(held.reason.unwrap().contains("2 transactions with one key"));
    assert_eq!(decide(&bench, "ch_1", Decision::Accept).await, None);
    bench.run(&mut there).await;
    assert_eq!(
        (there.sum(), bench.state("ch_1").await),
        (4999, State::Settled)
    );
}

#[tokio::test]
async fn retry_after_is_never_undercut_not_even_by_a_restart() {
    let mut bench = Bench::new();
    bench.deliver(customer("cus_A", "acme", 1)).await;
    for id in ["ch_1", "ch_2"] {
        bench.deliver(charge(id, 4999, Some("cus_A"))).await;
    }
    bench.call(later(&bench, 30 * SECOND_MS)).await;
    bench.restart().await;
    for _ in 0..30 {
        assert!(bench.begin().await.is_none());
        bench.clock.advance(SECOND_MS);
    }
    assert!(bench.begin().await.is_some());
}

#[tokio::test]
async fn an_unknown_customer_costs_one_probe_for_all_its_payments() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(customer("cus_B", "other", 1)).await;
    for n in 0..20 {
        bench
            .deliver(charge(&format!("ch_{n}"), 100, Some("cus_A")))
            .await;
    }
    bench.deliver(charge("ch_b", 100, Some("cus_B"))).await;
    bench.call(Outcome::CustomerUnknown).await;
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 100, "the other customer is not delayed");
    let reason = bench.payment("ch_3").await.reason.unwrap();
    assert!(
        reason.contains("does not know the customer acme"),
        "{reason}"
    );
    assert_eq!(bench.state("ch_3").await, State::Unattributed);
    let mut probes = 0;
    for _ in 0..60 {
        bench.clock.advance(MINUTE_MS);
        while let Some(begun) = bench.begin().await {
            probes += 1;
            bench
                .ledger
                .settle(begun.claim, Outcome::CustomerUnknown, 0)
                .await
                .unwrap();
        }
    }
    assert_eq!(probes, 2, "after 5 and 20 minutes");
    bench.clock.advance(HOUR_MS);
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 2100, "once it is known all go on");
}

/// The oldest payment of an unknown customer is one that the destination refuses: it
/// fails, and the others go on as soon as the customer is there.
#[tokio::test]
async fn a_probe_that_is_refused_keeps_nobody_waiting() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    for n in 0..3 {
        let id = format!("ch_{n}");
        bench.deliver(charge(&id, 100, Some("cus_A"))).await;
    }
    bench.call(Outcome::CustomerUnknown).await;
    bench.clock.advance(5 * MINUTE_MS);
    let refused = || Outcome::Refused {
        status: 400,
        message: "no".to_owned(),
    };
    let probe = bench.begin().await.unwrap();
    bench
        .ledger
        .settle(probe.claim, refused(), 0)
        .await
        .unwrap();
    let failed = probe.payment_id;
    assert_eq!(bench.state(&failed).await, State::Failed);
    // Still unknown: one of the others says so, and all wait again, for longer.
    bench.call(Outcome::CustomerUnknown).await;
    assert!(bench.begin().await.is_none());
    let (mut calls, mut minutes) = (0, 0);
    while there.sum() < 200 {
        bench.clock.advance(MINUTE_MS);
        minutes += 1;
        while let Some(begun) = bench.begin().await {
            calls += 1;
            assert_ne!(
                begun.payment_id, failed,
                "the refused one is not tried again"
            );
            there.carry_out(&begun.call);
            bench
                .ledger
                .settle(begun.claim, Outcome::Accepted, 0)
                .await
                .unwrap();
        }
        assert!(minutes < 60, "the others never went on");
    }
    assert_eq!((calls, minutes), (2, 15));
    assert_eq!(bench.state(&failed).await, State::Failed);
}

#[tokio::test]
async fn a_refusal_fails_the_step_until_the_step_changes_or_a_person_retries() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench
        .call(Outcome::Refused {
            status: 400,
            message: "no".to_owned(),
        })
        .await;
    assert_eq!(bench.state("ch_1").await, State::Failed);
    assert!(bench.begin().await.is_none());
    assert_eq!(decide(&bench, "ch_1", Decision::Retry).await, None);
    bench
        .call(Outcome::Refused {
            status: 400,
            message: "no".to_owned(),
        })
        .await;
    bench.deliver(refund("ch_1", "re_1", 500, 5)).await;
    bench.run(&mut there).await;
    assert_eq!(there.rows["stripe:ch_1"], vec![("acme".to_owned(), 4499)]);
}

#[tokio::test]
async fn patience_counts_only_while_others_are_answered() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    let slow = || Outcome::Later {
        retry_after: None,
        status: 429,
    };
    // A destination that answers nobody uses no patience up, however long.
    for _ in 0..500 {
        if let Some(begun) = bench.begin().await {
            bench.ledger.settle(begun.claim, slow(), 0).await.unwrap();
        }
        bench.clock.advance(HOUR_MS);
    }
    assert_eq!(bench.state("ch_1").await, State::Due);
    // Others are answered and this one is not: patience ends.
    for n in 0..200 {
        bench
            .deliver(charge(&format!("other_{n}"), 1, Some("cus_A")))
            .await;
        while let Some(begun) = bench.begin().await {
            let outcome = if begun.payment_id == "ch_1" {
                slow()
            } else {
                Outcome::Accepted
            };
            if outcome == Outcome::Accepted {
                there.carry_out(&begun.call);
            }
            bench.ledger.settle(begun.claim, outcome, 0).await.unwrap();
        }
        bench.clock.advance(HOUR_MS);
    }
    let failed = bench.payment("ch_1").await;
    assert_eq!(failed.state, "failed");
    assert!(failed.reason.unwrap().contains("72 hours"));
}

#[tokio::test]
async fn a_dispute_takes_the_sale_and_a_won_one_gives_it_back() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.run(&mut there).await;
    bench
        .deliver(dispute("ch_1", Class::DisputeTaken, 4999, 3))
        .await;
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 0);
    bench
        .deliver(dispute("ch_1", Class::DisputeReturned, 4999, 9))
        .await;
    bench.run(&mut there).await;
    assert_eq!(there.rows["stripe:ch_1:2"], vec![("acme".to_owned(), 4999)]);
}

#[tokio::test]
async fn a_refund_that_fails_gives_the_commission_back() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.deliver(refund("ch_1", "re_1", 500, 3)).await;
    bench.run(&mut there).await;
    bench.deliver(refund_failed("ch_1", "re_1", 500, 4)).await;
    bench.run(&mut there).await;
    assert_eq!(
        (there.sum(), bench.state("ch_1").await),
        (4999, State::Settled)
    );
}

#[tokio::test]
async fn a_link_that_changes_later_serves_later_payments_unless_moved() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "first", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.run(&mut there).await;
    bench.deliver(customer("cus_A", "second", 2)).await;
    bench.deliver(charge("ch_2", 100, Some("cus_A"))).await;
    bench.deliver(refund("ch_1", "re_1", 500, 3)).await;
    bench.run(&mut there).await;
    assert_eq!(
        there.rows["stripe:ch_1:2"],
        vec![("first".to_owned(), -500)]
    );
    assert_eq!(there.rows["stripe:ch_2"], vec![("second".to_owned(), 100)]);
    let link = NewLink {
        source: "stripe".to_owned(),
        kind: "customer".to_owned(),
        external_id: "cus_A".to_owned(),
        customer_key: "third".to_owned(),
        amount: None,
        replace: false,
        move_forwarded: true,
    };
    bench.ledger.link(link, bench.word()).await.unwrap();
    bench.run(&mut there).await;
    let third: i64 = there
        .rows
        .values()
        .flatten()
        .filter(|row| row.0 == "third")
        .map(|row| row.1)
        .sum();
    assert_eq!((third, there.sum()), (4599, 4599));
}

#[tokio::test]
async fn a_link_by_word_beats_the_feed_and_is_not_overwritten() {
    let mut bench = Bench::new();
    let link = |key: &str| NewLink {
        source: "stripe".to_owned(),
        kind: "customer".to_owned(),
        external_id: "cus_A".to_owned(),
        customer_key: key.to_owned(),
        amount: None,
        replace: false,
        move_forwarded: false,
    };
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    let linked = bench
        .ledger
        .link(link("by-hand"), bench.word())
        .await
        .unwrap();
    assert_eq!((linked.changed, linked.payments), (true, 1));
    assert!(
        !bench
            .ledger
            .link(link("by-hand"), bench.word())
            .await
            .unwrap()
            .changed
    );
    bench.deliver(customer("cus_A", "by-feed", 9)).await;
    assert_eq!(
        bench.payment("ch_1").await.customer_key.as_deref(),
        Some("by-hand")
    );
    let conflict = bench.ledger.link(link("other"), bench.word()).await;
    assert!(
        matches!(conflict, Err(LedgerError::Refused(_))),
        "{conflict:?}"
    );
    bench
        .ledger
        .unlink("stripe", "customer", "cus_A", bench.word())
        .await
        .unwrap();
    assert_eq!(
        bench.payment("ch_1").await.customer_key.as_deref(),
        Some("by-feed")
    );
}

#[tokio::test]
async fn test_money_zero_and_money_from_before_the_start_are_ignored() {
    let mut late = terms("stripe");
    late.forward_from = Some(START.plus(DAY_MS));
    let (mut bench, mut there) = (Bench::with(vec![late]), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    let mut test = charge("ch_test", 4999, Some("cus_A"));
    test.scope.live = Some(false);
    bench.deliver(test).await;
    bench.deliver(charge("ch_zero", 0, Some("cus_A"))).await;
    bench.deliver(charge("ch_old", 4999, Some("cus_A"))).await;
    bench.deliver(refund("ch_old", "re_1", 500, 3)).await;
    for id in ["ch_test", "ch_zero", "ch_old"] {
        assert_eq!(bench.state(id).await, State::Ignored, "{id}");
    }
    let reason = bench.payment("ch_test").await.reason.unwrap();
    assert!(reason.contains("a test payment"), "{reason}");
    let reason = bench.payment("ch_old").await.reason.unwrap();
    assert!(
        reason.contains("5.00 USD of it went back") && reason.contains("clawback"),
        "{reason}"
    );
    // Only a person's word forwards what was before the start.
    assert_eq!(decide(&bench, "ch_old", Decision::Accept).await, None);
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 4499);
}

#[tokio::test]
async fn a_held_refund_goes_on_by_a_persons_policy_and_holds_again() {
    let mut holding = terms("stripe");
    holding.terms.policy = Policy::Hold;
    let (mut bench, mut there) = (Bench::with(vec![holding]), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.run(&mut there).await;
    bench.deliver(refund("ch_1", "re_1", 500, 3)).await;
    assert_eq!(bench.state("ch_1").await, State::Held);
    let policy = Decision::Policy {
        policy: Policy::Replace,
    };
    assert_eq!(decide(&bench, "ch_1", policy).await, None);
    bench.run(&mut there).await;
    assert_eq!(there.rows["stripe:ch_1:2"], vec![("acme".to_owned(), 4499)]);
    bench.deliver(refund("ch_1", "re_2", 100, 4)).await;
    assert_eq!(bench.state("ch_1").await, State::Held);
}

#[tokio::test]
async fn skip_is_refused_over_live_rows_and_holds_when_the_money_moves() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    assert_eq!(
        decide(&bench, "ch_1", Decision::Skip { leave: false }).await,
        None
    );
    assert_eq!(bench.state("ch_1").await, State::Ignored);
    bench.deliver(refund("ch_1", "re_1", 500, 3)).await;
    assert_eq!(bench.state("ch_1").await, State::Held);
    assert_eq!(decide(&bench, "ch_1", Decision::Accept).await, None);
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 4499);
    assert!(
        decide(&bench, "ch_1", Decision::Skip { leave: false })
            .await
            .is_some()
    );
    assert_eq!(
        decide(&bench, "ch_1", Decision::Skip { leave: true }).await,
        None
    );
}

#[tokio::test]
async fn a_refund_by_word_counts_once() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    for _ in 0..3 {
        let said = Statement::Refund {
            refund_id: "r-1".to_owned(),
            amount: 500,
        };
        bench
            .ledger
            .state("stripe", "ch_1", said, bench.word())
            .await
            .unwrap();
    }
    let other = Statement::Refund {
        refund_id: "r-1".to_owned(),
        amount: 600,
    };
    let refused = bench
        .ledger
        .state("stripe", "ch_1", other, bench.word())
        .await;
    assert!(matches!(refused, Err(LedgerError::Refused(_))));
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 4499);
}

#[tokio::test]
async fn a_row_that_someone_deleted_is_held_and_a_refused_delete_asks_for_a_clawback() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    for id in ["ch_1", "ch_2"] {
        bench.deliver(charge(id, 4999, Some("cus_A"))).await;
    }
    bench.run(&mut there).await;
    bench
        .deliver(dispute("ch_1", Class::DisputeTaken, 4999, 3))
        .await;
    bench.call(Outcome::Gone).await;
    assert_eq!(
        bench.state("ch_1").await,
        State::Settled,
        "nothing was to stay there"
    );
    bench
        .deliver(dispute("ch_1", Class::DisputeReturned, 4999, 4))
        .await;
    assert_eq!(
        bench.state("ch_1").await,
        State::Held,
        "someone deleted it, we do not post it again unasked"
    );
    bench
        .deliver(dispute("ch_2", Class::DisputeTaken, 4999, 3))
        .await;
    let begun = bench
        .call(Outcome::Refused {
            status: 400,
            message: "invoiced".to_owned(),
        })
        .await;
    assert!(matches!(begun.call, Outgoing::Delete { .. }));
    let reason = bench.payment("ch_2").await.reason.unwrap();
    assert!(reason.contains("clawback"), "{reason}");
}

#[tokio::test]
async fn what_cannot_fit_the_destination_is_held_with_the_reason() {
    let mut bench = Bench::new();
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench
        .deliver(charge("ch_1", 50_000_000_001, Some("cus_A")))
        .await;
    assert_eq!(bench.state("ch_1").await, State::Held);
}

#[tokio::test]
async fn the_providers_id_is_bound_once() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    for id in ["cus_A", "cus_B"] {
        bench.deliver(customer(id, "acme", 1)).await;
        bench
            .deliver(charge(&format!("ch_{id}"), 4999, Some(id)))
            .await;
    }
    bench.run(&mut there).await;
    let binding = bench.ledger.binding("ps").await.unwrap().unwrap();
    assert_eq!(binding.customer_key, "acme");
    bench
        .ledger
        .bound("ps", binding, tributary::ledger::Bound::Done)
        .await
        .unwrap();
    assert_eq!(bench.ledger.binding("ps").await.unwrap(), None);
}

#[tokio::test]
async fn a_second_serve_is_refused_and_a_vanished_source_too() {
    let mut bench = Bench::new();
    bench.deliver(charge("ch_1", 4999, None)).await;
    let again = |serve, terms| {
        tributary::ledger::Ledger::open(tributary::ledger::Opening {
            url: bench.url(),
            terms,
            clock: bench.clock.clone(),
            report_zone: tributary::day::Zone::utc(),
            serve,
        })
    };
    match again(true, bench.terms.clone()).err() {
        Some(second) => assert!(second.to_string().contains("already running"), "{second}"),
        None => assert!(on_postgres(), "only a server is served on by several"),
    }
    assert!(again(false, bench.terms.clone()).is_ok());
    let vanished = again(false, Default::default()).err().unwrap().to_string();
    assert!(vanished.contains("retired = true"), "{vanished}");
}

/// Another program's connection to the same ledger.
enum Other {
    File(rusqlite::Connection),
    Server(tokio_postgres::Client),
}

impl Other {
    async fn connect(bench: &Bench) -> Other {
        if on_postgres() {
            let url = bench.url();
            let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
            let (client, connection) = connected.unwrap();
            tokio::spawn(connection);
            return Other::Server(client);
        }
        let other = rusqlite::Connection::open(bench.dir.path().join("ledger.db")).unwrap();
        let patience = std::time::Duration::from_secs(5);
        other.busy_timeout(patience).unwrap();
        Other::File(other)
    }

    async fn run(&self, of_a_file: &str, of_a_server: &str) {
        match self {
            Other::File(conn) => conn.execute_batch(of_a_file).unwrap(),
            Other::Server(client) => client.batch_execute(of_a_server).await.unwrap(),
        }
    }
}

#[tokio::test]
async fn a_locked_ledger_closes_intake_and_it_recovers_by_itself() {
    let mut bench = Bench::new();
    bench.deliver(charge("ch_1", 4999, None)).await;
    // Another program holds the ledger for longer than a command waits.
    let other = Other::connect(&bench).await;
    other
        .run(
            "BEGIN IMMEDIATE",
            "BEGIN; SELECT value FROM meta WHERE name = 'writer' FOR UPDATE",
        )
        .await;
    let locked = tokio::time::timeout(
        std::time::Duration::from_secs(8),
        bench.try_deliver(charge("ch_2", 100, None)),
    );
    let refused = locked.await.unwrap();
    assert!(
        matches!(refused, Err(LedgerError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(bench.ledger.health().is_err());
    other.run("ROLLBACK", "ROLLBACK").await;
    // The forwarder's look is enough to find out that writing works again.
    assert!(bench.begin().await.is_none());
    assert_eq!(bench.ledger.health(), Ok(()));
    bench.deliver(charge("ch_2", 100, None)).await;
    assert_eq!(bench.payment("ch_2").await.gross, Some(100));
}

#[tokio::test]
async fn only_the_serving_process_writes_a_switch_down() {
    let mut bench = Bench::new();
    assert_eq!(
        bench
            .ledger
            .switched_at("stripe", "stripe", "charge")
            .unwrap(),
        None
    );
    bench.deliver(charge("ch_1", 4999, None)).await;
    let beside = tributary::ledger::Ledger::open(tributary::ledger::Opening {
        url: bench.url(),
        terms: bench.terms.clone(),
        clock: bench.clock.clone(),
        report_zone: tributary::day::Zone::utc(),
        serve: false,
    })
    .unwrap();
    assert_eq!(
        beside.switched_at("stripe", "stripe", "invoice").unwrap(),
        None
    );
    bench.clock.advance(DAY_MS);
    assert_eq!(
        bench
            .ledger
            .switched_at("stripe", "stripe", "charge")
            .unwrap(),
        None
    );
    let switched = bench
        .ledger
        .switched_at("stripe", "stripe", "invoice")
        .unwrap();
    assert_eq!(switched, Some(bench.clock.now()));
}

#[tokio::test]
async fn what_came_before_anybody_served_is_no_switch() {
    let mut bench = Bench::new();
    bench.deliver(charge("ch_1", 4999, None)).await;
    for _ in 0..2 {
        let switched = bench.ledger.switched_at("stripe", "stripe", "charge");
        assert_eq!(switched.unwrap(), None);
    }
    let switched = bench.ledger.switched_at("stripe", "stripe", "invoice");
    assert_eq!(switched.unwrap(), Some(bench.clock.now()));
}

#[tokio::test]
async fn a_move_leaves_alone_what_says_itself_whose_it_is() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    let mut own = charge("ch_own", 100, Some("cus_A"));
    own.clues.push(tributary::movement::Clue {
        payment_id: "ch_own".to_owned(),
        field: "metadata.customer_key".to_owned(),
        value: "its-own".to_owned(),
        version: 1,
    });
    bench.deliver(own).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.run(&mut there).await;
    let link = NewLink {
        source: "stripe".to_owned(),
        kind: "customer".to_owned(),
        external_id: "cus_A".to_owned(),
        customer_key: "other".to_owned(),
        amount: None,
        replace: true,
        move_forwarded: true,
    };
    bench.ledger.link(link, bench.word()).await.unwrap();
    bench.run(&mut there).await;
    assert_eq!(
        there.rows["stripe:ch_own"],
        vec![("its-own".to_owned(), 100)]
    );
    assert_eq!(
        there.rows["stripe:ch_1:2"],
        vec![("other".to_owned(), 4999)]
    );
}

#[tokio::test]
async fn a_link_by_a_part_of_a_value_releases_in_any_order() {
    for link_first in [true, false] {
        let mut source = terms("stripe");
        source.rules = vec!["link:order ~ ^cust_[0-9]+~(.+)$".parse().unwrap()];
        source
            .rules
            .push("link:customer ~ ^(cus_[A-Z])".parse().unwrap());
        let (mut bench, mut there) = (Bench::with(vec![source]), There::default());
        let sale = charge("ch_1", 4999, Some("cus_A-and-more"));
        let tie = customer("cus_A", "acme", 1);
        let told = if link_first { [tie, sale] } else { [sale, tie] };
        for event in told {
            bench.deliver(event).await;
        }
        bench.run(&mut there).await;
        assert_eq!(
            there.rows["stripe:ch_1"],
            vec![("acme".to_owned(), 4999)],
            "{link_first}"
        );
        let story = bench.ledger.story("stripe", "ch_1").await.unwrap();
        assert_eq!(story.links.len(), 1);
    }
}

#[tokio::test]
async fn a_delete_that_was_not_seen_to_land_may_still_land() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.run(&mut there).await;
    bench.deliver(refund("ch_1", "re_1", 4999, 5)).await;
    let begun = bench.call(unknown()).await;
    assert!(matches!(begun.call, Outgoing::Delete { .. }));
    bench.clock.advance(3 * SECOND_MS);
    assert_eq!(bench.read_back(&there).await, 1);
    // The refund fails meanwhile; the row that stands there may still go.
    bench.deliver(refund_failed("ch_1", "re_1", 4999, 6)).await;
    assert_eq!(bench.state("ch_1").await, State::Due);
    there.carry_out(&begun.call);
    bench.clock.advance(HOUR_MS);
    bench.read_back(&there).await;
    bench.run(&mut there).await;
    assert_eq!(there.rows["stripe:ch_1:2"], vec![("acme".to_owned(), 4999)]);
    assert_eq!(
        (there.sum(), bench.state("ch_1").await),
        (4999, State::Settled)
    );
}

#[tokio::test]
async fn a_test_payment_is_one_whoever_says_so_first() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    let mut back = refund("ch_1", "re_1", 500, 5);
    back.delivery_id = Some("evt_back".to_owned());
    bench.deliver_unsaid(back).await;
    let mut sale = charge("ch_1", 4999, Some("cus_A"));
    sale.scope.live = Some(false);
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(sale).await;
    bench.run(&mut there).await;
    assert_eq!(
        (there.sum(), bench.state("ch_1").await),
        (0, State::Ignored)
    );
}

#[tokio::test]
async fn a_billing_system_on_top_of_a_payment_provider_is_counted_once() {
    for billing_first in [true, false] {
        let mut billing = terms("billing");
        billing.provider = "chargebee".to_owned();
        let (mut bench, mut there) = (
            Bench::with(vec![billing, terms("stripe")]),
            There::default(),
        );
        for source in ["billing", "stripe"] {
            bench.deliver_to(source, customer("cus_A", "acme", 1)).await;
        }
        let mut invoiced = charge("txn_1", 4999, Some("cus_A"));
        invoiced.aliases = vec![
            alias("txn_1", "transaction", "txn_1"),
            alias("txn_1", "gateway", "stripe:pi_ch_1"),
        ];
        let sale = charge("ch_1", 4999, Some("cus_A"));
        let mut told = vec![("billing", invoiced), ("stripe", sale)];
        if !billing_first {
            told.reverse();
        }
        for (source, event) in told {
            bench.deliver_to(source, event).await;
        }
        bench.run(&mut there).await;
        assert_eq!(there.sum(), 4999, "billing first: {billing_first}");
        let (source, id) = if billing_first {
            ("stripe", "ch_1")
        } else {
            ("billing", "txn_1")
        };
        let later = bench.payment_of(source, id).await;
        assert_eq!(later.state, "held");
        assert!(later.reason.unwrap().contains("the same money as"));
    }
}
