//! The ledger against the destination's own list: clean where nobody meddled,
//! and every kind of meddling told by its name.

use serde_json::json;
use tributary::ledger::Difference;
use tributary::reconcile::{ReconcileError, Reconciled, Then, reconcile};
use tributary::time::{Clock, Time};

use crate::world::*;

/// Compares, and answers each difference as `word key ledger destination`.
async fn compare(world: &World, then: Then) -> (Reconciled, Vec<String>) {
    let app = &world.service().app;
    let destination = app.destinations().unwrap().remove(0);
    let mut told = Vec::new();
    let done = reconcile(
        &app.ledger,
        &destination,
        &Clock::Machine,
        (Time(0), then),
        |difference: &Difference| {
            told.push(format!(
                "{} {} {} {}",
                difference.differs.word(),
                difference.key,
                difference.ledger,
                difference.destination
            ));
        },
    )
    .await
    .unwrap();
    told.sort();
    (done, told)
}

/// Somebody posts to the destination past us.
async fn meddle(world: &World, at: &str, key: &str, amount: i64) {
    let created_at = Clock::Machine.now().ms();
    let answer = world
        .client
        .post(format!("{at}/api/v2/transactions"))
        .basic_auth("pk_live_1", Some("sk_live_1_secret"))
        .json(&json!({
            "key": key, "amount": amount, "currency": "USD", "customer_external_key": "acme",
            "created_at": created_at,
        }))
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_is_named_and_fixing_posts_nothing_that_is_missing() {
    let mut world = World::new().await;
    let at = world.config().destinations["ps"].base_url.clone();
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    for number in 1..=5 {
        let id = format!("ch_{number}");
        let sale = charge(&id, 1000 * number, Some("cus_A"));
        world.stripe("charge.succeeded", sale).await;
    }
    // Else one that went back before it was posted would have no transaction.
    for number in 1..=5 {
        world.wait_for(&format!("ch_{number}"), "settled").await;
    }
    world
        .stripe("refund.created", refund("re_4", "ch_4", 4000))
        .await;
    world
        .stripe("refund.created", refund("re_5", "ch_5", 500))
        .await;
    while world.held("ch_4") != 0 || world.held("ch_5") != 4500 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for number in 1..=5 {
        world.wait_for(&format!("ch_{number}"), "settled").await;
    }
    let (done, told) = compare(&world, Then::Tell).await;
    assert_eq!((told, done.differences), (vec![], 0));
    assert!(done.listed >= 5, "{done:?}");

    // One is deleted past us, one comes twice, one comes back with another
    // amount, one that we deleted comes back, and two are not ours.
    assert!(world.sandbox.delete_transaction("stripe:ch_1"));
    meddle(&world, &at, "stripe:ch_2", 2000).await;
    assert!(world.sandbox.delete_transaction("stripe:ch_3"));
    meddle(&world, &at, "stripe:ch_3", 3100).await;
    meddle(&world, &at, "stripe:ch_4", 4000).await;
    meddle(&world, &at, "stripe:ch_9", 9000).await;
    meddle(&world, &at, "by-hand", 700).await;
    let expected = [
        "changed stripe:ch_3 3000 3100",
        "extra stripe:ch_4 0 4000",
        "foreign by-hand 0 700",
        "missing stripe:ch_1 1000 0",
        "twice stripe:ch_2 2000 2000",
        "unknown stripe:ch_9 0 9000",
    ];
    let (done, told) = compare(&world, Then::Tell).await;
    assert_eq!(told, expected);
    let usd = ("acme".to_owned(), "USD".to_owned());
    assert_eq!(done.sums[&usd], (6000, 18_800));
    // A look changes nothing.
    assert_eq!(world.payment("ch_1").await.state, "settled");

    let posts = world.sandbox.transactions().len();
    let (done, told) = compare(&world, Then::Fix).await;
    assert_eq!((told.len(), done.corrected), (6, 4));
    for id in ["ch_1", "ch_2", "ch_3"] {
        assert_eq!(world.payment(id).await.state, "held", "{id}");
    }
    // What is there too much is owed its deletion, and the forwarder does it.
    world.wait_for("ch_4", "settled").await;
    assert_eq!(world.held("ch_4"), 0);
    assert_eq!(
        world.sandbox.transactions().len(),
        posts,
        "nothing is posted"
    );
    assert_eq!(world.payment("ch_5").await.state, "settled");
    // What a person has to decide about is told again, in the same words or "extra".
    let (_, told) = compare(&world, Then::Tell).await;
    assert!(
        !told
            .iter()
            .any(|it| it.contains("ch_4") || it.contains("ch_5")),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_to_be_left_alone_is_not_asked_before() {
    let mut world = World::new().await;
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    let later = "429:2@GET=next:1".parse().unwrap();
    world.sandbox.set_faults(vec![later]);
    let (done, _) = compare(&world, Then::Tell).await;
    assert_eq!(done.differences, 0);
    let calls = world.sandbox.requests();
    let refused = calls.iter().find(|call| call.status == Some(429)).unwrap();
    let next = calls.iter().find(|call| call.status == Some(200)).unwrap();
    assert!(next.at_ms - refused.at_ms >= 2_000, "{calls:?}");
    // The service of the same ledger obeys as well, also what reconcile was told.
    let later = "429:3@GET=next:1".parse().unwrap();
    world.sandbox.set_faults(vec![later]);
    compare(&world, Then::Tell).await;
    let ledger = &world.service().app.ledger;
    let until = Clock::Machine.now().plus(3_600_000);
    ledger.pause("ps", until).await.unwrap();
    world
        .stripe("charge.succeeded", charge("ch_1", 1000, Some("cus_A")))
        .await;
    let before = world.sandbox.requests().len();
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(world.sandbox.requests().len(), before);
    let app = &world.service().app;
    let destination = app.destinations().unwrap().remove(0);
    let asked = (Time(0), Then::Tell);
    let answer = reconcile(&app.ledger, &destination, &Clock::Machine, asked, |_| {}).await;
    assert!(matches!(answer, Err(ReconcileError::LeftAlone(_))));
    assert_eq!(world.sandbox.requests().len(), before);
    assert_eq!(world.payment("ch_1").await.state, "due");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_nothing_is_said() {
    let world = World::with("v2_available = false\npartial_refunds = \"negative\"").await;
    let app = &world.service().app;
    let destination = app.destinations().unwrap().remove(0);
    let answer = reconcile(
        &app.ledger,
        &destination,
        &Clock::Machine,
        (Time(0), Then::Fix),
        |_| {},
    )
    .await;
    assert!(
        matches!(answer, Err(ReconcileError::NoList(_))),
        "{answer:?}"
    );
    world.strike().await;
}
