//! Rows of files in the ledger: whatever is imported how often and in whatever
//! order beside the live feed, the books are the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tributary::destination::Outcome;
use tributary::export::export;
use tributary::import::row::Options;
use tributary::import::run::{Came, Watch, run};
use tributary::ledger::book::State;
use tributary::ledger::rows::{Chunk, Fate, Feed, RowTold, RowsFrom, RowsTaken};
use tributary::ledger::{Decision, Filter, Ledger};
use tributary::lookup::IMPORTED_CUSTOMER;
use tributary::movement::{Alias, Authority, Class, Clue, Reading, rank};
use tributary::position::{Position, position};
use tributary::time::SECOND_MS;

use crate::bench::*;

/// Rows that a feed hands out at a time.
const AT_A_TIME: usize = 7;

/// What a file says: the same as a webhook, by a file's authority.
fn row(mut reading: Reading) -> Reading {
    for movement in &mut reading.movements {
        movement.fact.authority = Authority::Csv;
    }
    reading.scope.live = Some(true);
    reading
}

pub fn whose(mut reading: Reading, id: &str, key: &str) -> Reading {
    reading.clues.push(Clue {
        payment_id: id.to_owned(),
        field: IMPORTED_CUSTOMER.to_owned(),
        value: key.to_owned(),
        version: 1,
    });
    reading
}

fn from(bench: &Bench, no_forward: bool) -> Arc<RowsFrom> {
    Arc::new(RowsFrom {
        source: "stripe".to_owned(),
        file: "sales.csv".to_owned(),
        no_forward,
        word: bench.word(),
    })
}

/// Imports rows, so many at a time.
async fn import_by(
    bench: &Bench,
    rows: &[Reading],
    at_a_time: usize,
    no_forward: bool,
) -> RowsTaken {
    let taken = bench
        .ledger
        .record_rows(from(bench, no_forward), feed(rows, at_a_time));
    taken.await.unwrap()
}

/// Hands out rows, so many at a time.
fn feed(rows: &[Reading], at_a_time: usize) -> Feed {
    let mut lines = rows.iter().cloned().map(row).zip(2..);
    let mut waiting: Vec<Vec<(u64, Reading)>> = Vec::new();
    loop {
        let part: Vec<_> = lines
            .by_ref()
            .take(at_a_time)
            .map(|(reading, line)| (line, reading))
            .collect();
        if part.is_empty() {
            break;
        }
        waiting.push(part);
    }
    waiting.reverse();
    Arc::new(Mutex::new(move || waiting.pop().map(Chunk::of)))
}

pub async fn import(bench: &Bench, rows: &[Reading]) -> RowsTaken {
    import_by(bench, rows, AT_A_TIME, false).await
}

fn fates(taken: &RowsTaken) -> Vec<Fate> {
    taken.told.iter().map(|told| told.outcome).collect()
}

/// Where every payment stands.
async fn books(bench: &Bench) -> BTreeMap<String, String> {
    books_of(&bench.ledger).await
}

async fn books_of(ledger: &Ledger) -> BTreeMap<String, String> {
    let page = ledger.payments(Filter::default(), 1_000).await;
    let line = |it: tributary::ledger::story::PaymentView| {
        let money = format!("{:?} {:?} {:?}", it.currency, it.gross, it.reversed);
        let stands = format!("{} {:?} {:?}", it.state, it.customer_key, it.reason);
        (
            it.payment_id,
            format!("{money} {} {stands} {:?}", it.occurred_at, it.live),
        )
    };
    page.unwrap().items.into_iter().map(line).collect()
}

/// One of everything that a file can state.
fn everything() -> Vec<Reading> {
    let mut found = vec![
        whose(charge("ch_sold", 4_999, None), "ch_sold", "acme"),
        whose(charge("ch_back", 1_000, None), "ch_back", "acme"),
        refund("ch_back", "re_1", 400, 5),
        refund("ch_back", "re_2", 600, 6),
        whose(charge("ch_sum", 900, None), "ch_sum", "globex"),
        refund_total("ch_sum", 250, 7),
        whose(charge("ch_kept", 800, None), "ch_kept", "globex"),
        refund_failed("ch_kept", "re_3", 800, 8),
        whose(charge("ch_disputed", 700, None), "ch_disputed", "globex"),
        dispute("ch_disputed", Class::DisputeTaken, 700, 9),
        whose(charge("ch_won", 600, None), "ch_won", "globex"),
        dispute("ch_won", Class::DisputeTaken, 600, 9),
        dispute("ch_won", Class::DisputeReturned, 600, 10),
        whose(charge("ch_void", 500, None), "ch_void", "acme"),
        void("ch_void"),
        whose(charge("ch_warned", 400, None), "ch_warned", "acme"),
        alert("ch_warned", "al_1", 100),
        authorised("ch_open", 300),
        charge("ch_nobody", 200, Some("cus_unknown")),
        charge("ch_linked", 100, Some("cus_A")),
        customer("cus_A", "acme", 1),
        refund_of_intent("pi_ch_sold", "re_9", 99, 11),
        refund_of_intent("pi_of_nobody", "re_8", 98, 12),
    ];
    let mut part = charge("ch_part", 250, None);
    part.movements[0].fact.partial_capture = true;
    found.push(whose(part, "ch_part", "acme"));
    found.push(refund_total("ch_part", 50, 13));
    found
}

#[tokio::test]
async fn a_row_states_what_its_webhook_would_have() {
    let mut told = Bench::new();
    for reading in everything() {
        told.deliver(reading).await;
    }
    let bench = Bench::new();
    let taken = import(&bench, &everything()).await;
    assert_eq!(books(&bench).await, books(&told).await);
    assert!(!fates(&taken).contains(&Fate::Known), "{taken:?}");
    assert_eq!(taken.told.len(), everything().len());
    assert!(fates(&taken).contains(&Fate::Unattributed));
    let due = books(&bench).await;
    let due = due.values().filter(|line| line.contains(" due ")).count();
    assert_eq!(taken.due, i64::try_from(due).unwrap());
}

#[tokio::test]
async fn the_same_file_twice_changes_nothing() {
    let bench = Bench::new();
    import(&bench, &everything()).await;
    let before = books(&bench).await;
    for at_a_time in [1, 100] {
        let taken = import_by(&bench, &everything(), at_a_time, false).await;
        assert!(
            fates(&taken).iter().all(|fate| *fate == Fate::Known),
            "{taken:?}"
        );
        assert_eq!((taken.changes.iter().count(), taken.due), (0, 0));
    }
    assert_eq!(books(&bench).await, before);
    let facts = bench.ledger.story("stripe", "ch_back").await.unwrap().facts;
    assert_eq!(facts.len(), 3, "{facts:?}");
}

#[tokio::test]
async fn half_a_file_and_the_live_feed_around_it_end_at_the_same_books() {
    let mut live = Bench::new();
    for reading in everything() {
        live.deliver(reading).await;
    }
    let truth = books(&live).await;
    // The file over the live feed.
    import(&live, &everything()).await;
    assert_eq!(books(&live).await, truth);
    // The live feed over the file.
    let mut bench = Bench::new();
    import(&bench, &everything()).await;
    for reading in everything() {
        bench.deliver(reading).await;
    }
    assert_eq!(books(&bench).await, truth);
    // Half a file, then the whole.
    let bench = Bench::new();
    let all = everything();
    import(&bench, &all[..all.len() / 2]).await;
    import(&bench, &all).await;
    assert_eq!(books(&bench).await, truth);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if on_postgres() { 3 } else { 12 }, ..ProptestConfig::default() })]
    /// What is folded in memory and what takes the way of every delivery ends at
    /// the same books, in any order and division.
    #[test]
    fn any_order_and_division_of_a_file_gives_the_same_books(
        rows in Just(everything()).prop_shuffle(),
        at_a_time in 1_usize..30,
        again in 0_usize..25,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut told = Bench::in_memory(vec![terms("stripe")]);
            for reading in everything() {
                told.deliver(reading).await;
            }
            let bench = Bench::in_memory(vec![terms("stripe")]);
            import_by(&bench, &rows[..again], 3, false).await;
            import_by(&bench, &rows, at_a_time, false).await;
            assert_eq!(books(&bench).await, books(&told).await);
        });
    }
}

#[tokio::test]
async fn explain_names_the_file_and_the_line() {
    let bench = Bench::new();
    import(&bench, &everything()).await;
    let story = bench.ledger.story("stripe", "ch_back").await.unwrap();
    let texts: Vec<&str> = story.events.iter().map(|it| it.text.as_str()).collect();
    let said = "import sales.csv line 4 stated: refund re_1 of 4.00 USD.";
    assert!(texts.contains(&said), "{texts:?}");
    assert_eq!(
        story.lookup.last().unwrap().sentence(),
        "import.customer_key: an imported file says acme"
    );
}

#[tokio::test]
async fn what_is_configured_beats_the_files_customer_in_any_order() {
    for file_first in [true, false] {
        let mut bench = Bench::new();
        bench.deliver(customer("cus_A", "acme", 1)).await;
        let file = [whose(charge("ch_1", 500, None), "ch_1", "globex")];
        if file_first {
            import(&bench, &file).await;
            let payment = bench.payment("ch_1").await;
            assert_eq!(payment.customer_key.as_deref(), Some("globex"));
        }
        bench.deliver(charge("ch_1", 500, Some("cus_A"))).await;
        if !file_first {
            import(&bench, &file).await;
        }
        let payment = bench.payment("ch_1").await;
        assert_eq!(payment.customer_key.as_deref(), Some("acme"));
    }
}

#[tokio::test]
async fn live_money_goes_before_the_backfill() {
    let mut bench = Bench::new();
    let old = |n: u32| {
        let id = format!("ch_old_{n}");
        whose(charge(&id, 100, None), &id, "acme")
    };
    import(&bench, &[old(1), old(2)]).await;
    bench.clock.advance(SECOND_MS);
    let mut new = charge("ch_new", 100, None);
    new = whose(new, "ch_new", "acme");
    bench.deliver(new).await;
    // A webhook about a payment of the file makes it live money.
    bench.deliver(refund("ch_old_2", "re_1", 10, 5)).await;
    let mut order = Vec::new();
    for _ in 0..3 {
        let begun = bench.begin().await.unwrap();
        order.push(begun.payment_id.clone());
        bench
            .ledger
            .settle(begun.claim, Outcome::Accepted, 0)
            .await
            .unwrap();
    }
    assert_eq!(order, ["ch_old_2", "ch_new", "ch_old_1"]);
}

#[tokio::test]
async fn history_only_is_undone_by_release_alone() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    let file = [whose(charge("ch_1", 500, None), "ch_1", "acme")];
    import_by(&bench, &file, 1, true).await;
    assert_eq!(bench.state("ch_1").await, State::Ignored);
    let reason = bench.payment("ch_1").await.reason.unwrap();
    assert!(reason.starts_with("history only"), "{reason}");
    // A webhook, a refund and the file without the flag do not forward it.
    bench.deliver(charge("ch_1", 500, None)).await;
    bench.deliver(refund("ch_1", "re_1", 100, 5)).await;
    import(&bench, &file).await;
    assert_eq!(bench.state("ch_1").await, State::Ignored);
    let only = Filter {
        payment_id: Some("ch_1".to_owned()),
        ..Filter::default()
    };
    let release = |decision| {
        let word = bench.word();
        bench.ledger.decide(only.clone(), decision, word, false)
    };
    release(Decision::Retry).await.unwrap();
    assert_eq!(bench.state("ch_1").await, State::Ignored);
    release(Decision::Accept).await.unwrap();
    assert_eq!(bench.state("ch_1").await, State::Due);
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 400);
    // The same command again does not take a person's release back.
    import_by(&bench, &file, 1, true).await;
    assert_eq!(bench.state("ch_1").await, State::Settled);
}

#[tokio::test]
async fn what_the_live_feed_told_of_is_not_made_history() {
    let (mut bench, mut there) = (Bench::new(), There::default());
    let sold = whose(charge("ch_1", 500, None), "ch_1", "acme");
    bench.deliver(sold.clone()).await;
    import_by(&bench, &[sold], 1, true).await;
    assert_eq!(bench.state("ch_1").await, State::Due);
    bench.run(&mut there).await;
    assert_eq!(there.sum(), 500);
    // What a file said first can still be made history, until it is forwarded.
    let file = [whose(charge("ch_2", 700, None), "ch_2", "acme")];
    import(&bench, &file).await;
    let taken = import_by(&bench, &file, 1, true).await;
    assert_eq!(fates(&taken), [Fate::Imported]);
    assert_eq!(bench.state("ch_2").await, State::Ignored);
}

#[tokio::test]
async fn one_bad_row_is_rejected_and_the_others_stand() {
    let bench = Bench::new();
    let mut bad = charge("ch_bad", 100, None);
    bad.movements[0].fact.amount = -1;
    let rows = [
        charge("ch_1", 100, None),
        bad,
        charge("ch_2", 100, None),
        refund("ch_1", "re_1", 10, 5),
    ];
    let taken = import_by(&bench, &rows, 10, false).await;
    let lines: Vec<_> = taken.told.iter().map(|it| (it.line, it.outcome)).collect();
    let fate = Fate::Unattributed;
    assert_eq!(
        lines,
        [(2, fate), (3, Fate::Rejected), (4, fate), (5, fate)]
    );
    assert_eq!(bench.payment("ch_1").await.net, Some(90));
    assert_eq!(books(&bench).await.len(), 2);
}

/// SQLite itself refuses a row, as it would where a check of ours is missing.
#[tokio::test]
async fn a_row_that_the_ledger_refuses_ends_no_import() {
    let bench = Bench::on_file(vec![terms("stripe")]);
    let conn = rusqlite::Connection::open(bench.dir.path().join("ledger.db")).unwrap();
    conn.execute_batch(
        "CREATE TRIGGER no_refund BEFORE INSERT ON facts WHEN new.fact_id = 're_bad'
         BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    )
    .unwrap();
    let rows = [
        whose(charge("ch_1", 100, None), "ch_1", "acme"),
        whose(charge("ch_2", 200, None), "ch_2", "acme"),
        refund("ch_2", "re_bad", 50, 5),
        whose(charge("ch_3", 300, None), "ch_3", "acme"),
    ];
    let (fine, bad) = (Fate::Imported, Fate::Rejected);
    let taken = import_by(&bench, &rows, 2, false).await;
    assert_eq!(fates(&taken), [fine, fine, bad, fine], "{taken:?}");
    let why = taken.told[2].reason.as_deref().unwrap_or_default();
    assert!(why.contains("not this one"), "{why}");
    assert_eq!(bench.payment("ch_2").await.net, Some(200));
    crate::days::agree(&bench.ledger, "a row was refused").await;
    // Once nothing is in the way, the same file brings in what was missing.
    conn.execute_batch("DROP TRIGGER no_refund").unwrap();
    let known = Fate::Known;
    let taken = import_by(&bench, &rows, 2, false).await;
    assert_eq!(fates(&taken), [known, known, fine, known]);
    assert_eq!(bench.payment("ch_2").await.net, Some(150));
}

/// A ledger that nobody serves takes many chunks at once.
#[tokio::test]
async fn chunks_that_are_taken_together_give_the_same_books() {
    let (bench, empty) = (Bench::new(), Bench::new());
    let alone = empty.ledger.scratch().await.unwrap();
    let rows = everything();
    import_by(&bench, &rows, 1, false).await;
    let taken = alone
        .ledger
        .record_rows(from(&empty, false), feed(&rows, 1))
        .await
        .unwrap();
    assert_eq!(taken.told.len(), rows.len());
    assert_eq!(books_of(&alone.ledger).await, books(&bench).await);
    crate::days::agree(&alone.ledger, "many chunks").await;
    let again = alone
        .ledger
        .record_rows(from(&empty, false), feed(&rows, 1))
        .await
        .unwrap();
    assert!(fates(&again).iter().all(|fate| *fate == Fate::Known));
}

#[tokio::test]
async fn one_id_in_two_scopes_is_one_payment() {
    let bench = Bench::new();
    let mut unsaid = whose(charge("ch_1", 500, None), "ch_1", "acme");
    unsaid.scope.account = "acct_1".to_owned();
    let rows = [whose(charge("ch_1", 500, None), "ch_1", "acme"), unsaid];
    import_by(&bench, &rows, 2, false).await;
    let books = books(&bench).await;
    assert_eq!(books.len(), 1, "{books:?}");
    assert_eq!(bench.payment("ch_1").await.net, Some(500));
}

#[tokio::test]
async fn the_same_money_twice_in_one_file_is_held() {
    let bench = Bench::new();
    let mut twin = whose(charge("ch_2", 500, None), "ch_2", "acme");
    let first = whose(charge("ch_1", 500, None), "ch_1", "acme");
    let intent = first.aliases.iter().find(|it| it.kind == "payment_intent");
    for alias in &mut twin.aliases {
        if alias.kind == "payment_intent" {
            alias.id = intent.unwrap().id.clone();
        }
    }
    import_by(&bench, &[first, twin], 2, false).await;
    assert_eq!(bench.state("ch_1").await, State::Due);
    assert_eq!(bench.state("ch_2").await, State::Held);
}

#[tokio::test]
async fn the_same_money_of_a_file_at_another_source_is_held() {
    let mut other = terms("stripe-two");
    other.destination = "ps".to_owned();
    let mut bench = Bench::with(vec![terms("stripe"), other]);
    let sold = whose(charge("ch_1", 500, None), "ch_1", "acme");
    let delivery = bench.delivery("stripe-two", sold.clone());
    bench.ledger.record(delivery).await.unwrap();
    import(&bench, &[sold]).await;
    let held = bench.payment_of("stripe", "ch_1").await;
    assert_eq!(held.state, "held", "{held:?}");
}

#[tokio::test]
async fn the_changes_are_those_of_the_books() {
    let bench = Bench::new();
    let taken = import(&bench, &everything()).await;
    let mut gross = 0;
    let mut payments = 0;
    for (_, sums) in taken.changes.iter() {
        gross += sums.gross - sums.reversed;
        payments += sums.payments;
    }
    let page = bench.ledger.payments(Filter::default(), 1_000).await;
    let items = page.unwrap().items;
    assert_eq!(gross, items.iter().filter_map(|it| it.net).sum::<i64>());
    // What waits under a reference is no payment of its own.
    let own = items.iter().filter(|it| !it.payment_id.contains(':'));
    assert_eq!(payments, i64::try_from(own.count()).unwrap());
    // A refund that comes later moves the sum, and nothing else.
    let taken = import(&bench, &[refund("ch_linked", "re_late", 60, 20)]).await;
    let changes: Vec<_> = taken.changes.iter().map(|it| it.1.reversed).collect();
    assert_eq!(changes, [60]);
}

/// Imports the bytes of a file.
async fn import_file(bench: &Bench, bytes: Vec<u8>) -> Came {
    let options = Options {
        source: "stripe".to_owned(),
        provider: "stripe",
        ..Options::default()
    };
    let from = RowsFrom::clone(&from(bench, false));
    let file = std::io::Cursor::new(bytes);
    let stop = Arc::default();
    run(&bench.ledger, file, (options, from), stop, &mut Unwatched)
        .await
        .unwrap()
}

struct Unwatched;

impl Watch for Unwatched {
    fn row(&mut self, _: &RowTold) -> Result<(), String> {
        Ok(())
    }
    fn came(&mut self, _: &Came) {}
}

/// What every payment's facts add up to.
async fn positions(bench: &Bench) -> BTreeMap<String, Position> {
    let page = bench.ledger.payments(Filter::default(), 1_000).await;
    let mut found = BTreeMap::new();
    for item in page.unwrap().items {
        let story = bench.ledger.story("stripe", &item.payment_id).await;
        found.insert(item.payment_id, position(&story.unwrap().facts));
    }
    found
}

#[tokio::test]
async fn an_export_imports_back_to_the_same_books() {
    let mut bench = Bench::new();
    for reading in everything() {
        bench.deliver(reading).await;
    }
    // What only webhooks or people say, tests, and cells that a spreadsheet would
    // calculate or that need quotes.
    let mut test = charge("ch_test", 500, Some("cus_A"));
    test.scope.live = Some(false);
    bench.deliver(test).await;
    let mut connected = charge("ch_connected", 500, Some("cus_A"));
    connected.scope.account = "acct_1".to_owned();
    bench.deliver(connected).await;
    let mut odd = charge("=ch,\"1\"", 500, None);
    odd.movements[0].fact.product_key = Some("@pro,\"duct\"".to_owned());
    odd.movements[0].fact.at = START.plus(7);
    odd.clues.push(Clue {
        payment_id: "=ch,\"1\"".to_owned(),
        field: "metadata.Order No".to_owned(),
        value: "-1".to_owned(),
        version: 3,
    });
    odd.clues.push(Clue {
        payment_id: "=ch,\"1\"".to_owned(),
        field: "metadata.customer_key".to_owned(),
        value: "+acme".to_owned(),
        version: 3,
    });
    for invoice in ["in_1", "in_2", "in_3"] {
        odd.aliases.push(Alias {
            money: false,
            ..alias("=ch,\"1\"", "invoice", invoice)
        });
    }
    bench.deliver(odd).await;
    let failed = fact(Class::Capture, "ch_failed", rank::FAILED, 10, 0);
    let mut reading = charge("ch_failed", 10, None);
    reading.movements[0].fact = failed;
    bench.deliver(reading).await;
    let announced = fact(Class::Refund, "re_soon", rank::ANNOUNCED, 10, 4);
    let mut reading = refund("ch_sold", "re_soon", 10, 4);
    reading.movements[0].fact = announced;
    bench.deliver(reading).await;
    bench
        .deliver(dispute_of("ch_sum", Class::DisputeTaken, "dp_2", 1, 0))
        .await;

    let mut bytes = Vec::new();
    let filter = Filter {
        source: Some("stripe".to_owned()),
        ..Filter::default()
    };
    let exports = export(&bench.ledger, filter.clone(), &mut bytes).await;
    let exports = exports.unwrap();
    assert_eq!(exports.left_out, 0);
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.contains("'+acme") && text.contains("'=ch"), "{text}");

    let other = Bench::new();
    let came = import_file(&other, bytes.clone()).await;
    assert_eq!((came.rejected, came.rows), (0, exports.rows), "{came:?}");
    assert_eq!(positions(&other).await, positions(&bench).await);
    let (back, was) = (books(&other).await, books(&bench).await);
    for (id, line) in &was {
        // The export names the customer, so the link is not asked for again.
        assert_eq!(back[id], *line, "{id}");
    }
    assert_eq!(back.len(), was.len());
    // And once more: nothing is new there.
    let again = import_file(&other, bytes.clone()).await;
    assert_eq!((again.known, again.imported), (exports.rows, 0));
    // The copy's own export says the same.
    let mut twice = Vec::new();
    export(&other.ledger, filter, &mut twice).await.unwrap();
    let sorted = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&twice), sorted(&bytes));
}
