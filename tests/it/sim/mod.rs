//! A simulation: the real ledger, position and plan under a destination that
//! loses answers, lands calls late, lists late or nothing, with virtual time and
//! crashes between any two steps.
//!
//! Each seed makes payments with a known truth, tells of them in any order and
//! more than once, and at the end the destination must hold exactly what the
//! truth says, each key on one row, and its list must agree with the ledger. A
//! failing seed prints its trace; run it again with `TRIBUTARY_SIM_SEED`. In a
//! database the ledger is never lost with its machine: it has no copies there.

mod asked;
mod calls;
mod far;
mod loss;
mod people;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tributary::movement::Reading;
use tributary::plan::Policy;
use tributary::time::{MINUTE_MS, SECOND_MS};

use crate::bench::*;
use crate::tale::{Answers, Truth, history, thinned};
use calls::{Flying, Way, named};
use far::Far;

/// Seeds in CI: some 35 ms of a processor each, measured on a busy machine, so a little
/// over three minutes on two; `TRIBUTARY_SIM_SEEDS` asks for more or fewer.
const SEEDS: u64 = 10_000;

/// The same in a database, where each statement is a round trip: some 0.9 s of a processor
/// each, measured beside others, and the server's own work.
const SEEDS_IN_DATABASE: u64 = 100;

/// Seeds of the [`World::Narrow`] in CI, on a file and in a database, where no ledger is
/// lost.
const NARROW_SEEDS: u64 = 3_000;
const NARROW_SEEDS_IN_DATABASE: u64 = 30;

/// Random steps of one seed before the world is healed.
const STEPS: usize = 48;

/// Payments of one seed: many short plays meet more than few long ones.
const PAYMENTS_MOST: usize = 4;

/// Things told at one moment.
const TOLD_TOGETHER_MOST: usize = 6;

/// Two sources of one provider: some money is told of by both.
const SOURCES: [&str; 2] = ["stripe", "stripe-eu"];

/// Plays at once for each processor: while the ledger's thread of one writes,
/// that of another one plays on.
const PLAYS_PER_PROCESSOR: usize = 2;

/// In how many plays one opens the ledger after each crash, which takes longer than
/// all the rest; in the others somebody goes on who has it open.
const OPENS_ONE_IN: u64 = 8;

struct Sim {
    bench: Bench,
    far: Far,
    flying: Vec<Flying>,
    /// What is still to be told, and to which source.
    events: Vec<(&'static str, Reading)>,
    truths: Vec<Truth>,
    answers: Answers,
    policy: Policy,
    /// What a person skipped and has not released yet.
    skipped: BTreeSet<String>,
    /// Whether the ledger may be lost in this play, and whether it was.
    lossy: bool,
    lost: bool,
    /// Whether a crash is followed by a process that opens the ledger, or by one
    /// that had it open.
    opens: bool,
    copy: Option<loss::Copy>,
    /// What must never happen and did.
    wrong: Option<String>,
    trace: Vec<String>,
    rng: StdRng,
}

/// Where one processor plays: a bench for each policy, emptied between seeds.
#[derive(Default)]
struct Stage(BTreeMap<&'static str, Bench>);

#[expect(
    clippy::disallowed_methods,
    reason = "a person asks for more seeds by the environment"
)]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// What plays are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum World {
    /// A little of everything.
    Wide,
    /// Nineteen of twenty ledgers may be lost, not one of four, and three of five payments
    /// are told of by both sources, not one: what the hardest mistakes were made of.
    Narrow,
}

#[test]
fn any_order_any_fault_any_crash_ends_at_the_truth() {
    play_all(World::Wide, rounds(SEEDS, SEEDS_IN_DATABASE));
}

#[test]
fn whatever_is_lost_or_told_of_twice_ends_at_the_truth() {
    play_all(
        World::Narrow,
        rounds(NARROW_SEEDS, NARROW_SEEDS_IN_DATABASE),
    );
}

/// Seeds are split over the processors; the first that fails ends the run.
fn play_all(world: World, usual: u64) {
    let seeds = match number("TRIBUTARY_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("TRIBUTARY_SIM_FIRST").unwrap_or(0);
            first..first + number("TRIBUTARY_SIM_SEEDS").unwrap_or(usual)
        }
    };
    let next = AtomicU64::new(seeds.start);
    let failed: Mutex<Vec<(u64, String)>> = Mutex::default();
    let play = || {
        // Neither sockets nor timers: a ledger's thread wakes it all the sooner.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        if on_postgres() {
            // Who leaves a server waits for it, and not for long.
            runtime.enable_time();
        }
        let runtime = runtime.build().unwrap();
        let mut stage = Stage::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) || !failed.lock().unwrap().is_empty() {
                return;
            }
            let mut sim = Sim::new(seed, world, &mut stage);
            let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(sim.play())));
            let why = match ended {
                Ok(Ok(())) => {
                    stage.0.insert(word(sim.policy), sim.bench);
                    continue;
                }
                Ok(Err(why)) => why,
                Err(_) => "the test or the ledger panicked, as written above".to_owned(),
            };
            let told = format!("seed {seed}: {why}\n{}", sim.trace.join("\n"));
            failed.lock().unwrap().push((seed, told));
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..PLAYS_PER_PROCESSOR * processors {
            scope.spawn(play);
        }
    });
    let failed = failed.into_inner().unwrap();
    if let Some((_, told)) = failed.into_iter().min() {
        panic!("{told}");
    }
}

fn word(policy: Policy) -> &'static str {
    match policy {
        Policy::Negative => "negative",
        Policy::Replace => "replace",
        Policy::Delete => "delete",
        Policy::Hold => "hold",
    }
}

impl Stage {
    /// A bench without a trace of the play before.
    fn bench(&mut self, policy: Policy) -> Bench {
        if let Some(mut bench) = self.0.remove(word(policy)) {
            bench.empty();
            return bench;
        }
        let sources = SOURCES.map(|name| {
            let mut source = terms(name);
            source.terms.policy = policy;
            source.asks = ["payment", "refund", "refunds", "customer"]
                .map(str::to_owned)
                .to_vec();
            source
        });
        Bench::in_memory(sources.to_vec())
    }
}

impl Sim {
    fn new(seed: u64, world: World, stage: &mut Stage) -> Sim {
        let mut rng = StdRng::seed_from_u64(seed);
        let policies = [Policy::Negative, Policy::Replace, Policy::Delete];
        let policy = policies[rng.random_range(0..policies.len())];
        let mut answers = Answers::new();
        let known = customer("cus_A", "acme", 1);
        answers.insert(("customer".to_owned(), "cus_A".to_owned()), known.clone());
        let mut events = Vec::new();
        for source in SOURCES {
            // The customer may be from before our time.
            if rng.random_ratio(3, 4) {
                events.push((source, known.clone()));
            }
        }
        let mut truths = Vec::new();
        for number in 0..rng.random_range(1..PAYMENTS_MOST + 1) {
            let (mut truth, told, untold) = history(&format!("ch_{number}"), &mut rng);
            truth.twin |= world == World::Narrow && rng.random_ratio(1, 2);
            for told in untold {
                thinned(told, &mut answers, &mut rng);
            }
            for source in &SOURCES[..1 + usize::from(truth.twin)] {
                for told in &told {
                    events.push((*source, thinned(told.clone(), &mut answers, &mut rng)));
                }
            }
            truths.push(truth);
        }
        let again: Vec<_> = events
            .iter()
            .filter(|_| rng.random_ratio(1, 3))
            .cloned()
            .collect();
        events.extend(again);
        events.shuffle(&mut rng);
        let far = Far::new(&mut rng);
        let lossy = rng.random_ratio(1, 4) || world == World::Narrow && rng.random_ratio(14, 15);
        Sim {
            bench: stage.bench(policy),
            flying: Vec::new(),
            events,
            truths,
            answers,
            policy,
            skipped: BTreeSet::new(),
            // Copies are made of files only.
            lossy: lossy && !on_postgres(),
            lost: false,
            opens: seed.is_multiple_of(OPENS_ONE_IN),
            copy: None,
            wrong: None,
            trace: vec![format!("policy {policy:?}, {}", far.told())],
            far,
            rng,
        }
    }

    async fn play(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            self.step().await;
        }
        self.heal().await;
        self.verdict().await?;
        crate::days::agree_briefly(&self.bench.ledger, "the roll-ups").await;
        Ok(())
    }

    fn note(&mut self, what: String) {
        let at = self.bench.clock.now().since(START);
        self.trace.push(format!("{at:>9} ms  {what}"));
    }

    /// Remembers the first thing that must never happen.
    fn wrong(&mut self, what: String) {
        self.note(format!("WRONG: {what}"));
        self.wrong.get_or_insert(what);
    }

    async fn step(&mut self) {
        let pause = [0, 10, SECOND_MS, 30 * SECOND_MS, 20 * MINUTE_MS];
        let pause = pause[self.rng.random_range(0..pause.len())];
        self.pass(pause);
        self.copy_or_lose().await;
        match self.rng.random_range(0..50) {
            0..15 => self.tell().await,
            15..26 => self.call().await,
            26..33 => self.answer().await,
            33..36 => self.read_back(true).await,
            36..39 => self.read_back(false).await,
            39..44 => self.ask().await,
            44..47 => self.decide().await,
            47 => self.meddle(),
            48 => self.deny(),
            _ => self.crash().await,
        }
    }

    /// Time passes, and what is due to land lands.
    fn pass(&mut self, ms: i64) {
        self.bench.clock.advance(ms);
        let now = self.bench.clock.now();
        for flying in &mut self.flying {
            if let Way::At(at) = flying.way
                && at <= now
            {
                flying.way = Way::Landed;
                flying.said = self.far.land(&flying.begun.call, at, &mut self.rng);
                let (call, said) = (named(&flying.begun), flying.said.name());
                self.trace
                    .push(format!("              landed ({said}): {call}"));
            }
        }
        // Not even for a moment.
        if let Some(wrong) = self.far.wrong.take() {
            self.wrong(wrong);
        }
        self.flying
            .retain(|flying| matches!(flying.way, Way::At(_)) || !flying.answered);
    }

    /// One thing is told, or several at one moment, which share a commit.
    async fn tell(&mut self) {
        let together = match self.rng.random_ratio(1, 3) {
            true => self.rng.random_range(2..TOLD_TOGETHER_MOST + 1),
            false => 1,
        };
        let mut told = Vec::new();
        for _ in 0..together {
            let Some((source, event)) = self.events.pop() else {
                break;
            };
            self.note(format!(
                "told {source}: {} {:?}",
                event.event,
                event
                    .movements
                    .first()
                    .map(|it| (it.fact.class, &it.fact.id, it.fact.amount))
            ));
            self.told_since_the_copy(source, &event);
            told.push((source, event));
        }
        self.bench.deliver_together(told).await;
    }

    /// Everything in memory is forgotten; calls on their way still land.
    async fn crash(&mut self) {
        self.note("crash".to_owned());
        self.flying
            .iter_mut()
            .for_each(|flying| flying.answered = true);
        match self.opens {
            true => self.bench.restart().await,
            false => self.bench.hand_over(),
        }
        self.pass(0);
    }
}
