//! How fast the ledger takes deliveries in and answers reports: figures for people
//! to compare, on one machine and at one time. Nothing is asserted about speed.

use tributary::day::{Day, Zone};
use tributary::ledger::{Ledger, Opening};
use tributary::movement::Reading;
use tributary::report::{Basis, By, Question};
use tributary::time::{Clock, MINUTE_MS};

use crate::bench::*;

/// Charges of the measure; every third is refunded in part, every fifth told twice.
const CHARGES: usize = 20_000;
/// Customers that they are of.
const CUSTOMERS: usize = 2_000;
/// Deliveries that wait for one commit together.
const TOGETHER: usize = 64;

fn told() -> Vec<Reading> {
    let dated = |mut reading: Reading, number: usize| {
        for movement in &mut reading.movements {
            let minutes = i64::try_from(number).unwrap() * 2;
            movement.fact.at = START.plus(minutes * MINUTE_MS);
        }
        reading
    };
    let mut told = Vec::new();
    for number in 0..CUSTOMERS {
        let (id, key) = (format!("cus_{number}"), format!("customer-{number}"));
        told.push(customer(&id, &key, 1));
    }
    for number in 0..CHARGES {
        let id = format!("ch_{number}");
        let customer = format!("cus_{}", number % CUSTOMERS);
        told.push(dated(charge(&id, 4999, Some(&customer)), number));
        if number % 5 == 0 {
            told.push(dated(charge(&id, 4999, Some(&customer)), number));
        }
        if number % 3 == 0 {
            told.push(dated(refund(&id, &format!("re_{number}"), 500, 5), number));
        }
    }
    told
}

fn now_ms() -> i64 {
    Clock::Machine.read().boot_ms
}

/// Milliseconds since then.
fn since(begun: i64) -> i64 {
    now_ms() - begun
}

/// `cargo test --release --test it -- --ignored --nocapture intake`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measure, for a release build on a quiet machine"]
async fn intake_is_measured() {
    let mut bench = Bench::in_memory(vec![terms("stripe")]);
    let deliveries: Vec<_> = told()
        .into_iter()
        .map(|it| bench.delivery("stripe", it))
        .collect();
    let count = deliveries.len();
    let begun = now_ms();
    let mut deliveries = deliveries.into_iter();
    loop {
        let wave: Vec<_> = deliveries.by_ref().take(TOGETHER).collect();
        if wave.is_empty() {
            break;
        }
        let waiting: Vec<_> = wave
            .into_iter()
            .map(|delivery| {
                let ledger = bench.ledger.clone();
                tokio::spawn(async move { ledger.record(delivery).await.unwrap() })
            })
            .collect();
        for one in waiting {
            one.await.unwrap();
        }
    }
    let each = since(begun) * 1_000 / i64::try_from(count).unwrap();
    println!("{count} deliveries, {each} µs each");
}

/// A year of payments: every fiftieth of nobody's customer, every tenth refunded
/// in part a week later, and a customer pays about once a month.
const MADE_UP: &str = "
    CREATE TEMP TABLE numbers AS
        WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 1000000)
        SELECT n, 1767225600000 + n * 31500 AS at, (SELECT source FROM sources WHERE name = 'stripe') AS source
        FROM up;
    INSERT INTO payments (payment, source, payment_id, scope, live, destination, customer,
        customer_by, currency, gross, reversed, forwarded, occurred_at, first_seen, changed_at,
        state, reason)
    SELECT n, source, 'ch_' || n, 'live', 1, 'ps',
        CASE WHEN n % 50 = 0 THEN NULL ELSE 'customer-' || (n * 7919 % 80000) END,
        CASE WHEN n % 50 = 0 THEN NULL ELSE 'key' END,
        CASE WHEN n % 3 = 0 THEN 'EUR' ELSE 'USD' END, 4999,
        CASE WHEN n % 10 = 0 THEN 500 ELSE 0 END, 0, at, at, at, 'ignored', 'made up'
    FROM numbers;
    INSERT INTO facts (payment, said_by, said_at, class, fact_id, basis, rank, version, authority,
        amount, currency, at)
    SELECT n, 'nobody', at, 'capture', 'ch_' || n, 'each', 2, 0, 'webhook', 4999,
        CASE WHEN n % 3 = 0 THEN 'EUR' ELSE 'USD' END, at FROM numbers;
    INSERT INTO facts (payment, said_by, said_at, class, fact_id, basis, rank, version, authority,
        amount, currency, at)
    SELECT n, 'nobody', at, 'refund', 're_' || n, 'each', 1, 1, 'webhook', 500,
        CASE WHEN n % 3 = 0 THEN 'EUR' ELSE 'USD' END, at + 7 * 86400000
    FROM numbers WHERE n % 10 = 0;
    INSERT INTO aliases (provider, scope, kind, id, payment, money)
    SELECT 'stripe', 'live', 'charge', 'ch_' || n, n, 1 FROM numbers;
    DELETE FROM meta WHERE name = 'days_filled';
";

/// `cargo test --release --test it -- --ignored --nocapture reports_are_measured`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measure, for a release build on a quiet machine"]
async fn reports_are_measured() {
    // The year is made up by statements of SQLite.
    let bench = Bench::on_file(vec![terms("stripe")]);
    bench.ledger.close().await;
    let file = bench.dir.path().join("ledger.db");
    let conn = rusqlite::Connection::open(&file).unwrap();
    conn.execute_batch(&format!("BEGIN; {MADE_UP} COMMIT;"))
        .unwrap();
    drop(conn);
    let size = || std::fs::metadata(&file).unwrap().len() >> 20;
    let before = size();
    let open = || {
        Ledger::open(Opening {
            url: format!("sqlite:{}", file.display()),
            terms: bench.terms.clone(),
            clock: bench.clock.clone(),
            report_zone: Zone::utc(),
            serve: false,
        })
    };
    let begun = now_ms();
    let ledger = open().unwrap();
    let filled = since(begun);
    println!("filled in {filled} ms: {before} MiB, then {} MiB", size());
    let month = (Day::parse("2026-06-01"), Day::parse("2026-06-30"));
    for (from, to) in [(None, None), month] {
        for by in [By::Partner, By::Customer, By::Source, By::Day, By::Month] {
            for zone in [None, Some(Zone::parse("Asia/Tokyo").unwrap())] {
                if zone.is_some() && by != By::Day {
                    continue;
                }
                let question = Question {
                    by,
                    from,
                    to,
                    zone,
                    basis: Basis::Own,
                };
                // The first one warms the cache.
                let mut took = Vec::new();
                let mut lines = 0;
                for _ in 0..3 {
                    let begun = now_ms();
                    let report = ledger.report(question.clone()).await.unwrap();
                    took.push(since(begun));
                    lines = report.items.len();
                }
                println!("{question:?}: {lines} lines in {took:?} ms");
            }
        }
    }
    for _ in 0..3 {
        let begun = now_ms();
        ledger.overview().await.unwrap();
        println!("overview in {} ms", since(begun));
    }
}
