//! One money told of by two sources, where the ledger that knew it was lost: what it posted
//! for one of them stands there, and nothing is posted for the other one beside it.

use tributary::destination::Row as Listed;
use tributary::ledger::book::State;
use tributary::ledger::{Decision, Filter};
use tributary::plan::Policy;
use tributary::time::{DAY_MS, HOUR_MS, SECOND_MS};

use crate::bench::{self, Bench, There};
use crate::restore::{adopt, later, listed, quarter_of_an_hour};

/// A ledger that two sources pay into, with this policy.
fn paid_into_by(policy: Policy) -> Bench {
    let sources = ["stripe", "stripe-2"].map(|name| {
        let mut source = bench::terms(name);
        source.terms.policy = policy;
        source
    });
    Bench::with(sources.to_vec())
}

/// Both of two sources tell of the customer.
async fn both_know_the_customer(bench: &mut Bench) {
    for source in ["stripe", "stripe-2"] {
        let known = bench::customer("cus_A", "acme", 1);
        bench.deliver_to(source, known).await;
    }
}

/// What the lost ledger posted of a sale stands there under this key, and is adopted. It is
/// dated so long ago that nobody takes it for a sale of these days by its amount alone.
async fn read_back_into(bench: &Bench, key: &str) -> There {
    read_back_of(bench, listed(key, 1000, bench::START.plus(-4 * DAY_MS))).await
}

/// The same of what a list says of a row.
async fn read_back_of(bench: &Bench, stands: Listed) -> There {
    let mut there = There::default();
    let customer = stands.customer_external_key.clone().unwrap_or_default();
    let row = vec![(customer, stands.amount.unwrap_or_default())];
    there.rows.insert(stands.key.clone(), row);
    adopt(bench, vec![stands]).await;
    there
}

/// Of the same money at two sources the second one's is settled, and the first one's held.
async fn is_the_second_sources(bench: &Bench, there: &There, net: i64) {
    assert_eq!(there.sum(), net);
    let second = bench.payment_of("stripe-2", "ch_1").await;
    assert_eq!((second.state, second.forwarded), ("settled", net));
    assert_eq!(bench.state("ch_1").await, State::Held);
}

/// The one that the lost ledger posted goes first, whenever its capture is told: the other
/// one, with nothing to forward, is held as the same.
#[tokio::test]
async fn the_same_money_as_an_adopted_sales_is_counted_once() {
    let mut bench = paid_into_by(Policy::Delete);
    both_know_the_customer(&mut bench).await;
    bench.clock.advance(HOUR_MS);
    let mut there = read_back_of(&bench, listed("stripe-2:ch_1", 1000, bench::START)).await;
    bench.clock.advance(HOUR_MS);
    let named = bench::authorised("ch_1", 1000);
    bench.deliver_to("stripe-2", named).await;
    let mut sale = bench::charge("ch_1", 1000, Some("cus_A"));
    // Nothing else is new with the sale: an id would make both be looked at.
    sale.aliases.truncate(1);
    let refund = bench::refund("ch_1", "re_1", 100, 3999);
    bench.deliver(sale.clone()).await;
    bench.deliver(refund.clone()).await;
    bench.run(&mut there).await;
    // On a server nobody can tell when the other ledger was lost: it is looked for there.
    bench.clock.advance(HOUR_MS);
    bench.read_back(&there).await;
    bench.run(&mut there).await;
    // The ids of what stands there are known before its sale is.
    assert_eq!(bench.state("ch_1").await, State::Held);
    bench.deliver_to("stripe-2", sale).await;
    bench.deliver_to("stripe-2", refund).await;
    bench.run(&mut there).await;
    is_the_second_sources(&bench, &there, 0).await;
    crate::days::agree(&bench.ledger, "the same money as an adopted sale's").await;
}

/// The one whose row stands there goes first also where the other one was told of before
/// it: that is looked for, because the lost ledger may have posted it as well, and not found.
#[tokio::test]
async fn what_stands_there_goes_before_the_same_money_that_was_looked_for_in_vain() {
    for back in [0, 100, 1000] {
        let mut bench = Bench::with(["stripe", "stripe-2"].map(bench::terms).to_vec());
        let sources = ["stripe", "stripe-2"];
        both_know_the_customer(&mut bench).await;
        bench.deliver(bench::authorised("ch_1", 1000)).await;
        bench.clock.advance(SECOND_MS);
        let mut there = read_back_into(&bench, "stripe-2:ch_1").await;
        for source in sources {
            let sale = bench::charge("ch_1", 1000, Some("cus_A"));
            bench.deliver_to(source, sale).await;
            assert!(bench.begin().await.is_none(), "it is looked for first");
        }
        quarter_of_an_hour(&bench, &mut there).await;
        for source in sources {
            if back > 0 {
                let refund = bench::refund("ch_1", "re_1", back, 3999);
                bench.deliver_to(source, refund).await;
            }
        }
        bench.run(&mut there).await;
        quarter_of_an_hour(&bench, &mut there).await;
        is_the_second_sources(&bench, &there, 1000 - back).await;
        crate::days::agree(&bench.ledger, "the same money as what stands there").await;
    }
}

/// The other one has only been named when it is read back: its ids say already that what
/// stands there is the same money.
#[tokio::test]
async fn what_stands_there_goes_first_before_its_sale_is_told_again() {
    let mut bench = Bench::with(["stripe", "stripe-2"].map(bench::terms).to_vec());
    let sale = bench::charge("ch_1", 1000, Some("cus_A"));
    let mut named = bench::authorised("ch_1", 1000);
    named.aliases.clone_from(&sale.aliases);
    bench.deliver(named).await;
    bench.deliver_to("stripe-2", sale.clone()).await;
    bench.clock.advance(SECOND_MS);
    let mut there = read_back_into(&bench, "stripe:ch_1").await;
    both_know_the_customer(&mut bench).await;
    quarter_of_an_hour(&bench, &mut there).await;
    quarter_of_an_hour(&bench, &mut there).await;
    assert_eq!(there.sum(), 1000);
    let other = bench.payment_of("stripe-2", "ch_1").await;
    assert_eq!((other.state, other.forwarded), ("held", 0));
    bench.deliver(sale).await;
    quarter_of_an_hour(&bench, &mut there).await;
    assert_eq!(there.sum(), 1000);
    let first = bench.payment("ch_1").await;
    assert_eq!((first.state, first.forwarded), ("settled", 1000));
    let other = bench.payment_of("stripe-2", "ch_1").await;
    assert_eq!((other.state, other.forwarded), ("held", 0));
    crate::days::agree(&bench.ledger, "what stands there and is not told again").await;
}

/// Where nothing is to be forwarded of it anyway, it is looked for before the other one's
/// sale is told, and settled; and then both hear of each other.
#[tokio::test]
async fn who_was_looked_for_in_vain_hears_of_the_same_money_that_stands_there() {
    let mut bench = paid_into_by(Policy::Delete);
    let sale = bench::charge("ch_1", 1000, Some("cus_A"));
    let refund = bench::refund("ch_1", "re_1", 100, 3999);
    bench.deliver(sale.clone()).await;
    bench.clock.advance(SECOND_MS);
    let mut there = read_back_into(&bench, "stripe-2:ch_1").await;
    both_know_the_customer(&mut bench).await;
    bench.deliver(refund.clone()).await;
    quarter_of_an_hour(&bench, &mut there).await;
    assert_eq!(bench.state("ch_1").await, State::Settled);
    // Its ids are new with it, so that the other one is looked at first.
    bench.deliver_to("stripe-2", sale).await;
    assert_eq!(bench.state("ch_1").await, State::Held);
    bench.deliver_to("stripe-2", refund).await;
    bench.run(&mut there).await;
    is_the_second_sources(&bench, &there, 0).await;
    crate::days::agree(&bench.ledger, "the same money as what stands there").await;
}

const PERHAPS: &str = "it may be the same money as stripe ch_1, which the destination holds";

/// A ledger that two sources pay into, with a customer whom both know.
async fn two_sources() -> Bench {
    let mut bench = Bench::with(["stripe", "stripe-2"].map(bench::terms).to_vec());
    both_know_the_customer(&mut bench).await;
    bench.clock.advance(HOUR_MS);
    bench
}

/// The lost ledger alone knew by which ids both are one: the other source's sale waits until
/// the first one's is told again, and is the same money then.
#[tokio::test]
async fn what_may_be_the_same_money_as_what_stands_there_waits_until_that_is_told() {
    for policy in [Policy::Negative, Policy::Replace] {
        let mut bench = paid_into_by(policy);
        both_know_the_customer(&mut bench).await;
        bench.clock.advance(HOUR_MS);
        let mut there = read_back_of(&bench, listed("stripe:ch_1", 700, bench::START)).await;
        let sale = bench::charge("ch_1", 1000, Some("cus_A"));
        let refund = bench::refund("ch_1", "re_1", 300, 60);
        bench.deliver_to("stripe-2", sale.clone()).await;
        later(&bench, &mut there).await;
        let other = bench.payment_of("stripe-2", "ch_1").await;
        assert_eq!((other.state, other.forwarded), ("held", 0));
        let why = other.reason.unwrap();
        assert!(why.starts_with(PERHAPS), "{why}");
        bench.deliver_to("stripe-2", refund.clone()).await;
        later(&bench, &mut there).await;
        assert_eq!(there.sum(), 700, "it still waits");
        bench.deliver(refund).await;
        bench.deliver(sale).await;
        later(&bench, &mut there).await;
        assert_eq!(there.sum(), 700);
        let first = bench.payment("ch_1").await;
        assert_eq!((first.state, first.forwarded), ("settled", 700));
        let other = bench.payment_of("stripe-2", "ch_1").await;
        assert_eq!((other.state, other.forwarded), ("held", 0));
        assert!(other.reason.unwrap().starts_with("the same money as"));
        crate::days::agree(&bench.ledger, "what may have been the same money").await;
    }
}

/// It was other money: it goes on as soon as that is known, or a person says so, or what
/// stood there is gone.
#[tokio::test]
async fn what_was_taken_for_the_same_money_goes_on_once_it_is_known_not_to_be() {
    for by in ["its sale", "its sale of another amount", "a person"] {
        let mut bench = two_sources().await;
        let mut there = read_back_of(&bench, listed("stripe:ch_1", 1000, bench::START)).await;
        let sale = bench::charge("ch_2", 1000, Some("cus_A"));
        bench.deliver_to("stripe-2", sale).await;
        later(&bench, &mut there).await;
        assert_eq!(bench.payment_of("stripe-2", "ch_2").await.state, "held");
        match by {
            "a person" => {
                let of = Filter {
                    payment_id: Some("ch_2".to_owned()),
                    ..Filter::default()
                };
                let word = bench.word();
                let decided = bench.ledger.decide(of, Decision::Accept, word, false);
                decided.await.unwrap();
            }
            by => {
                let amount = if by == "its sale" { 1000 } else { 1300 };
                bench
                    .deliver(bench::charge("ch_1", amount, Some("cus_A")))
                    .await;
            }
        }
        later(&bench, &mut there).await;
        assert_eq!(there.sum(), 2000, "{by}");
        let other = bench.payment_of("stripe-2", "ch_2").await;
        assert_eq!((other.state, other.forwarded), ("settled", 1000), "{by}");
    }
}

/// What cannot be the same money is not waited for.
#[tokio::test]
async fn what_cannot_be_the_money_that_stands_there_is_posted() {
    let stands = || listed("stripe:ch_1", 1000, bench::START);
    let elsewhere = Listed {
        customer_external_key: Some("globex".to_owned()),
        ..stands()
    };
    let euros = Listed {
        currency: "EUR".parse().ok(),
        ..stands()
    };
    let before = listed(
        "stripe:ch_1",
        1000,
        bench::START.plus(-3 * DAY_MS - SECOND_MS),
    );
    let after = listed(
        "stripe:ch_1",
        1000,
        bench::START.plus(3 * DAY_MS + SECOND_MS),
    );
    let cases = [
        ("another customer", elsewhere),
        ("another currency", euros),
        ("more than that", listed("stripe:ch_1", 1001, bench::START)),
        ("long before", before),
        ("long after", after),
        ("one source", listed("stripe-2:ch_1", 1000, bench::START)),
        (
            "deleted there",
            Listed {
                archived: true,
                ..stands()
            },
        ),
    ];
    for (case, stands) in cases {
        let mut bench = two_sources().await;
        let mut there = read_back_of(&bench, stands).await;
        let sale = bench::charge("ch_2", 1000, Some("cus_A"));
        bench.deliver_to("stripe-2", sale).await;
        later(&bench, &mut there).await;
        let other = bench.payment_of("stripe-2", "ch_2").await;
        assert_eq!((other.state, other.forwarded), ("settled", 1000), "{case}");
    }
}

/// Who paid after the loss cannot stand there already.
#[tokio::test]
async fn what_was_paid_after_the_loss_waits_for_nothing_that_stood_there_before() {
    let mut bench = two_sources().await;
    let mut there = read_back_of(&bench, listed("stripe:ch_1", 1000, bench::START)).await;
    bench.clock.advance(HOUR_MS);
    let mut sale = bench::charge("ch_2", 1000, Some("cus_A"));
    sale.movements[0].fact.at = bench.clock.now();
    bench.deliver_to("stripe-2", sale).await;
    later(&bench, &mut there).await;
    let other = bench.payment_of("stripe-2", "ch_2").await;
    assert_eq!((other.state, other.forwarded), ("settled", 1000));
}
