//! Inquiries in the ledger: what waits for an answer, what an answer settles,
//! and amounts that a link says.

use tributary::ledger::book::{SourceTerms, State};
use tributary::ledger::{Answer, Asking, Decision, Delivery, Filter, LedgerError, NewLink};
use tributary::movement::{
    Authority, Class, Clue, Fact, Inquiry, Movement, Reading, Subject, Unpriced, rank,
};
use tributary::provider::Kept;
use tributary::time::{HOUR_MS, MINUTE_MS, SECOND_MS, Time};

use crate::bench::{
    Bench, There, alias, charge, customer, fact, refund, refund_failed, refund_total, terms, usd,
    whole_list,
};

/// A source whose provider can be asked for everything here.
fn asking() -> SourceTerms {
    SourceTerms {
        asks: ["transaction", "refund", "refunds", "customer"]
            .map(str::to_owned)
            .to_vec(),
        ..terms("stripe")
    }
}

/// A delivery that names a payment and says nothing of it.
fn thin(kind: &str, id: &str, about: Subject) -> Reading {
    Reading {
        event: "thin".to_owned(),
        inquiries: vec![Inquiry {
            kind: kind.to_owned(),
            id: id.to_owned(),
            about: Some(about),
        }],
        ..Reading::default()
    }
}

fn thin_payment(id: &str) -> Reading {
    thin("transaction", id, Subject::Payment(id.to_owned()))
}

/// What the provider's API says of a payment.
fn api_charge(id: &str, amount: i64) -> Reading {
    let mut reading = charge(id, amount, Some("cus_A"));
    for movement in &mut reading.movements {
        movement.fact.authority = Authority::Api;
    }
    reading
}

async fn ask(bench: &Bench) -> Asking {
    let asking = bench.ledger.ask("stripe").await.unwrap();
    asking.expect("something is to be asked")
}

async fn nothing_to_ask(bench: &Bench) {
    assert!(bench.ledger.ask("stripe").await.unwrap().is_none());
}

async fn tell(bench: &Bench, asking: Asking, mut reading: Reading) -> bool {
    reading.scope = asking.asked.scope.clone();
    let body = serde_json::to_vec(&reading).unwrap();
    let answer = Answer::Told(Box::new(Delivery {
        source: "stripe".to_owned(),
        body: body.into(),
        received_at: bench.clock.now(),
        secret: 0,
        kept: Kept {
            asked: Some(asking.asked.clone()),
            ..Kept::default()
        },
        reading: Ok(reading),
    }));
    bench.ledger.answer(asking, answer).await.unwrap()
}

async fn later(bench: &Bench, asking: Asking, why: &str) {
    let answer = Answer::Later {
        why: why.to_owned(),
        not_before: None,
    };
    bench.ledger.answer(asking, answer).await.unwrap();
}

#[tokio::test]
async fn what_states_no_time_is_of_the_moment_it_came() {
    let mut bench = Bench::with(vec![asking()]);
    let mut there = There::default();
    bench.deliver(customer("cus_A", "acme", 1)).await;
    let came = bench.clock.now();
    let timeless = |delivery: &str, version| {
        let mut reading = charge("tr_1", 5_000, Some("cus_A"));
        reading.delivery_id = Some(delivery.to_owned());
        for movement in &mut reading.movements {
            movement.fact.at = Time::UNKNOWN;
            movement.fact.version = version;
        }
        reading
    };
    bench.deliver(timeless("requested", 0)).await;
    assert_eq!(bench.payment("tr_1").await.occurred_at, came.to_string());
    bench.run(&mut there).await;
    assert_eq!(bench.state("tr_1").await, State::Settled);
    // Another statement of the same money at another moment contradicts nothing.
    bench.clock.advance(HOUR_MS);
    bench.deliver(timeless("completed", 0)).await;
    bench.run(&mut there).await;
    assert_eq!(bench.state("tr_1").await, State::Settled);
    assert_eq!(there.sum(), 5_000);
}

#[tokio::test]
async fn a_thin_payment_waits_for_its_answer_and_is_forwarded_then() {
    let mut bench = Bench::with(vec![asking()]);
    let mut there = There::default();
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(thin_payment("tr_1")).await;
    let payment = bench.payment("tr_1").await;
    assert_eq!(payment.state, "waiting");
    assert!(
        payment
            .reason
            .unwrap()
            .contains("asked for the transaction tr_1")
    );
    let asking = ask(&bench).await;
    // It is somebody's turn now; another look finds nothing.
    nothing_to_ask(&bench).await;
    assert!(tell(&bench, asking, api_charge("tr_1", 4999)).await);
    bench.run(&mut there).await;
    assert_eq!(there.sum_of("tr_1"), 4999);
    nothing_to_ask(&bench).await;
}

#[tokio::test]
async fn without_a_key_the_reason_names_it() {
    let mut bench = Bench::with(vec![SourceTerms {
        api_missing: Some("sources.stripe.api.key".to_owned()),
        ..asking()
    }]);
    bench.deliver(thin_payment("tr_1")).await;
    let reason = bench.payment("tr_1").await.reason.unwrap();
    assert!(
        reason.contains("sources.stripe.api.key is not set"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_question_cut_off_by_a_crash_comes_round_again() {
    let mut bench = Bench::with(vec![asking()]);
    bench.deliver(thin_payment("tr_1")).await;
    let lost = ask(&bench).await;
    bench.restart().await;
    nothing_to_ask(&bench).await;
    bench.clock.advance(3 * MINUTE_MS);
    assert_eq!(ask(&bench).await.asked, lost.asked);
}

#[tokio::test]
async fn no_answer_is_asked_for_again_until_patience_ends_and_a_person_can_ask_again() {
    let mut bench = Bench::with(vec![asking()]);
    bench.deliver(thin_payment("tr_1")).await;
    let mut asked = 0;
    for _ in 0..400 {
        bench.clock.advance(15 * MINUTE_MS);
        if let Some(asking) = bench.ledger.ask("stripe").await.unwrap() {
            asked += 1;
            later(&bench, asking, "it answered 500").await;
        }
    }
    assert!(
        (8..40).contains(&asked),
        "{asked} questions in a hundred hours"
    );
    let reason = bench.payment("tr_1").await.reason.unwrap();
    assert!(
        reason.contains("it answered 500; retry asks again"),
        "{reason}"
    );
    let filter = Filter {
        source: Some("stripe".to_owned()),
        payment_id: Some("tr_1".to_owned()),
        ..Filter::default()
    };
    let word = bench.word();
    let (lines, _) = bench
        .ledger
        .decide(filter, Decision::Retry, word, false)
        .await
        .unwrap();
    assert_eq!(lines[0].refused, None);
    ask(&bench).await;
}

#[tokio::test]
async fn what_changed_after_the_question_is_asked_again() {
    let mut bench = Bench::with(vec![asking()]);
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(thin_payment("tr_1")).await;
    let first = ask(&bench).await;
    // The thing changed while the first question was under way.
    bench.deliver(thin_payment("tr_1")).await;
    tell(&bench, first, api_charge("tr_1", 4999)).await;
    bench.clock.advance(SECOND_MS);
    let second = ask(&bench).await;
    tell(&bench, second, api_charge("tr_1", 4999)).await;
    bench.clock.advance(HOUR_MS);
    nothing_to_ask(&bench).await;
}

#[tokio::test]
async fn a_refund_finds_its_payment_by_its_answer() {
    let mut bench = Bench::with(vec![asking()]);
    let mut there = There::default();
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("tr_1", 4999, Some("cus_A"))).await;
    bench.run(&mut there).await;
    let about = Subject::Reference {
        kind: "refund".to_owned(),
        id: "re_1".to_owned(),
    };
    bench.deliver(thin("refund", "re_1", about.clone())).await;
    assert_eq!(bench.state("refund:re_1").await, State::Waiting);
    // The same refund with its amount, which is known before its payment is.
    let amount = Reading {
        movements: vec![Movement {
            about,
            fact: fact(Class::Refund, "re_1", rank::LIVE, 500, 1),
        }],
        ..Reading::default()
    };
    bench.deliver(amount).await;
    let asking = ask(&bench).await;
    let mut answer = refund("tr_1", "re_1", 500, 1);
    answer.movements[0].fact.authority = Authority::Api;
    let mut named = alias("tr_1", "refund", "re_1");
    named.money = false;
    answer.aliases.push(named);
    tell(&bench, asking, answer).await;
    bench.run(&mut there).await;
    assert_eq!(there.sum_of("tr_1"), 4499);
    let page = bench.ledger.payments(Filter::default(), 10).await.unwrap();
    assert_eq!(page.items.len(), 1, "the stand-in is gone");
}

#[tokio::test]
async fn failed_refunds_that_are_not_listed_are_asked_for_once() {
    let mut bench = Bench::with(vec![asking()]);
    let mut there = There::default();
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.deliver(refund_total("ch_1", 1500, 2)).await;
    bench.deliver(refund_failed("ch_1", "re_2", 500, 3)).await;
    let payment = bench.payment("ch_1").await;
    assert_eq!(payment.state, "held");
    assert!(
        payment
            .reason
            .unwrap()
            .contains("asked for the refunds ch_1")
    );
    let question = ask(&bench).await;
    let api = |mut reading: Reading| {
        reading.movements[0].fact.authority = Authority::Api;
        reading.movements.remove(0)
    };
    let mut listed = refund("ch_1", "re_1", 1000, 3);
    listed.movements = vec![
        api(refund("ch_1", "re_1", 1000, 3)),
        api(refund_failed("ch_1", "re_2", 500, 3)),
        api(whole_list("ch_1", 1000, 3)),
    ];
    tell(&bench, question, listed).await;
    bench.run(&mut there).await;
    assert_eq!(
        (there.sum_of("ch_1"), bench.state("ch_1").await),
        (3999, State::Settled)
    );
    bench.clock.advance(HOUR_MS);
    nothing_to_ask(&bench).await;
}

/// The list of an earlier day does not hold what failed since.
/// One refund that only a sum tells of, and one of the same amount that failed: the
/// sum must not be taken for the one that failed.
#[tokio::test]
async fn a_failed_refund_does_not_hide_another_one_of_the_same_amount() {
    for stands in [true, false] {
        let mut bench = Bench::with(vec![asking()]);
        let mut there = There::default();
        bench.deliver(customer("cus_A", "acme", 1)).await;
        bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
        bench.deliver(refund_total("ch_1", 1000, 2)).await;
        bench.deliver(refund_failed("ch_1", "re_2", 1000, 3)).await;
        assert_eq!(bench.state("ch_1").await, State::Held);
        let question = ask(&bench).await;
        let mut list = refund_failed("ch_1", "re_2", 1000, 4);
        let mut standing = 0;
        if stands {
            standing = 1000;
            let other = refund("ch_1", "re_1", standing, 4);
            list.movements.extend(other.movements);
        }
        let whole = whole_list("ch_1", standing, 4);
        list.movements.extend(whole.movements);
        for movement in &mut list.movements {
            movement.fact.authority = Authority::Api;
        }
        tell(&bench, question, list).await;
        bench.run(&mut there).await;
        let expected = (4999 - standing, State::Settled);
        assert_eq!((there.sum_of("ch_1"), bench.state("ch_1").await), expected);
    }
}

#[tokio::test]
async fn the_list_is_asked_for_again_when_another_refund_fails() {
    let mut bench = Bench::with(vec![asking()]);
    let mut there = There::default();
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    let mut listed = Reading::default();
    for (at, total) in [(1, 1500), (4, 2650)] {
        let (stands, fails) = (format!("re_{at}"), format!("re_{}", at + 1));
        bench.deliver(refund_total("ch_1", total, at)).await;
        bench
            .deliver(refund_failed("ch_1", &fails, 500, at + 1))
            .await;
        assert_eq!(bench.state("ch_1").await, State::Held, "{total}");
        listed.movements.extend([
            refund("ch_1", &stands, 1000 + at * 50 - 50, at)
                .movements
                .remove(0),
            refund_failed("ch_1", &fails, 500, at + 1)
                .movements
                .remove(0),
        ]);
        let question = ask(&bench).await;
        let mut answer = listed.clone();
        let whole = whole_list("ch_1", 0, at + 1);
        answer.movements.extend(whole.movements);
        for movement in &mut answer.movements {
            movement.fact.authority = Authority::Api;
            movement.fact.version = at + 1;
        }
        tell(&bench, question, answer).await;
        bench.run(&mut there).await;
        assert_eq!(bench.state("ch_1").await, State::Settled, "{total}");
    }
    assert_eq!(there.sum_of("ch_1"), 4999 - 1000 - 1150);
}

#[tokio::test]
async fn a_list_that_leaves_the_doubt_is_not_asked_for_for_ever() {
    let mut bench = Bench::with(vec![asking()]);
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.deliver(refund_total("ch_1", 1500, 2)).await;
    bench.deliver(refund_failed("ch_1", "re_2", 500, 3)).await;
    for at in 0..3_u8 {
        bench.clock.advance(10 * SECOND_MS);
        let Some(question) = bench.ledger.ask("stripe").await.unwrap() else {
            assert_eq!(at, 1, "asked once");
            return;
        };
        let mut same = refund_failed("ch_1", "re_2", 500, 3);
        same.movements[0].fact.authority = Authority::Api;
        same.movements[0].fact.version = i64::from(at) + 10;
        tell(&bench, question, same).await;
    }
    panic!("the question came again and again");
}

#[tokio::test]
async fn a_customer_from_before_our_time_is_asked_for_unless_its_link_comes_first() {
    let mut bench = Bench::with(vec![asking()]);
    let mut there = There::default();
    bench.deliver(charge("ch_1", 4999, Some("cus_old"))).await;
    bench.deliver(charge("ch_2", 100, Some("cus_new"))).await;
    nothing_to_ask(&bench).await;
    bench.deliver(customer("cus_new", "newly", 1)).await;
    bench.clock.advance(MINUTE_MS);
    let question = ask(&bench).await;
    assert_eq!(question.asked.id, "cus_old");
    nothing_to_ask(&bench).await;
    tell(&bench, question, customer("cus_old", "acme", 1)).await;
    bench.run(&mut there).await;
    assert_eq!((there.sum_of("ch_1"), there.sum_of("ch_2")), (4999, 100));
}

#[tokio::test]
async fn a_customer_without_a_key_says_so_in_the_reason() {
    let mut bench = Bench::with(vec![asking()]);
    bench.deliver(charge("ch_1", 4999, Some("cus_A"))).await;
    bench.clock.advance(MINUTE_MS);
    let question = ask(&bench).await;
    let nothing = Reading::ignored("customer", "the customer has no customer_key");
    tell(&bench, question, nothing).await;
    let payment = bench.payment("ch_1").await;
    assert_eq!(payment.state, "unattributed");
    assert!(
        payment
            .reason
            .unwrap()
            .contains("the customer has no customer_key")
    );
    bench.clock.advance(HOUR_MS);
    nothing_to_ask(&bench).await;
}

/// "Order ord_1 was paid", without an amount.
fn unpriced(payment_id: &str, order: &str) -> Reading {
    Reading {
        event: "paid".to_owned(),
        clues: vec![Clue {
            payment_id: payment_id.to_owned(),
            field: "order".to_owned(),
            value: order.to_owned(),
            version: 1,
        }],
        unpriced: vec![Unpriced {
            payment_id: payment_id.to_owned(),
            link_kind: "order".to_owned(),
            capture: fact(Class::Capture, payment_id, rank::CAPTURED, 0, 1),
        }],
        ..Reading::default()
    }
}

fn order_link(amount: Option<i64>) -> NewLink {
    NewLink {
        source: "stripe".to_owned(),
        kind: "order".to_owned(),
        external_id: "ord_1".to_owned(),
        customer_key: "acme".to_owned(),
        amount: amount.map(|minor| (minor, usd())),
        replace: false,
        move_forwarded: false,
    }
}

fn by_order() -> Bench {
    let rules = vec!["link:order".parse().unwrap()];
    Bench::with(vec![SourceTerms { rules, ..asking() }])
}

#[tokio::test]
async fn an_amount_may_come_with_the_link_before_or_after_the_payment() {
    for before in [true, false] {
        let mut bench = by_order();
        let mut there = There::default();
        if before {
            let word = bench.word();
            bench
                .ledger
                .link(order_link(Some(2500)), word)
                .await
                .unwrap();
        }
        bench.deliver(unpriced("pi_1", "ord_1")).await;
        if !before {
            let payment = bench.payment("pi_1").await;
            assert_eq!(payment.state, "waiting");
            assert!(
                payment
                    .reason
                    .unwrap()
                    .contains("order ord_1 is linked with its amount")
            );
            // A link without the amount is not enough; the amount may follow.
            let word = bench.word();
            bench
                .ledger
                .link(order_link(None), word.clone())
                .await
                .unwrap();
            assert_eq!(bench.state("pi_1").await, State::Waiting);
            bench
                .ledger
                .link(order_link(Some(2500)), word)
                .await
                .unwrap();
        }
        bench.deliver(unpriced("pi_1", "ord_1")).await;
        bench.run(&mut there).await;
        assert_eq!(there.sum_of("pi_1"), 2500, "link first: {before}");
        let word = bench.word();
        let other = bench.ledger.link(order_link(Some(9900)), word).await;
        assert!(matches!(other, Err(LedgerError::Refused(_))), "{other:?}");
    }
}

#[tokio::test]
async fn the_amount_of_an_order_is_counted_once() {
    let mut bench = by_order();
    let mut there = There::default();
    bench.deliver(unpriced("pi_1", "ord_1")).await;
    bench.deliver(unpriced("pi_2", "ord_1")).await;
    let word = bench.word();
    bench
        .ledger
        .link(order_link(Some(2500)), word)
        .await
        .unwrap();
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 2500);
    let second = bench.payment("pi_2").await;
    assert_eq!(second.state, "waiting");
    assert!(second.reason.unwrap().contains("was counted for pi_1"));
}

#[tokio::test]
async fn the_providers_own_amount_beats_a_links() {
    let mut bench = by_order();
    let mut there = There::default();
    let word = bench.word();
    bench
        .ledger
        .link(order_link(Some(2500)), word)
        .await
        .unwrap();
    bench.deliver(unpriced("pi_1", "ord_1")).await;
    bench.run(&mut there).await;
    let charged = Fact {
        authority: Authority::Api,
        ..fact(Class::Capture, "pi_1", rank::CAPTURED, 2400, 1)
    };
    let answer = Reading {
        movements: vec![Movement {
            about: Subject::Payment("pi_1".to_owned()),
            fact: charged,
        }],
        ..Reading::default()
    };
    bench.deliver(answer).await;
    bench.run(&mut there).await;
    assert_eq!(there.sum_of("pi_1"), 2400);
}
