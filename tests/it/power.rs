//! What a power cut can leave of the ledger's log, played on copies: everything
//! up to the last commit that was acknowledged, because that was synced, and
//! behind it a torn tail, nothing, or garbage.
//!
//! It is SQLite's log, whichever store the run is on.
//!
//! It does not prove that a sync reaches the disk: that is between the system
//! and its hardware, and nothing here pulls a plug.

use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tributary::ledger::{Filter, Ledger, Opening};

use crate::bench::{Bench, START, charge, customer, refund, terms};

/// Seeds; each leaves four copies.
const CUTS: u64 = 20;

/// Deliveries before the cut and behind it.
const ACKNOWLEDGED: u64 = 12;
const UNSYNCED: u64 = 6;

fn open(dir: &Path, bench: &Bench) -> Ledger {
    Ledger::open(Opening {
        url: format!("sqlite:{}", dir.join("ledger.db").display()),
        terms: bench.terms.clone(),
        clock: bench.clock.clone(),
        report_zone: tributary::day::Zone::utc(),
        serve: true,
    })
    .unwrap()
}

/// What the disk holds after a cut: the file as it was when the log began, and
/// the log up to `end`, with the rest as `tail`.
fn leave(from: &Path, log: &[u8], tail: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(from, dir.path().join("ledger.db")).unwrap();
    let mut left = log.to_vec();
    left.extend_from_slice(tail);
    std::fs::write(dir.path().join("ledger.db-wal"), left).unwrap();
    dir
}

/// A sale and its refund in turn; both of a payment stand or one does not.
async fn tell(bench: &mut Bench, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let id = format!("ch_{}", n / 2);
        let reading = match n % 2 {
            0 => charge(&id, 5_000, Some("cus_A")),
            _ => refund(&id, &format!("re_{n}"), 1_200, 1),
        };
        bench.deliver(reading).await;
    }
}

/// How many deliveries the nets tell of.
fn facts(nets: &[i64]) -> u64 {
    nets.iter()
        .map(|net| if *net == 3_800 { 2 } else { 1 })
        .sum()
}

/// The nets of all payments, in their order; asserts that each fits its story.
async fn nets(ledger: &Ledger) -> Vec<i64> {
    let page = ledger.payments(Filter::default(), 100).await.unwrap();
    let mut payments = page.items;
    payments.sort_by_key(|it| it.payment_id[3..].parse::<u64>().unwrap());
    let mut nets = Vec::new();
    for payment in payments {
        let story = ledger.story("stripe", &payment.payment_id).await.unwrap();
        let net = payment.net.unwrap();
        let told = if story.facts.len() == 2 { 3_800 } else { 5_000 };
        assert_eq!(net, told, "{} is half applied", payment.payment_id);
        nets.push(net);
    }
    nets
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_loses_nothing_acknowledged_and_applies_nothing_by_half() {
    // The check must be able to fail: tails that lost something, and a cut
    // before the point that was acknowledged.
    let (mut shortened, mut noticed) = (0, 0);
    for seed in 0..CUTS {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut bench = Bench::on_file(vec![terms("stripe")]);
        let file = bench.dir.path().join("ledger.db");
        let log = bench.dir.path().join("ledger.db-wal");
        bench.deliver(customer("cus_A", "acme", 1)).await;
        let acknowledged = rng.random_range(1..=ACKNOWLEDGED);
        tell(&mut bench, 0..acknowledged).await;
        let synced = std::fs::read(&log).unwrap().len();
        tell(&mut bench, acknowledged..acknowledged + UNSYNCED).await;
        let all = std::fs::read(&log).unwrap();
        assert!(synced < all.len(), "the log was not folded meanwhile");

        let (log, rest) = all.split_at(synced);
        let torn = &rest[..rng.random_range(0..=rest.len())];
        let mut garbage = rest.to_vec();
        let from = rng.random_range(0..garbage.len());
        garbage[from..]
            .iter_mut()
            .for_each(|byte| *byte = rng.random());
        // Pages need not reach the disk in their order.
        let mut holes = rest.to_vec();
        for page in holes.chunks_mut(512) {
            if rng.random_ratio(1, 4) {
                page.fill(0);
            }
        }
        for tail in [torn, &garbage, &holes] {
            let left = leave(&file, log, tail);
            let ledger = open(left.path(), &bench);
            let kept = nets(&ledger).await;
            shortened += u32::from(facts(&kept) < acknowledged + UNSYNCED);
            assert!(facts(&kept) >= acknowledged, "seed {seed}: {kept:?}");
            let told = (acknowledged + acknowledged % 2) / 2;
            assert!(kept.len() as u64 >= told, "seed {seed}: {kept:?}");
            // The refunds that were acknowledged are there as well.
            let refunded = usize::try_from(acknowledged / 2).unwrap();
            assert!(
                kept[..refunded].iter().all(|net| *net == 3_800),
                "seed {seed}: {kept:?}"
            );
            assert!(bench.clock.now() == START, "nothing waited for the clock");
            ledger.close().await;
            let conn = rusqlite::Connection::open(left.path().join("ledger.db")).unwrap();
            let sound: String = conn
                .query_row("PRAGMA integrity_check", [], |row| row.get(0))
                .unwrap();
            assert_eq!(sound, "ok", "seed {seed}");
        }
        let early = leave(&file, &log[..log.len() - 1], &[]);
        let ledger = open(early.path(), &bench);
        noticed += u64::from(facts(&nets(&ledger).await) < acknowledged);
        ledger.close().await;
    }
    assert!(shortened > 0, "no tail lost anything");
    assert_eq!(noticed, CUTS, "one byte less than was synced is seen");
}
