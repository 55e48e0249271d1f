//! A simulation: the real ledger, position and plan under a destination that
//! loses answers, lands calls late and lists nothing, with virtual time and
//! crashes between any two steps.
//!
//! Each seed makes payments with a known truth, tells of them in any order and
//! more than once, and at the end the destination must hold exactly what the
//! truth says, each key on one row. A failing seed prints its trace; run it
//! again with `TRIBUTARY_SIM_SEED`.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tributary::destination::Outcome;
use tributary::ledger::{Answer, Asking, Begun, Decision, Delivery, Filter, Outgoing, ReadBack};
use tributary::movement::{Authority, Reading};
use tributary::plan::Policy;
use tributary::provider::Kept;
use tributary::time::{MINUTE_MS, SECOND_MS, Time};

use crate::bench::*;
use crate::tale::{Answers, Truth, history, thinned};

/// Seeds in CI: a quarter of a second of a processor each, so about a minute and
/// a quarter on two; `TRIBUTARY_SIM_SEEDS` asks for more.
const SEEDS: u64 = 600;

/// Random steps of one seed before the world is healed.
const STEPS: usize = 120;

/// Quiet rounds after healing, each longer than the one before, because what
/// waits does: together about six days, and a customer is asked for daily.
const HEALING_ROUNDS: i64 = 130;

/// Two sources of one provider: some money is told of by both.
const SOURCES: [&str; 2] = ["stripe", "stripe-eu"];

/// More calls than any history needs: a plan that does not end is a failure.
const HEALING_CALLS_MOST: usize = 300;

/// How late a call may land after its deadline: less than the time for which
/// "not found" is not believed.
const LANDS_WITHIN_MS: i64 = 600 * SECOND_MS;

/// Where a call is on its way.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Never,
    At(Time),
    Landed,
}

/// A call under way or on its way.
struct Flying {
    begun: Begun,
    way: Way,
    answered: bool,
    /// The destination did not know the customer when it was called.
    stranger: bool,
}

struct Sim {
    bench: Bench,
    there: There,
    flying: Vec<Flying>,
    /// What is still to be told, and to which source.
    events: Vec<(&'static str, Reading)>,
    truths: Vec<Truth>,
    answers: Answers,
    policy: Policy,
    /// False until the destination knows the customer.
    customer_there: bool,
    /// What a person skipped and has not released yet.
    skipped: BTreeSet<String>,
    /// What must never happen and did.
    wrong: Option<String>,
    trace: Vec<String>,
    rng: StdRng,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a person asks for more seeds by the environment"
)]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Seeds are split over the processors; the first that fails ends the run.
#[test]
fn any_order_any_fault_any_crash_ends_at_the_truth() {
    let seeds = match number("TRIBUTARY_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TRIBUTARY_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let next = AtomicU64::new(seeds.start);
    let failed: Mutex<Vec<(u64, String)>> = Mutex::default();
    let play = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) || !failed.lock().unwrap().is_empty() {
                return;
            }
            let mut sim = Sim::new(seed);
            let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(sim.play())));
            let why = match ended {
                Ok(Ok(())) => continue,
                Ok(Err(why)) => why,
                Err(_) => "the test or the ledger panicked, as written above".to_owned(),
            };
            let told = format!("seed {seed}: {why}\n{}", sim.trace.join("\n"));
            failed.lock().unwrap().push((seed, told));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(play);
        }
    });
    let failed = failed.into_inner().unwrap();
    if let Some((_, told)) = failed.into_iter().min() {
        panic!("{told}");
    }
}

impl Sim {
    fn new(seed: u64) -> Sim {
        let mut rng = StdRng::seed_from_u64(seed);
        let policies = [Policy::Negative, Policy::Replace, Policy::Delete];
        let policy = policies[rng.random_range(0..policies.len())];
        let sources = SOURCES.map(|name| {
            let mut source = terms(name);
            source.terms.policy = policy;
            source.asks = ["payment", "refund", "refunds", "customer"]
                .map(str::to_owned)
                .to_vec();
            source
        });
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
        for number in 0..rng.random_range(2..7) {
            let (truth, told, untold) = history(&format!("ch_{number}"), &mut rng);
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
        Sim {
            bench: Bench::in_memory(sources.to_vec()),
            there: There::default(),
            flying: Vec::new(),
            events,
            truths,
            answers,
            policy,
            customer_there: rng.random_ratio(3, 4),
            skipped: BTreeSet::new(),
            wrong: None,
            trace: vec![format!("policy {policy:?}")],
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

    async fn step(&mut self) {
        let pause = [0, 10, SECOND_MS, 30 * SECOND_MS, 20 * MINUTE_MS];
        let pause = pause[self.rng.random_range(0..pause.len())];
        self.pass(pause);
        match self.rng.random_range(0..15) {
            0..4 => self.tell().await,
            4..7 => self.call().await,
            7..9 => self.answer().await,
            9 => self.read_back(true).await,
            10 => self.read_back(false).await,
            11 | 12 => self.ask().await,
            13 => self.decide().await,
            _ => self.crash().await,
        }
    }

    /// Time passes, and what is due to land lands.
    fn pass(&mut self, ms: i64) {
        self.bench.clock.advance(ms);
        let now = self.bench.clock.now();
        for flying in &mut self.flying {
            if matches!(flying.way, Way::At(at) if at <= now) {
                flying.way = Way::Landed;
                self.there.carry_out(&flying.begun.call);
                self.trace
                    .push(format!("              landed: {}", named(&flying.begun)));
            }
        }
        // Not even for a moment.
        let twice = self.there.rows.iter().find(|(_, rows)| rows.len() > 1);
        if let Some((key, rows)) = twice {
            let wrong = format!("{key} stands on {} rows", rows.len());
            self.wrong.get_or_insert(wrong);
        }
        self.flying
            .retain(|flying| matches!(flying.way, Way::At(_)) || !flying.answered);
    }

    async fn tell(&mut self) {
        if let Some((source, event)) = self.events.pop() {
            self.note(format!(
                "told {source}: {} {:?}",
                event.event,
                event
                    .movements
                    .first()
                    .map(|it| (it.fact.class, &it.fact.id, it.fact.amount))
            ));
            self.bench.deliver_to(source, event).await;
        }
    }

    /// Several calls may be under way at once, of different payments.
    async fn call(&mut self) {
        if self.flying.iter().filter(|flying| !flying.answered).count() >= 3 {
            return;
        }
        if let Some(begun) = self.bench.begin().await {
            self.note(format!("call: {}", named(&begun)));
            self.watch(&begun);
            let stranger = !self.customer_there && matches!(begun.call, Outgoing::Post(_));
            let late = self.rng.random_range(0..LANDS_WITHIN_MS);
            let way = match self.rng.random_range(0..4) {
                _ if stranger => Way::Never,
                0 => Way::Never,
                1 => Way::At(begun.deadline.plus(late)),
                _ => Way::At(self.bench.clock.now()),
            };
            self.flying.push(Flying {
                begun,
                way,
                answered: false,
                stranger,
            });
        }
    }

    /// Nothing may be begun for a payment while an earlier call can still land.
    fn watch(&mut self, begun: &Begun) {
        let same = |it: &&Flying| {
            let (ours, theirs) = (begun, &it.begun);
            (&ours.source, &ours.payment_id) == (&theirs.source, &theirs.payment_id)
        };
        let mut open = self.flying.iter().filter(same);
        if let Some(open) = open.find(|it| matches!(it.way, Way::At(_))) {
            let wrong = format!("{} while {} was open", named(begun), named(&open.begun));
            self.wrong.get_or_insert(wrong);
        }
        // A key beside one that never arrived is one that no destination could
        // recognise, should that one arrive after all.
        if let Outgoing::Post(new) = &begun.call
            && let Some(before) = key_before(&new.key)
            && !self.there.rows.contains_key(&before)
        {
            let wrong = format!("{} and {before} was never there", new.key);
            self.wrong.get_or_insert(wrong);
        }
    }

    /// One call under way is answered, truly or not at all.
    async fn answer(&mut self) {
        let open: Vec<usize> = (0..self.flying.len())
            .filter(|at| !self.flying[*at].answered)
            .collect();
        if open.is_empty() {
            return;
        }
        let at = open[self.rng.random_range(0..open.len())];
        let outcome = match self.flying[at].way {
            Way::Never if self.flying[at].stranger && self.rng.random_ratio(3, 4) => {
                Outcome::CustomerUnknown
            }
            // What has not landed and never will was refused to be taken.
            Way::Never => match self.rng.random_range(0..3) {
                0 => Outcome::Later {
                    retry_after: None,
                    status: 429,
                },
                1 => Outcome::NotSent {
                    why: "no connection",
                },
                _ => Outcome::Unknown { why: "no answer" },
            },
            Way::Landed if self.rng.random_ratio(2, 3) => Outcome::Accepted,
            _ => Outcome::Unknown {
                why: "the answer was lost",
            },
        };
        let begun = match self.flying.get_mut(at) {
            Some(flying) => {
                flying.answered = true;
                flying.begun.clone()
            }
            None => return,
        };
        self.note(format!("answer {}: {}", outcome.name(), named(&begun)));
        self.bench
            .ledger
            .settle(begun.claim, outcome, 7)
            .await
            .unwrap();
        self.pass(0);
    }

    /// A sweep sees the list as it is, or could not read it.
    async fn read_back(&mut self, complete: bool) {
        let unknowns = self.bench.ledger.unknowns("ps", 3).await.unwrap();
        let begun_at = self.bench.clock.now();
        let seen = unknowns.iter().map(|unknown| {
            let found = complete.then(|| self.there.seen(&unknown.key));
            let reached = complete;
            (
                unknown.claim,
                ReadBack {
                    begun_at,
                    found,
                    reached,
                },
            )
        });
        let seen: Vec<_> = seen.collect();
        if seen.is_empty() {
            return;
        }
        self.note(format!("read back {} (complete: {complete})", seen.len()));
        self.bench.ledger.settle_read_back(seen).await.unwrap();
    }

    /// The provider is asked: it answers, or not now, or the answer is lost.
    async fn ask(&mut self) {
        let source = SOURCES[self.rng.random_range(0..SOURCES.len())];
        if let Some(asking) = self.bench.ledger.ask(source).await.unwrap() {
            match self.rng.random_range(0..4) {
                0 => self.note(format!("asked in vain: {:?}", asking.asked)),
                1 => {
                    self.note(format!("asked, not now: {:?}", asking.asked));
                    let later = Answer::Later {
                        why: "it answered 500".to_owned(),
                        not_before: None,
                    };
                    self.bench.ledger.answer(asking, later).await.unwrap();
                }
                _ => self.answered(asking).await,
            }
        }
    }

    async fn answered(&mut self, asking: Asking) {
        self.note(format!("answered: {:?}", asking.asked));
        let key = (asking.asked.kind.clone(), asking.asked.id.clone());
        let mut reading = self.answers[&key].clone();
        for movement in &mut reading.movements {
            movement.fact.authority = Authority::Api;
        }
        reading.scope = asking.asked.scope.clone();
        let delivery = Delivery {
            source: asking.source.clone(),
            body: serde_json::to_vec(&reading).unwrap().into(),
            received_at: self.bench.clock.now(),
            secret: 0,
            kept: Kept {
                asked: Some(asking.asked.clone()),
                ..Kept::default()
            },
            reading: Ok(reading),
        };
        let told = Answer::Told(Box::new(delivery));
        self.bench.ledger.answer(asking, told).await.unwrap();
    }

    /// Everything in memory is forgotten; calls on their way still land.
    async fn crash(&mut self) {
        self.note("crash".to_owned());
        self.flying
            .iter_mut()
            .for_each(|flying| flying.answered = true);
        self.bench.restart().await;
        self.pass(0);
    }

    /// A person skips a payment, or takes a skip back; the destination may learn
    /// of the customer.
    async fn decide(&mut self) {
        self.customer_there |= self.rng.random_ratio(1, 3);
        let at = self.rng.random_range(0..self.truths.len());
        let truth = &self.truths[at];
        // Who of two twins goes on is not a person's to say here.
        if truth.twin {
            return;
        }
        let id = truth.id.clone();
        let decision = match (self.skipped.contains(&id), self.policy) {
            (false, _) => Decision::Skip { leave: true },
            (true, Policy::Replace) if self.rng.random_ratio(1, 2) => Decision::Policy {
                policy: Policy::Negative,
            },
            (true, _) => Decision::Accept,
        };
        self.decided(&id, decision).await;
    }

    async fn decided(&mut self, id: &str, decision: Decision) {
        let filter = Filter {
            source: Some("stripe".to_owned()),
            payment_id: Some(id.to_owned()),
            ..Filter::default()
        };
        let (what, word) = (decision.word(), self.bench.word());
        let decided = self.bench.ledger.decide(filter, decision, word, false);
        let (lines, _) = decided.await.unwrap();
        for line in lines.iter().filter(|line| line.refused.is_none()) {
            match what {
                "skip" => self.skipped.insert(id.to_owned()),
                _ => self.skipped.remove(id),
            };
            self.note(format!("{what} {id}: {:?}", line.after));
        }
    }

    /// The destination behaves, everything is told, time passes.
    async fn heal(&mut self) {
        self.note("healing".to_owned());
        self.customer_there = true;
        while !self.events.is_empty() {
            self.tell().await;
        }
        let twins = self.truths.iter().filter(|truth| truth.twin).count();
        let mut left = HEALING_CALLS_MOST;
        for round in 1..=HEALING_ROUNDS {
            self.pass(round * MINUTE_MS);
            self.give_up().await;
            for id in self.skipped.clone() {
                self.decided(&id, Decision::Accept).await;
            }
            self.read_back(true).await;
            for source in SOURCES {
                while left > 0
                    && let Some(asking) = self.bench.ledger.ask(source).await.unwrap()
                {
                    left -= 1;
                    self.answered(asking).await;
                }
            }
            while left > 0
                && let Some(begun) = self.bench.begin().await
            {
                left -= 1;
                self.note(format!("healed call: {}", named(&begun)));
                self.watch(&begun);
                self.there.carry_out(&begun.call);
                self.bench
                    .ledger
                    .settle(begun.claim, Outcome::Accepted, 7)
                    .await
                    .unwrap();
            }
            self.pass(0);
            let states = self.bench.ledger.summary().await.unwrap().states;
            let open = ["due", "waiting", "unattributed"];
            let open = open.iter().any(|it| states.contains_key(*it));
            let held = states.get("held").copied().unwrap_or_default();
            let done = !open && held <= i64::try_from(twins).unwrap();
            if done && self.skipped.is_empty() && self.flying.is_empty() {
                return;
            }
        }
    }

    /// What was under way is not waited for any longer.
    async fn give_up(&mut self) {
        for at in 0..self.flying.len() {
            if !self.flying[at].answered {
                self.flying[at].answered = true;
                let claim = self.flying[at].begun.claim;
                let lost = Outcome::Unknown {
                    why: "the answer was lost",
                };
                self.bench.ledger.settle(claim, lost, 7).await.unwrap();
            }
        }
    }

    async fn verdict(&self) -> Result<(), String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let mut rows = self.there.rows.iter();
        if let Some((key, _)) = rows.find(|(_, rows)| rows.iter().any(|row| row.0 != "acme")) {
            return Err(format!("{key} stands under another customer"));
        }
        for truth in &self.truths {
            let expected = match self.policy {
                Policy::Delete if truth.reversed => 0,
                _ => truth.net,
            };
            let mut told = Vec::new();
            let (mut held, mut forwarded, mut settled) = (0, 0, 0);
            for source in &SOURCES[..1 + usize::from(truth.twin)] {
                let payment = self.bench.payment_of(source, &truth.id).await;
                held += self.there.sum_at(source, &truth.id);
                forwarded += payment.forwarded;
                settled += usize::from(payment.state == "settled");
                told.push((payment.state, payment.forwarded, payment.reason));
            }
            if (held, forwarded, settled) != (expected, expected, 1) {
                return Err(format!(
                    "{}: the truth is {expected}, the destination holds {held}, the ledger says {told:?}",
                    truth.id
                ));
            }
        }
        Ok(())
    }
}

fn named(begun: &Begun) -> String {
    match &begun.call {
        tributary::ledger::Outgoing::Post(new) => format!("post {} {}", new.key, new.amount),
        tributary::ledger::Outgoing::Delete { key } => format!("delete {key}"),
    }
}

/// The key that a payment had before this one.
fn key_before(key: &str) -> Option<String> {
    let mut parts = key.rsplitn(2, ':');
    let (seq, rest) = (parts.next()?.parse::<u32>().ok()?, parts.next()?);
    Some(match seq {
        2 => rest.to_owned(),
        _ => format!("{rest}:{}", seq - 1),
    })
}
