//! Payments are found by what is known of them, however late that was put into its place.

use tributary::ledger::book::State;
use tributary::ledger::{Filter, list::Search};

use crate::bench::*;

/// More than the payments whose values are put in together.
const MANY: usize = 1_100;

async fn found(bench: &Bench, text: &str) -> Vec<String> {
    let search = Search {
        text: text.to_owned(),
        plain: true,
    };
    let filter = Filter {
        search: Some(search),
        ..Filter::default()
    };
    let page = bench.ledger.payments(filter, 50).await.unwrap();
    let mut found: Vec<String> = page.items.into_iter().map(|it| it.payment_id).collect();
    found.sort();
    found
}

const UNTIL: &str = "SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'values_until'";

#[tokio::test]
async fn who_waits_for_a_link_is_found_before_and_after_its_values_are_put_in() {
    let mut bench = Bench::new();
    bench
        .deliver(charge("ch_first", 700, Some("cus_late")))
        .await;
    let many = (0..MANY).map(|at| charge(&format!("ch_{at}"), 100, Some(&format!("cus_{at}"))));
    bench.deliver_all(many.collect()).await;
    let until = bench.number(UNTIL);
    assert!(until > 900, "many were put in: {until}");
    bench
        .deliver(charge("ch_last", 900, Some("cus_late")))
        .await;
    assert_eq!(bench.number(UNTIL), until, "one is not put in by itself");
    assert_eq!(found(&bench, "cus_lat").await, ["ch_first", "ch_last"]);

    bench.deliver(customer("cus_late", "acme", 5)).await;
    for payment in ["ch_first", "ch_last"] {
        assert_eq!(bench.state(payment).await, State::Due, "{payment}");
    }
    assert!(bench.number(UNTIL) > until, "whoever asks puts them in");
    assert_eq!(found(&bench, "cus_lat").await, ["ch_first", "ch_last"]);
}

/// What was said first is still in its place, and finds nobody any more.
#[tokio::test]
async fn a_value_that_changed_is_found_and_the_one_before_it_is_not() {
    let mut bench = Bench::new();
    bench.deliver(charge("ch_1", 700, Some("cus_old"))).await;
    bench.deliver(customer("cus_other", "acme", 5)).await;
    let mut moved = charge("ch_1", 700, Some("cus_new"));
    moved.clues[0].version = 9;
    bench.deliver(moved).await;
    assert_eq!(found(&bench, "cus_old").await, Vec::<String>::new());
    assert_eq!(found(&bench, "cus_new").await, ["ch_1"]);
    bench.deliver(customer("cus_old", "acme", 6)).await;
    assert_eq!(bench.state("ch_1").await, State::Unattributed);
    bench.deliver(customer("cus_new", "acme", 7)).await;
    assert_eq!(bench.state("ch_1").await, State::Due);
}

/// A stand-in that was the last payment goes, and a file gives its number to the next.
#[tokio::test]
async fn whoever_gets_the_number_of_a_payment_that_is_gone_is_found() {
    let mut bench = Bench::new();
    bench.deliver(authorised("ch_1", 700)).await;
    bench
        .deliver(refund_of_intent("pi_1", "re_1", 100, 3))
        .await;
    bench.deliver(customer("cus_other", "acme", 5)).await;
    let last = bench.number(UNTIL);
    let mut told = authorised("ch_1", 700);
    told.aliases.push(alias("ch_1", "payment_intent", "pi_1"));
    bench.deliver(told).await;
    let gone = bench.number("SELECT count(*) FROM payments WHERE reference = 1");
    assert_eq!(gone, 0, "the stand-in is gone");
    assert!(bench.number(UNTIL) < last);

    bench.deliver(charge("ch_2", 900, Some("cus_2"))).await;
    bench.deliver(customer("cus_2", "acme", 6)).await;
    assert_eq!(bench.state("ch_2").await, State::Due);
}
