//! Counter-examples to simpler rules of keeping the books that no other test
//! plays: each names what would go wrong.

use tributary::destination::Outcome;
use tributary::ledger::Outgoing;
use tributary::ledger::book::State;
use tributary::movement::Class;
use tributary::time::SECOND_MS;

use crate::bench::*;

async fn sold(id: &str) -> (Bench, There) {
    let mut bench = Bench::new();
    bench.deliver(customer("cus_A", "acme", 1)).await;
    bench.deliver(charge(id, 4999, Some("cus_A"))).await;
    (bench, There::default())
}

/// A settle that trusted the plan of the call's begin would call it settled.
#[tokio::test]
async fn a_refund_recorded_during_a_post_is_sent_after_it() {
    let (mut bench, mut there) = sold("ch_1").await;
    let begun = bench.begin().await.unwrap();
    bench.deliver(refund("ch_1", "re_1", 1000, 3)).await;
    assert!(bench.begin().await.is_none(), "one call at a time");
    there.carry_out(&begun.call);
    let settled = bench.ledger.settle(begun.claim, Outcome::Accepted, 0);
    assert_eq!(settled.await.unwrap().state, State::Due);
    bench.run(&mut there).await;
    assert_eq!(
        (there.sum(), bench.state("ch_1").await),
        (3999, State::Settled)
    );
}

/// Several deletes could stop half-way: many rows are undone by one call.
#[tokio::test]
async fn a_full_reversal_of_several_rows_is_one_call() {
    let (mut bench, mut there) = sold("ch_1").await;
    bench.run(&mut there).await;
    bench.deliver(refund("ch_1", "re_1", 1000, 3)).await;
    bench.run(&mut there).await;
    bench.deliver(refund("ch_1", "re_2", 3999, 5)).await;
    let begun = bench.begin().await.unwrap();
    there.carry_out(&begun.call);
    let settled = bench.ledger.settle(begun.claim, Outcome::Accepted, 0);
    assert_eq!(settled.await.unwrap().state, State::Settled);
    assert_eq!((there.sum(), there.rows.len()), (0, 3));
}

/// Dated at the sale it would change a month that was paid out long ago.
#[tokio::test]
async fn a_reversal_row_is_of_the_reversals_day_and_names_the_first_row() {
    let (mut bench, mut there) = sold("ch_1").await;
    bench.run(&mut there).await;
    bench.deliver(refund("ch_1", "re_1", 1000, 70)).await;
    bench.deliver(refund("ch_1", "re_2", 500, 30)).await;
    let Outgoing::Post(row) = bench.begin().await.unwrap().call else {
        panic!("a correction is a post");
    };
    assert_eq!((row.key.as_str(), row.amount), ("stripe:ch_1:2", -1500));
    assert_eq!(row.created_at, START.plus(70 * SECOND_MS));
    let first = ("reversal_of".to_owned(), "stripe:ch_1".to_owned());
    assert!(row.metadata.contains(&first), "{:?}", row.metadata);
}

/// Added to the refund it would take back more than went back.
#[tokio::test]
async fn a_warning_and_the_refund_it_warned_of_count_once() {
    let (mut bench, mut there) = sold("ch_1").await;
    bench.deliver(alert("ch_1", "al", 2000)).await;
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 2999);
    bench.deliver(refund("ch_1", "re_1", 2000, 3)).await;
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 2999);
}

/// A key that begins again at the first after a delete would name a row that the
/// destination remembers.
#[tokio::test]
async fn what_was_deleted_comes_back_under_the_next_key() {
    let (mut bench, mut there) = sold("ch_1").await;
    bench.run(&mut there).await;
    for (class, version) in [(Class::DisputeTaken, 3), (Class::DisputeReturned, 4)] {
        bench.deliver(dispute("ch_1", class, 4999, version)).await;
        bench.run(&mut there).await;
    }
    let live = there.rows.iter().filter(|(_, rows)| !rows.is_empty());
    let live: Vec<&str> = live.map(|(key, _)| key.as_str()).collect();
    assert_eq!(live, ["stripe:ch_1:2"]);
    assert_eq!(there.sum(), 4999);
}
