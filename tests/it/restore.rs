//! A ledger that was lost: what a copy of it does, and what a new one does.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tributary::destination::Row as Listed;
use tributary::ledger::book::State;
use tributary::ledger::{Difference, Ledger, LedgerError, Outgoing};
use tributary::plan::Policy;
use tributary::reconcile::{Reconciled, Then, reconcile};
use tributary::time::{Clock, HOUR_MS, SECOND_MS, Time};

use crate::bench::{self, Bench, There, begun, usd};
use crate::binary::Folder;
use crate::rows;
use crate::world::*;

/// The machine is gone: another one starts on `copy`, a file, or on nothing.
async fn lose(world: &mut World, copy: Option<&Path>) {
    world.service.take().unwrap().stop().await;
    world.lose_ledger();
    if let Some(copy) = copy {
        std::fs::copy(copy, world.dir.path().join("ledger.db")).unwrap();
    }
    world.start().await;
}

async fn against(world: &World, then: Then) -> (Reconciled, Vec<String>) {
    let app = &world.service().app;
    let destination = app.destinations().unwrap().remove(0);
    let mut told = Vec::new();
    let tell = |difference: &Difference| {
        told.push(format!("{} {}", difference.differs.word(), difference.key));
    };
    let done = reconcile(
        &app.ledger,
        &destination,
        &Clock::Machine,
        (Time(0), then),
        tell,
    )
    .await
    .unwrap();
    told.sort();
    (done, told)
}

async fn send(world: &World, events: &[Value]) {
    for event in events {
        assert_eq!(world.stripe_event(event).await.0, 200);
    }
}

/// What the destination holds now, in the order in which it came.
fn posted(world: &World) -> Vec<(String, i64, bool)> {
    let rows = world.sandbox.transactions();
    rows.into_iter()
        .map(|row| (row.key, row.amount, row.archived))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_copy_forwards_nothing_until_it_was_adopted_and_is_exact_then() {
    // Only a file is copied by this program.
    let mut world = World::on_file().await;
    let sale = |id: &str, amount| {
        event(
            &format!("evt_{id}"),
            "charge.succeeded",
            charge(id, amount, Some("cus_A")),
        )
    };
    let back = |id: &str, of: &str, amount| {
        event(
            &format!("evt_{id}"),
            "refund.created",
            refund(id, of, amount),
        )
    };
    let before = [
        sale("ch_1", 1000),
        sale("ch_2", 2000),
        sale("ch_3", 3000),
        sale("ch_8", 8000),
    ];
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    send(&world, &before).await;
    for id in ["ch_1", "ch_2", "ch_3", "ch_8"] {
        world.wait_for(id, "settled").await;
    }
    let copy = world.dir.path().join("last-night.db");
    world.service().app.ledger.back_up(&copy).await.unwrap();

    // After the copy: a part goes back, a whole sale goes back, new sales come,
    // one of them under an id that stands as a digest in its key.
    let after = [
        back("re_2", "ch_2", 500),
        back("re_3", "ch_3", 3000),
        sale("ch_4", 4000),
        sale("ch 6/odd", 600),
    ];
    send(&world, &after).await;
    world.wait_for("ch_4", "settled").await;
    world.wait_for("ch 6/odd", "settled").await;
    for (id, sum) in [("ch_2", 1500), ("ch_3", 0)] {
        world.wait_for(id, "settled").await;
        assert_eq!(world.held(id), sum, "{id}");
    }
    lose(&mut world, Some(&copy)).await;
    let there = posted(&world);

    // It takes what comes and forwards none of it.
    send(
        &world,
        &[
            sale("ch_7", 700),
            after[2].clone(),
            back("re_8", "ch_8", 800),
        ],
    )
    .await;
    for id in ["ch_7", "ch_4", "ch_8"] {
        world.wait_for(id, "due").await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(posted(&world), there, "a copy forwards nothing");
    let story = world
        .service()
        .app
        .ledger
        .story("stripe", "ch_7")
        .await
        .unwrap();
    assert!(
        story.summary.contains("reconcile --adopt"),
        "{}",
        story.summary
    );
    let status = world.service().app.ledger.summary().await.unwrap().status;
    assert!(status["ps"].contains("copy made at"), "{status:?}");

    let (done, told) = against(&world, Then::Adopt).await;
    let digest = tributary::destination::transaction_key("stripe", "ch 6/odd", 1);
    let expected = [
        "missing stripe:ch_3".to_owned(),
        "unknown stripe:ch_2:2".to_owned(),
        "unknown stripe:ch_4".to_owned(),
        format!("unknown {digest}"),
    ];
    assert_eq!(told, expected);
    assert_eq!(done.corrected, 4);
    // What nobody posted is posted, and what was posted is known again.
    assert_eq!(world.wait_for("ch_4", "settled").await.forwarded, 4000);
    world.wait_for("ch_7", "settled").await;
    world.wait_for("ch_8", "settled").await;
    assert_eq!((world.held("ch_7"), world.held("ch_8")), (700, 7200));
    // The refunds are not known here yet: nothing is posted against them.
    assert_eq!(world.payment("ch_2").await.state, "held");
    // Whether it is only listed late is read back before that.
    world.wait_for("ch_3", "held").await;
    assert_eq!(world.payment("ch 6/odd").await.state, "waiting");
    assert_eq!((world.held("ch_2"), world.held("ch_3")), (1500, 0));

    // The provider sends again what it sent since the copy, and all is explained.
    send(&world, &after).await;
    for (id, sum) in [
        ("ch_2", 1500),
        ("ch_3", 0),
        ("ch_4", 4000),
        ("ch 6/odd", 600),
    ] {
        let payment = world.wait_for(id, "settled").await;
        assert_eq!((payment.forwarded, world.held(id)), (sum, sum), "{id}");
    }
    let (_, told) = against(&world, Then::Tell).await;
    assert_eq!(told, Vec::<String>::new());
    // And what moves from now on moves the ordinary way.
    send(&world, &[back("re_2b", "ch_2", 100)]).await;
    world.wait_for("ch_2", "due").await;
    world.wait_for("ch_2", "settled").await;
    assert_eq!(world.held("ch_2"), 1400);
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_ledger_adopts_what_the_lost_one_posted() {
    let mut world = World::new().await;
    let link = event("evt_c", "customer.created", customer("cus_A", "acme"));
    let sales: Vec<Value> = (1..=300)
        .map(|number| {
            let id = format!("ch_{number}");
            event(
                &format!("evt_{id}"),
                "charge.succeeded",
                charge(&id, 100 + number, Some("cus_A")),
            )
        })
        .collect();
    send(&world, std::slice::from_ref(&link)).await;
    send(&world, &sales[..290]).await;
    for number in 1..=290 {
        world.wait_for(&format!("ch_{number}"), "settled").await;
    }
    lose(&mut world, None).await;
    let (done, _) = against(&world, Then::Adopt).await;
    assert_eq!((done.listed, done.corrected), (290, 290));
    let there = posted(&world);
    assert_eq!(world.payment("ch_7").await.forwarded, 107);
    assert_eq!(world.payment("ch_7").await.state, "waiting");
    // Everything comes again, in another order and with new sales.
    send(&world, &sales.iter().rev().cloned().collect::<Vec<_>>()).await;
    send(&world, &[link]).await;
    for number in 1..=300 {
        world.wait_for(&format!("ch_{number}"), "settled").await;
    }
    assert_eq!(posted(&world).len(), there.len() + 10);
    let (_, told) = against(&world, Then::Tell).await;
    assert_eq!(told, Vec::<String>::new());
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_that_was_cut_short_leaves_the_destination_closed() {
    let mut world = World::new().await;
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    let ledger = world.service().app.ledger.clone();
    ledger.begin_adoption("ps").await.unwrap();
    drop(ledger);
    world
        .stripe("charge.succeeded", charge("ch_1", 100, Some("cus_A")))
        .await;
    world.restart().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.payment("ch_1").await.state, "due");
    assert_eq!(world.held("ch_1"), 0);
    against(&world, Then::Adopt).await;
    world.wait_for("ch_1", "settled").await;
    world.strike().await;
}

#[tokio::test]
async fn a_copy_has_its_mark_before_its_name_and_replaces_nothing() {
    // Only a file is copied by this program.
    let mut bench = Bench::on_file(vec![bench::terms("stripe")]);
    bench.deliver(bench::customer("cus_A", "acme", 1)).await;
    bench
        .deliver(bench::charge("ch_1", 100, Some("cus_A")))
        .await;
    let file = bench.dir.path().join("copy.db");
    bench.ledger.back_up(&file).await.unwrap();
    let refused = bench.ledger.back_up(&file).await;
    assert!(
        matches!(&refused, Err(LedgerError::Refused(why)) if why.contains("there already")),
        "{refused:?}"
    );
    let nowhere = bench.dir.path().join("no/such/folder/copy.db");
    assert!(bench.ledger.back_up(&nowhere).await.is_err());
    let names = std::fs::read_dir(bench.dir.path()).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("ledger.db"))
        .collect();
    names.sort();
    assert_eq!(names, ["copy.db"]);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The original goes on, and the copy of a copy is one too.
    assert!(bench.begin().await.is_some());
    let copy = on(&bench, &file);
    assert!(begun(&copy, 1).await.is_empty());
    let again = bench.dir.path().join("again.db");
    copy.back_up(&again).await.unwrap();
    let copy = on(&bench, &again);
    assert!(copy.copied_at("ps").await.unwrap().is_some());
    assert!(begun(&copy, 1).await.is_empty());
}

fn on(bench: &Bench, file: &Path) -> Ledger {
    Ledger::open(tributary::ledger::Opening {
        url: format!("sqlite:{}", file.display()),
        terms: bench.terms.clone(),
        clock: bench.clock.clone(),
        report_zone: tributary::day::Zone::utc(),
        serve: true,
    })
    .unwrap()
}

pub fn listed(key: &str, amount: i64, at: Time) -> Listed {
    Listed {
        key: key.to_owned(),
        amount: Some(amount),
        currency: Some(usd()),
        customer_external_key: Some("acme".to_owned()),
        customer_email: None,
        customer_key: None,
        payment_id: None,
        created_at: Some(at),
        archived: false,
    }
}

/// Long enough for a list to be believed: what is unknown is read back, and what is due
/// is called.
pub async fn quarter_of_an_hour(bench: &Bench, there: &mut There) {
    bench.clock.advance(901 * SECOND_MS);
    bench.read_back(there).await;
    bench.run(there).await;
}

/// Adopts a list that shows `rows`.
pub async fn adopt(bench: &Bench, rows: Vec<Listed>) {
    bench.ledger.begin_adoption("ps").await.unwrap();
    let begun = bench.ledger.begin_comparison("ps", Time(0)).await;
    let comparison = begun.unwrap();
    bench.ledger.adopt(comparison.clone(), rows).await.unwrap();
    let unlisted = bench
        .ledger
        .unlisted(comparison.clone(), None)
        .await
        .unwrap();
    bench
        .ledger
        .adopt_unlisted(comparison.clone(), unlisted.differences)
        .await
        .unwrap();
    bench.ledger.end_adoption(comparison).await.unwrap();
}

/// What the lost ledger posted last, the list may not show yet. Its payment is
/// read back before anything is posted; found, it is posted never again, and not
/// found long enough, once.
#[tokio::test]
async fn what_the_lost_ledger_posted_last_is_read_back_before_it_is_posted() {
    for hidden in [true, false] {
        let mut bench = Bench::new();
        bench.deliver(bench::customer("cus_A", "acme", 1)).await;
        bench.clock.advance(SECOND_MS);
        adopt(&bench, Vec::new()).await;
        bench
            .deliver(bench::charge("ch_1", 100, Some("cus_A")))
            .await;
        assert!(
            bench.begin().await.is_none(),
            "nothing before the read-back"
        );
        let mut there = There::default();
        if hidden {
            there
                .rows
                .insert("stripe:ch_1".to_owned(), vec![("acme".to_owned(), 100)]);
        }
        bench.clock.advance(2 * SECOND_MS);
        bench.read_back(&there).await;
        bench.run(&mut there).await;
        assert_eq!(there.sum(), if hidden { 100 } else { 0 });
        // Long enough after the lost ledger could have sent it, "not there" is believed.
        quarter_of_an_hour(&bench, &mut there).await;
        assert_eq!(bench.state("ch_1").await, State::Settled);
        assert_eq!(there.rows["stripe:ch_1"].len(), 1, "hidden {hidden}");
        assert_eq!(there.sum(), 100);
    }
}

/// What one list showed is no second row on the next, however soon that is read.
#[tokio::test]
async fn two_lists_of_one_millisecond_are_told_apart() {
    let mut bench = Bench::new();
    let mut there = There::default();
    bench.deliver(bench::customer("cus_A", "acme", 1)).await;
    bench
        .deliver(bench::charge("ch_1", 100, Some("cus_A")))
        .await;
    bench.run(&mut there).await;
    bench.clock.advance(2 * HOUR_MS);
    let listed = || vec![listed("stripe:ch_1", 100, bench::START)];
    for _ in 0..3 {
        let begun = bench.ledger.begin_comparison("ps", Time(0)).await;
        let found = bench.ledger.compare(begun.unwrap(), listed()).await;
        assert_eq!(found.unwrap(), []);
    }
    let begun = bench.ledger.begin_comparison("ps", Time(0)).await.unwrap();
    let twice = [listed(), listed()].concat();
    let found = bench.ledger.compare(begun, twice).await.unwrap();
    assert_eq!(found.len(), 1, "one list that shows it twice says so");
}

/// Once what may be hidden was read back often enough, it is there once.
async fn ends_with_one_second_row(bench: &Bench, there: &mut There, rounds: u32, hidden: bool) {
    for _ in 0..rounds {
        quarter_of_an_hour(bench, there).await;
    }
    let view = bench.payment("ch_1").await;
    assert_eq!(view.state, State::Settled.word(), "{view:?}");
    assert_eq!(there.rows["stripe:ch_1:2"].len(), 1, "hidden {hidden}");
    assert_eq!(there.sum(), 900);
}

/// In the copy the sale is under way. The lost ledger had its answer and posted the
/// refund, which is not listed yet: that is read back as well before it is posted.
#[tokio::test]
async fn what_the_lost_ledger_posted_behind_a_call_of_the_copy_is_read_back_too() {
    for hidden in [true, false] {
        let mut bench = Bench::new();
        bench.deliver(bench::customer("cus_A", "acme", 1)).await;
        bench
            .deliver(bench::charge("ch_1", 1000, Some("cus_A")))
            .await;
        bench.begin().await.unwrap();
        bench
            .deliver(bench::refund("ch_1", "re_1", 100, 3999))
            .await;
        bench.clock.advance(SECOND_MS);
        let shown = listed("stripe:ch_1", 1000, bench::START.plus(SECOND_MS));
        let mut there = There::default();
        there
            .rows
            .insert("stripe:ch_1".to_owned(), vec![("acme".to_owned(), 1000)]);
        adopt(&bench, vec![shown]).await;
        assert!(
            bench.begin().await.is_none(),
            "nothing before the read-back"
        );
        if hidden {
            there
                .rows
                .insert("stripe:ch_1:2".to_owned(), vec![("acme".to_owned(), -100)]);
        }
        ends_with_one_second_row(&bench, &mut there, 2, hidden).await;
    }
}

/// The same where it was a delete that was under way: that it is read back here is no call
/// of our own, behind which nothing of the lost ledger's could come.
#[tokio::test]
async fn what_the_lost_ledger_posted_behind_a_delete_of_the_copy_is_read_back_too() {
    for hidden in [true, false] {
        let mut source = bench::terms("stripe");
        source.terms.policy = Policy::Replace;
        let mut bench = Bench::with(vec![source]);
        let mut there = There::default();
        bench.deliver(bench::customer("cus_A", "acme", 1)).await;
        bench
            .deliver(bench::charge("ch_1", 1000, Some("cus_A")))
            .await;
        bench.run(&mut there).await;
        bench.clock.advance(HOUR_MS);
        bench
            .deliver(bench::refund("ch_1", "re_1", 100, 3999))
            .await;
        let deleting = bench.begin().await.unwrap();
        assert!(matches!(deleting.call, Outgoing::Delete { .. }));
        there.rows.clear();
        bench.clock.advance(SECOND_MS);
        // Who serves on the copy begins when the other one is lost.
        bench.restart().await;
        adopt(&bench, Vec::new()).await;
        if hidden {
            there
                .rows
                .insert("stripe:ch_1:2".to_owned(), vec![("acme".to_owned(), 900)]);
        }
        ends_with_one_second_row(&bench, &mut there, 3, hidden).await;
    }
}

/// What was posted shortly before the list was read may not be on it yet. It is no
/// deleted row: it is read back, and counts again once it is listed.
#[tokio::test]
async fn what_was_posted_just_before_the_adoption_is_not_taken_for_deleted() {
    for listed_later in [true, false] {
        let mut bench = Bench::new();
        let mut there = There::default();
        bench.deliver(bench::customer("cus_A", "acme", 1)).await;
        bench
            .deliver(bench::charge("ch_1", 1000, Some("cus_A")))
            .await;
        bench.run(&mut there).await;
        bench.clock.advance(90 * SECOND_MS);
        adopt(&bench, Vec::new()).await;
        assert!(bench.begin().await.is_none());
        assert_eq!(bench.state("ch_1").await, State::Due, "it is read back");
        if !listed_later {
            there.rows.clear();
        }
        later(&bench, &mut there).await;
        let (sum, state) = (there.sum(), bench.state("ch_1").await);
        match listed_later {
            true => assert_eq!((sum, state), (1000, State::Settled)),
            // Deleted by the lost ledger, for a reason that it took with it.
            false => assert_eq!((sum, state), (0, State::Held)),
        }
    }
}

/// What was posted long before and is on no list was deleted by the lost ledger, for a
/// reason that it took with it: it is held, and never posted again unasked.
#[tokio::test]
async fn what_was_posted_long_before_the_adoption_and_is_not_listed_was_deleted() {
    let mut bench = Bench::new();
    let mut there = There::default();
    bench.deliver(bench::customer("cus_A", "acme", 1)).await;
    bench
        .deliver(bench::charge("ch_1", 1000, Some("cus_A")))
        .await;
    bench.run(&mut there).await;
    bench.clock.advance(5000 * SECOND_MS);
    there.rows.clear();
    adopt(&bench, Vec::new()).await;
    assert_eq!(bench.state("ch_1").await, State::Held);
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 0);
    // The refund that explains it comes again.
    bench.deliver(bench::refund("ch_1", "re_1", 1000, 9)).await;
    bench.run(&mut there).await;
    assert_eq!(
        (there.sum(), bench.state("ch_1").await),
        (0, State::Settled)
    );
}

/// A call that was under way when the copy was made: the lost ledger found it
/// absent and sent it again later, with another amount.
#[tokio::test]
async fn a_call_under_way_in_the_copy_is_what_the_list_shows() {
    let mut bench = Bench::new();
    bench.deliver(bench::customer("cus_A", "acme", 1)).await;
    bench
        .deliver(bench::charge("ch_1", 1000, Some("cus_A")))
        .await;
    bench
        .deliver(bench::charge("ch_2", 2000, Some("cus_A")))
        .await;
    bench.begin().await.unwrap();
    bench.begin().await.unwrap();
    bench.clock.advance(5000 * SECOND_MS);
    let shown = listed("stripe:ch_1", 900, bench::START.plus(4000 * SECOND_MS));
    let mut there = There::default();
    there
        .rows
        .insert("stripe:ch_1".to_owned(), vec![("acme".to_owned(), 900)]);
    adopt(&bench, vec![shown]).await;
    // Not shown, it stays unknown until the list is believed.
    assert!(bench.begin().await.is_none());
    assert_eq!(bench.state("ch_1").await, State::Held);
    assert_eq!(bench.state("ch_2").await, State::Due);
    bench
        .deliver(bench::refund("ch_1", "re_1", 100, 3999))
        .await;
    assert_eq!(bench.state("ch_1").await, State::Settled);
    later(&bench, &mut there).await;
    assert_eq!((there.sum_of("ch_1"), there.sum_of("ch_2")), (900, 2000));
    assert_eq!(bench.state("ch_2").await, State::Settled);
}

/// A sale that the copy knows, of which the lost ledger took 100 back later.
async fn corrected_by_the_lost_ledger() -> (Bench, There) {
    let mut bench = Bench::new();
    let mut there = There::default();
    bench.deliver(bench::customer("cus_A", "acme", 1)).await;
    bench
        .deliver(bench::charge("ch_1", 1000, Some("cus_A")))
        .await;
    bench.run(&mut there).await;
    bench.clock.advance(5000 * SECOND_MS);
    there
        .rows
        .insert("stripe:ch_1:2".to_owned(), vec![("acme".to_owned(), -100)]);
    let rows = vec![
        listed("stripe:ch_1", 1000, bench::START),
        listed("stripe:ch_1:2", -100, bench::START.plus(100 * SECOND_MS)),
    ];
    adopt(&bench, rows).await;
    bench.run(&mut there).await;
    (bench, there)
}

/// Two refunds after the copy, one of them forwarded by the lost ledger. Whichever
/// is sent again first, nothing wrong is ever posted.
#[tokio::test]
async fn rows_are_explained_by_what_was_known_when_they_were_posted() {
    for known_first in [true, false] {
        let (mut bench, mut there) = corrected_by_the_lost_ledger().await;
        assert_eq!((there.sum(), bench.state("ch_1").await), (900, State::Held));
        let mut refunds = [
            bench::refund("ch_1", "re_1", 100, 100),
            bench::refund("ch_1", "re_2", 200, 200),
        ];
        if !known_first {
            refunds.reverse();
        }
        for refund in refunds {
            bench.deliver(refund).await;
            bench.run(&mut there).await;
            assert!([900, 700].contains(&there.sum()), "{}", there.sum());
        }
        bench.clock.advance(901 * SECOND_MS);
        bench.read_back(&there).await;
        quarter_of_an_hour(&bench, &mut there).await;
        assert_eq!(
            (there.sum(), bench.state("ch_1").await),
            (700, State::Settled)
        );
    }
}

/// A person says that what explains it will never come.
#[tokio::test]
async fn what_was_adopted_goes_on_by_a_persons_word() {
    let (bench, mut there) = corrected_by_the_lost_ledger().await;
    assert_eq!(bench.state("ch_1").await, State::Held);
    let one = tributary::ledger::Filter {
        payment_id: Some("ch_1".to_owned()),
        ..Default::default()
    };
    let decision = tributary::ledger::Decision::Accept;
    let (lines, _) = bench
        .ledger
        .decide(one, decision, bench.word(), false)
        .await
        .unwrap();
    assert_eq!(lines[0].refused, None);
    later(&bench, &mut there).await;
    assert_eq!(
        (there.sum(), bench.state("ch_1").await),
        (1000, State::Settled)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_is_copied_killed_restored_and_adopted_by_hand() {
    // Only a file is copied by this program.
    let folder = Folder::on_file().await;
    let client = crate::binary::client();
    let link = event("evt_c", "customer.created", customer("cus_A", "acme"));
    let sale = |id: &str| {
        let sold = charge(id, 4999, Some("cus_A"));
        event(&format!("evt_{id}"), "charge.succeeded", sold)
    };
    let mut running = folder.serve().await;
    running.deliver(&client, SECRET, &link).await;
    running.deliver(&client, SECRET, &sale("ch_1")).await;
    folder.wait_for("ch_1", "settled").await;
    let ran = folder.expect(0, &["backup", "copy.db"]);
    assert!(ran.err.contains("reconcile --adopt"), "{ran:?}");
    let again = folder.expect(1, &["backup", "copy.db"]);
    assert!(again.err.contains("there already"), "{again:?}");
    running.deliver(&client, SECRET, &sale("ch_2")).await;
    folder.wait_for("ch_2", "settled").await;
    running.kill();
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.path(&format!("ledger.db{end}")));
    }
    std::fs::rename(folder.path("copy.db"), folder.path("ledger.db")).unwrap();

    let running = folder.serve().await;
    running.deliver(&client, SECRET, &sale("ch_2")).await;
    running.deliver(&client, SECRET, &sale("ch_3")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(folder.sandbox.transactions().len(), 2);
    assert!(running.log().contains("copy made at"), "{}", running.log());
    let told = folder.expect(0, &["explain", "stripe", "ch_3"]);
    assert!(told.out.contains("reconcile --adopt"), "{told:?}");
    let checked = folder.expect(0, &["check"]);
    assert!(checked.err.contains("copy made at"), "{checked:?}");
    folder.expect(2, &["reconcile", "--adopt", "--since", "7d"]);
    folder.expect(2, &["reconcile", "--adopt", "--fix"]);
    let adopted = folder.expect(0, &["reconcile", "--adopt"]);
    assert!(adopted.out.contains("unknown   stripe:ch_2"), "{adopted:?}");
    folder.wait_for("ch_2", "settled").await;
    folder.wait_for("ch_3", "settled").await;
    assert_eq!(folder.sandbox.transactions().len(), 3);
    folder.expect(0, &["reconcile"]);
    assert!(running.terminate().success());
}

/// The lost ledger posted the whole sale, which is listed late, and here a refund
/// of it is known already: the refund is posted beside what stands there.
#[tokio::test]
async fn what_is_listed_after_the_adoption_with_another_amount_is_adopted_too() {
    let mut bench = Bench::new();
    bench.deliver(bench::customer("cus_A", "acme", 1)).await;
    bench.clock.advance(1000 * SECOND_MS);
    bench.restart().await;
    adopt(&bench, Vec::new()).await;
    bench
        .deliver(bench::charge("ch_1", 1000, Some("cus_A")))
        .await;
    bench.deliver(bench::refund("ch_1", "re_1", 400, 990)).await;
    let mut there = There::default();
    there
        .rows
        .insert("stripe:ch_1".to_owned(), vec![("acme".to_owned(), 1000)]);
    bench.run(&mut there).await;
    later(&bench, &mut there).await;
    assert_eq!(there.rows["stripe:ch_1"].len(), 1);
    assert_eq!(
        (there.sum(), bench.state("ch_1").await),
        (600, State::Settled)
    );
}

/// So long that "not there" is believed. Of a server nobody can tell when the lost ledger
/// ended, so what it may have posted until the adoption is looked for first.
pub async fn later(bench: &Bench, there: &mut There) {
    for _ in 0..3 {
        quarter_of_an_hour(bench, there).await;
    }
}

/// The lost ledger posted a sale and deleted it again; the list shows that. Its key
/// is not used again, and nothing is posted while the refund is not known here.
#[tokio::test]
async fn what_the_lost_ledger_deleted_is_not_posted_again() {
    let mut bench = Bench::new();
    let mut there = There::default();
    bench.deliver(bench::customer("cus_A", "acme", 1)).await;
    bench.clock.advance(5000 * SECOND_MS);
    let deleted = Listed {
        archived: true,
        ..listed("stripe:ch_1", 1000, bench::START)
    };
    adopt(&bench, vec![deleted]).await;
    bench
        .deliver(bench::charge("ch_1", 1000, Some("cus_A")))
        .await;
    later(&bench, &mut there).await;
    assert_eq!((there.sum(), bench.state("ch_1").await), (0, State::Held));
    bench
        .deliver(bench::refund("ch_1", "re_1", 1000, 990))
        .await;
    later(&bench, &mut there).await;
    assert_eq!(
        (there.sum(), bench.state("ch_1").await),
        (0, State::Settled)
    );
    // The refund fails: the sale is posted, under a key of its own.
    bench
        .deliver(bench::refund_failed("ch_1", "re_1", 1000, 6000))
        .await;
    later(&bench, &mut there).await;
    assert_eq!(there.sum(), 1000);
    assert!(there.rows.contains_key("stripe:ch_1:2"));
}

/// All of it went back, as far as is known here, so nothing is to be posted: the
/// lost ledger may have posted it before, and the list may not show it yet.
#[tokio::test]
async fn a_sale_that_went_back_is_looked_for_too() {
    for (told_before, at_once) in [(true, false), (false, false), (false, true)] {
        let mut bench = Bench::new();
        let mut there = There::default();
        bench.deliver(bench::customer("cus_A", "acme", 1)).await;
        bench.clock.advance(1000 * SECOND_MS);
        bench.restart().await;
        let both = [
            bench::charge("ch_1", 1000, Some("cus_A")),
            bench::refund("ch_1", "re_1", 1000, 990),
        ];
        if told_before {
            for told in both.clone() {
                bench.deliver(told).await;
            }
        }
        adopt(&bench, Vec::new()).await;
        if at_once {
            // One document tells of the sale and of its refund.
            let [mut sale, refund] = both;
            sale.movements.extend(refund.movements);
            bench.deliver(sale).await;
        } else {
            for told in both {
                bench.deliver(told).await;
            }
        }
        there
            .rows
            .insert("stripe:ch_1".to_owned(), vec![("acme".to_owned(), 1000)]);
        later(&bench, &mut there).await;
        assert_eq!(
            (there.sum(), bench.state("ch_1").await),
            (0, State::Settled),
            "told before {told_before}, at once {at_once}"
        );
    }
}

/// Two sources have a payment of the same odd id, so that their keys end in the
/// same digest: each row belongs to the payment of its own source.
#[tokio::test]
async fn a_digest_is_of_one_source_alone() {
    let sources = ["stripe", "stripe-eu"];
    let mut bench = Bench::with(sources.map(bench::terms).to_vec());
    bench.clock.advance(5000 * SECOND_MS);
    let (odd, prices) = ("odd id/1", [1000, 2000]);
    for (source, price) in sources.into_iter().zip(prices) {
        bench
            .deliver_to(source, bench::customer("cus_A", "acme", 1))
            .await;
        let mut sale = bench::charge(odd, price, Some("cus_A"));
        sale.aliases.clear();
        bench.deliver_to(source, sale).await;
    }
    let rows = sources.into_iter().zip(prices).map(|(source, price)| {
        let key = tributary::destination::transaction_key(source, odd, 1);
        listed(&key, price, bench::START)
    });
    adopt(&bench, rows.collect()).await;
    for (source, price) in sources.into_iter().zip(prices) {
        let payment = bench.payment_of(source, odd).await;
        assert_eq!((payment.state, payment.forwarded), ("settled", price));
    }
    let mut there = There::default();
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 0, "nothing is posted again");
}

/// The same of a sale that a file brings back into a new ledger, with its refund.
#[tokio::test]
async fn an_imported_sale_that_went_back_is_looked_for_too() {
    let mut bench = Bench::new();
    let mut there = There::default();
    bench.clock.advance(1000 * SECOND_MS);
    bench.restart().await;
    adopt(&bench, Vec::new()).await;
    let sale = rows::whose(bench::charge("ch_1", 1000, None), "ch_1", "acme");
    rows::import(&bench, &[sale, bench::refund("ch_1", "re_1", 1000, 990)]).await;
    there
        .rows
        .insert("stripe:ch_1".to_owned(), vec![("acme".to_owned(), 1000)]);
    later(&bench, &mut there).await;
    assert_eq!(
        (there.sum(), bench.state("ch_1").await),
        (0, State::Settled)
    );
}
