//! A simulation: the real ledger, position and plan under a destination that
//! loses answers, lands calls late and lists nothing, with virtual time and
//! crashes between any two steps.
//!
//! Each seed makes payments with a known truth, tells of them in any order and
//! more than once, and at the end the destination must hold exactly what the
//! truth says, each key on one row. A failing seed prints its trace; run it
//! again with `TRIBUTARY_SIM_SEED`.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tributary::destination::Outcome;
use tributary::ledger::{Answer, Asking, Begun, Delivery, ReadBack};
use tributary::movement::{Authority, Class, Inquiry, Reading, Subject};
use tributary::plan::Policy;
use tributary::provider::Kept;
use tributary::time::{MINUTE_MS, SECOND_MS, Time};

use crate::bench::*;

/// Seeds in CI; `TRIBUTARY_SIM_SEEDS` asks for more.
const SEEDS: u64 = 150;

/// Random steps of one seed before the world is healed.
const STEPS: usize = 120;

/// Quiet rounds after healing; each is a minute of virtual time.
const HEALING_ROUNDS: usize = 400;

/// More calls than any history needs: a plan that does not end is a failure.
const HEALING_CALLS_MOST: usize = 300;

/// How late a call may land after its deadline: less than the time for which
/// "not found" is not believed.
const LANDS_WITHIN_MS: i64 = 600 * SECOND_MS;

struct Truth {
    id: String,
    net: i64,
    reversed: bool,
}

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
}

struct Sim {
    bench: Bench,
    there: There,
    flying: Vec<Flying>,
    events: Vec<Reading>,
    truths: Vec<Truth>,
    /// What the provider's API answers, by kind and id.
    answers: BTreeMap<(String, String), Reading>,
    policy: Policy,
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

#[tokio::test(flavor = "multi_thread")]
async fn any_order_any_fault_any_crash_ends_at_the_truth() {
    let seeds = match number("TRIBUTARY_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TRIBUTARY_SIM_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let mut sim = Sim::new(seed);
        for _ in 0..STEPS {
            sim.step().await;
        }
        sim.heal().await;
        if let Err(why) = sim.verdict().await {
            panic!("seed {seed}: {why}\n{}", sim.trace.join("\n"));
        }
    }
}

impl Sim {
    fn new(seed: u64) -> Sim {
        let mut rng = StdRng::seed_from_u64(seed);
        let policies = [Policy::Negative, Policy::Replace, Policy::Delete];
        let policy = policies[rng.random_range(0..policies.len())];
        let mut source = terms("stripe");
        source.terms.policy = policy;
        source.asks = ["payment", "refund", "refunds", "customer"]
            .map(str::to_owned)
            .to_vec();
        let mut answers = BTreeMap::new();
        let known = customer("cus_A", "acme", 1);
        answers.insert(("customer".to_owned(), "cus_A".to_owned()), known.clone());
        // The customer may be from before our time.
        let mut events = match rng.random_ratio(3, 4) {
            true => vec![known],
            false => Vec::new(),
        };
        let mut truths = Vec::new();
        for number in 0..rng.random_range(2..7) {
            let (truth, told, untold) = history(&format!("ch_{number}"), &mut rng);
            truths.push(truth);
            for told in untold {
                thinned(told, &mut answers, &mut rng);
            }
            events.extend(
                told.into_iter()
                    .map(|told| thinned(told, &mut answers, &mut rng)),
            );
        }
        let again: Vec<Reading> = events
            .iter()
            .filter(|_| rng.random_ratio(1, 3))
            .cloned()
            .collect();
        events.extend(again);
        events.shuffle(&mut rng);
        Sim {
            bench: Bench::with(vec![source]),
            there: There::default(),
            flying: Vec::new(),
            events,
            truths,
            answers,
            policy,
            trace: vec![format!("policy {policy:?}")],
            rng,
        }
    }

    fn note(&mut self, what: String) {
        let at = self.bench.clock.now().since(START);
        self.trace.push(format!("{at:>9} ms  {what}"));
    }

    async fn step(&mut self) {
        let pause = [0, 10, SECOND_MS, 30 * SECOND_MS, 20 * MINUTE_MS];
        let pause = pause[self.rng.random_range(0..pause.len())];
        self.pass(pause);
        match self.rng.random_range(0..14) {
            0..4 => self.tell().await,
            4..7 => self.call().await,
            7..9 => self.answer().await,
            9 => self.read_back(true).await,
            10 => self.read_back(false).await,
            11 | 12 => self.ask().await,
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
        self.flying
            .retain(|flying| matches!(flying.way, Way::At(_)) || !flying.answered);
    }

    async fn tell(&mut self) {
        if let Some(event) = self.events.pop() {
            self.note(format!(
                "told: {:?}",
                event.movements.first().map(|it| &it.fact.id)
            ));
            self.bench.deliver(event).await;
        }
    }

    /// Several calls may be under way at once, of different payments.
    async fn call(&mut self) {
        if self.flying.iter().filter(|flying| !flying.answered).count() >= 3 {
            return;
        }
        if let Some(begun) = self.bench.begin().await {
            self.note(format!("call: {}", named(&begun)));
            let late = self.rng.random_range(0..LANDS_WITHIN_MS);
            let way = match self.rng.random_range(0..4) {
                0 => Way::Never,
                1 => Way::At(begun.deadline.plus(late)),
                _ => Way::At(self.bench.clock.now()),
            };
            self.flying.push(Flying {
                begun,
                way,
                answered: false,
            });
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
        if !seen.is_empty() {
            self.note(format!("read back {} (complete: {complete})", seen.len()));
        }
        self.bench.ledger.settle_read_back(seen).await.unwrap();
    }

    /// The provider is asked: it answers, or not now, or the answer is lost.
    async fn ask(&mut self) {
        if let Some(asking) = self.bench.ledger.ask("stripe").await.unwrap() {
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
            source: "stripe".to_owned(),
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

    /// The destination behaves, everything is told, time passes.
    async fn heal(&mut self) {
        self.note("healing".to_owned());
        while !self.events.is_empty() {
            self.tell().await;
        }
        let mut calls = 0;
        for _ in 0..HEALING_ROUNDS {
            self.pass(MINUTE_MS);
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
            self.read_back(true).await;
            while let Some(asking) = self.bench.ledger.ask("stripe").await.unwrap() {
                self.answered(asking).await;
            }
            while calls < HEALING_CALLS_MOST
                && let Some(begun) = self.bench.begin().await
            {
                calls += 1;
                self.note(format!("healed call: {}", named(&begun)));
                self.there.carry_out(&begun.call);
                self.bench
                    .ledger
                    .settle(begun.claim, Outcome::Accepted, 7)
                    .await
                    .unwrap();
            }
            let states = self.bench.ledger.summary().await.unwrap().states;
            let open = ["due", "waiting", "unattributed", "held"];
            if !open.iter().any(|it| states.contains_key(*it)) && self.flying.is_empty() {
                return;
            }
        }
    }

    async fn verdict(&self) -> Result<(), String> {
        for (key, rows) in &self.there.rows {
            if rows.len() > 1 {
                return Err(format!("{key} stands on {} rows", rows.len()));
            }
        }
        for truth in &self.truths {
            let expected = match self.policy {
                Policy::Delete if truth.reversed => 0,
                _ => truth.net,
            };
            let payment = self.bench.payment(&truth.id).await;
            let held = self.there.sum_of(&truth.id);
            if (held, payment.forwarded) != (expected, expected) || payment.state != "settled" {
                return Err(format!(
                    "{}: the truth is {expected}, the destination holds {held}, the ledger says {} and {}: {:?}",
                    truth.id, payment.forwarded, payment.state, payment.reason
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

/// Some deliveries only name what they are about; the API says the rest. What it
/// says of refunds is the whole list, whoever asks.
fn thinned(
    told: Reading,
    answers: &mut BTreeMap<(String, String), Reading>,
    rng: &mut StdRng,
) -> Reading {
    let Some(movement) = told.movements.first().cloned() else {
        return told;
    };
    let Subject::Payment(payment) = &movement.about else {
        return told;
    };
    let (kind, id, about) = match movement.fact.class {
        Class::Capture => ("payment", payment.clone(), movement.about.clone()),
        Class::Refund if movement.fact.id != *payment => {
            let about = Subject::Reference {
                kind: "refund".to_owned(),
                id: movement.fact.id.clone(),
            };
            ("refund", movement.fact.id.clone(), about)
        }
        _ => return told,
    };
    let mut answer = told.clone();
    if kind == "refund" {
        let mut named = alias(payment, "refund", &id);
        named.money = false;
        answer.aliases.push(named);
        let list = ("refunds".to_owned(), payment.clone());
        let list = answers.entry(list).or_default();
        list.movements.retain(|it| it.fact.id != id);
        list.movements.push(movement.clone());
    }
    // A later word about a refund replaces the earlier one there.
    answers.insert((kind.to_owned(), id.clone()), answer);
    if rng.random_ratio(2, 3) {
        return told;
    }
    Reading {
        event: "thin".to_owned(),
        inquiries: vec![Inquiry {
            kind: kind.to_owned(),
            id,
            about: Some(about),
        }],
        ..Reading::default()
    }
}

/// One payment's truth, all that is told of it, and what only the API knows:
/// refunds that are told in sums alone.
fn history(id: &str, rng: &mut StdRng) -> (Truth, Vec<Reading>, Vec<Reading>) {
    let gross: i64 = rng.random_range(100..10_000);
    let mut told = vec![charge(id, gross, Some("cus_A"))];
    let (mut untold, in_sums) = (Vec::new(), rng.random_ratio(1, 3));
    let (mut back, mut left) = (0, gross);
    for number in 0..rng.random_range(0..4) {
        let part = rng.random_range(1..=left.max(1)).min(left);
        if part == 0 {
            break;
        }
        let name = format!("re_{id}_{number}");
        match in_sums {
            true => untold.push(refund(id, &name, part, 10 + number)),
            false => told.push(refund(id, &name, part, 10 + number)),
        }
        if in_sums || rng.random_ratio(1, 2) {
            told.push(refund_total(id, back + part, 10 + number));
        }
        if rng.random_ratio(1, 3) {
            told.push(refund_failed(id, &name, part, 10 + number));
        } else {
            back += part;
            left -= part;
        }
    }
    if rng.random_ratio(1, 4) {
        told.push(dispute(id, Class::DisputeTaken, left, 70));
        if rng.random_ratio(1, 2) {
            told.push(dispute(id, Class::DisputeReturned, left, 90));
        } else {
            back += left;
        }
    }
    let truth = Truth {
        id: id.to_owned(),
        net: gross - back,
        reversed: back > 0,
    };
    (truth, told, untold)
}
