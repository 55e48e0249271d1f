//! A destination that is away for three days with a backlog: nothing fails by
//! age, nothing is posted to find out whether it is back, and what goes first
//! when it is.
//!
//! `TRIBUTARY_OUTAGE_PAYMENTS` asks for more payments, such as 1000000; then the
//! figures that are printed are worth reading. No assertion is about time spent.

use std::time::Duration;

use tributary::destination::{Breaker, Gate, Outcome};
use tributary::ledger::book::State;
use tributary::ledger::{Ask, Begun, Filter, Outgoing, ReadBack};
use tributary::serve::Service;
use tributary::time::{Clock, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

use crate::bench::{self, Bench, There};
use crate::world::{World, charge, customer};

/// Payments in CI.
const PAYMENTS: u64 = 1_500;
const PAYMENTS_ON_SERVER: u64 = 450;
const PAYMENTS_VARIABLE: &str = "TRIBUTARY_OUTAGE_PAYMENTS";

/// Deliveries handed in at once, so that they share commits.
const AT_ONCE: u64 = 1_000;

/// Every tenth payment is put into the lane of the backfill.
const BACKFILL: i64 = 10;

/// Every fifteenth payment is of a customer whom the destination does not know.
const UNKNOWN: u64 = 15;

/// Payments carried out after the outage; with a million the rest is more of the same.
const CARRIED_OUT_MOST: usize = 2_000;

/// Calls that a crash cuts off, more than one sweep takes.
const CUT_OFF: usize = 300;

/// As many read-backs as one sweep takes.
const SWEEP: usize = 250;

#[expect(
    clippy::disallowed_methods,
    reason = "a person asks for more payments by the environment"
)]
fn payments() -> u64 {
    let asked = std::env::var(PAYMENTS_VARIABLE).ok();
    let usual = bench::rounds(PAYMENTS, PAYMENTS_ON_SERVER);
    asked.and_then(|it| it.parse().ok()).unwrap_or(usual)
}

/// Says how long a part took, for who runs it by hand.
fn told(what: &str, many: u64, since_ms: i64) -> i64 {
    let now = Clock::Machine.read().boot_ms;
    println!("{what}: {many} in {} ms", now - since_ms);
    now
}

async fn fill(bench: &mut Bench, many: u64) {
    for (id, key) in [("cus_A", "acme"), ("cus_U", "nobody")] {
        bench.deliver(bench::customer(id, key, 1)).await;
    }
    let mut next = 0;
    while next < many {
        let sales = (next..many.min(next + AT_ONCE)).map(|n| {
            let whose = if n % UNKNOWN == 7 { "cus_U" } else { "cus_A" };
            bench::charge(&format!("ch_{n}"), 1_000, Some(whose))
        });
        bench.deliver_all(sales.collect()).await;
        next += AT_ONCE;
    }
    // Nothing fills the lane of the backfill yet.
    bench.change(&format!(
        "UPDATE payments SET lane = 1 WHERE payment % {BACKFILL} = 0"
    ));
}

/// Calls and probes made while the destination is away.
async fn stay_away(bench: &Bench) -> (u64, u64) {
    let unknown = Outcome::Unknown { why: "a test" };
    let (mut breaker, mut posts, mut probes) = (Breaker::new(), 0, 0);
    let until = bench.clock.now().plus(3 * DAY_MS);
    while bench.clock.now() < until {
        let now = bench.clock.now();
        match breaker.gate(now) {
            Gate::Pass => {
                bench.call(unknown.clone()).await;
                posts += 1;
                breaker.observe(&unknown, now);
            }
            Gate::Probe => {
                probes += 1;
                breaker.observe(&unknown, now);
            }
            Gate::Wait(at) => bench.clock.advance(at.since(now)),
        }
    }
    (posts, probes)
}

/// Reads back all that is due; answers how many each sweep took.
async fn sweep(bench: &Bench, reached: bool) -> Vec<usize> {
    let mut sweeps = Vec::new();
    loop {
        let unknowns = bench.ledger.unknowns("ps", SWEEP).await.unwrap();
        if unknowns.is_empty() {
            return sweeps;
        }
        sweeps.push(unknowns.len());
        let seen = unknowns.iter().map(|unknown| {
            let read = ReadBack {
                begun_at: bench.clock.now(),
                found: reached.then(Vec::new),
                reached: true,
            };
            (unknown.claim, read)
        });
        bench.ledger.settle_read_back(seen.collect()).await.unwrap();
    }
}

fn is_of_nobody(begun: &Begun) -> bool {
    matches!(&begun.call, Outgoing::Post(new) if new.customer.value == "nobody")
}

async fn count(bench: &Bench, state: State) -> usize {
    let filter = Filter {
        state: Some(state),
        ..Filter::default()
    };
    bench.ledger.payments(filter, 10).await.unwrap().items.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_days_without_the_destination_fail_nothing_and_cost_five_posts() {
    let many = payments();
    let mut bench = Bench::new();
    let began = Clock::Machine.read().boot_ms;
    fill(&mut bench, many).await;
    let began = told("recorded", many, began);

    let (posts, probes) = stay_away(&bench).await;
    assert_eq!(posts, 5, "the breaker opens after five");
    assert!(
        (864..880).contains(&probes),
        "{probes} probes in three days"
    );
    let began = told("away, probes", probes, began);

    // A crash in the middle of many calls, as the destination comes back.
    for _ in 0..CUT_OFF {
        assert!(bench.begin().await.is_some());
    }
    bench.restart().await;
    bench.outwait_claims();
    assert_eq!(sweep(&bench, false).await, [SWEEP, CUT_OFF + 5 - SWEEP]);
    bench.clock.advance(HOUR_MS);
    assert_eq!(sweep(&bench, true).await, [SWEEP, CUT_OFF + 5 - SWEEP]);
    assert_eq!(count(&bench, State::Failed).await, 0);
    let began = told("cut off and read back", 305, began);

    let mut there = There::default();
    let (mut calls, mut asked, mut backfill) = (0_usize, 0, Vec::new());
    let most = CARRIED_OUT_MOST.min(usize::try_from(many).unwrap());
    let mut idle = 0;
    while calls < most && idle < 3 {
        let ask = Ask::one(u64::try_from(calls + 1).unwrap());
        let Some(begun) = bench.ledger.begin("ps", ask).await.unwrap().begun.pop() else {
            idle += 1;
            continue;
        };
        idle = 0;
        backfill.push(begun.claim.payment % BACKFILL == 0);
        let outcome = match is_of_nobody(&begun) {
            true => Outcome::CustomerUnknown,
            false => {
                there.carry_out(&begun.call);
                Outcome::Accepted
            }
        };
        asked += u32::from(outcome == Outcome::CustomerUnknown);
        bench.ledger.settle(begun.claim, outcome, 0).await.unwrap();
        calls += 1;
    }
    told("carried out", calls.try_into().unwrap(), began);
    assert_eq!(asked, 1, "one call for all payments of an unknown customer");
    // While both lanes have some.
    let both = most.min(1_500) / 3;
    let lanes = backfill.iter().take(both).filter(|it| **it).count();
    assert_eq!(lanes, both / 5, "four of live money, one of the backfill");
    assert_eq!(count(&bench, State::Failed).await, 0);
    assert!(there.rows.values().all(|rows| rows.len() == 1));
    if most < CARRIED_OUT_MOST {
        assert_eq!(count(&bench, State::Due).await, 0, "nothing is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forwarder_asks_by_get_for_three_days_and_then_goes_on() {
    // Its three days are a held clock's, and a server's rate goes by the server's own.
    let mut world = World::on_file().await;
    world.service.take().unwrap().stop().await;
    let clock = Clock::held(Clock::Machine.now());
    let service = Service::start(world.config(), clock.clone(), None).await;
    world.service = Some(service.unwrap());
    world
        .sandbox
        .set_faults(vec!["500-before=100%".parse().unwrap()]);
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    for n in 0..30 {
        let sale = charge(&format!("ch_{n}"), 1_000 + n, Some("cus_A"));
        assert_eq!(world.stripe("charge.succeeded", sale).await.0, 200);
    }
    let posts = |world: &World| {
        let calls = world.sandbox.requests();
        calls.iter().filter(|call| call.method != "GET").count()
    };
    let total = |world: &World| world.sandbox.requests().len();
    // The circuit opens; a minute later the first probe is made.
    while posts(&world) < 5 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = posts(&world);
    assert!(before <= 10, "{before} posts into an outage");
    for _ in 0..12 {
        let known = total(&world);
        clock.advance(DAY_MS / 4);
        for _ in 0..500 {
            if total(&world) > known {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(
            total(&world) > known,
            "it asks whether the destination is back"
        );
    }
    assert_eq!(posts(&world), before, "never by a post");
    world.sandbox.set_faults(Vec::new());
    clock.advance(HOUR_MS);
    for n in 0..30 {
        let id = format!("ch_{n}");
        while world.payment(&id).await.state != "settled" {
            clock.advance(10 * SECOND_MS);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(world.held(&id), 1_000 + n);
    }
    clock.advance(MINUTE_MS);
    world.strike().await;
}
