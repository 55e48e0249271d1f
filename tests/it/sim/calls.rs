//! Calls of the simulation, from the intent to the answer or the read-back, and
//! what may never be called.

use rand::RngExt as _;
use tributary::destination::Outcome;
use tributary::ledger::{Begun, Filter, Outgoing, ReadBack};
use tributary::time::{MINUTE_MS, SECOND_MS, Time};

use super::{SOURCES, Sim};
use crate::tale::Truth;

/// How late a call may land after its deadline: less than the time for which
/// "not found" is not believed.
const LANDS_WITHIN_MS: i64 = 600 * SECOND_MS;

/// Calls under way at once, of different payments.
const FLYING_MOST: usize = 3;

/// The longest pause that the destination asks for.
const PAUSE_MOST_MS: i64 = 30 * MINUTE_MS;

/// Where a call is on its way.
#[derive(Clone, Copy, PartialEq)]
pub enum Way {
    Never,
    At(Time),
    Landed,
}

/// A call under way or on its way.
pub struct Flying {
    pub begun: Begun,
    pub way: Way,
    pub answered: bool,
    /// What the destination answers, once it has landed.
    pub said: Outcome,
    /// What it answers although nothing was done.
    refused: Option<Outcome>,
}

fn lost() -> Outcome {
    Outcome::Unknown {
        why: "the answer was lost",
    }
}

impl Sim {
    /// Several calls may be under way at once, of different payments.
    pub(super) async fn call(&mut self) {
        let flying = self.flying.iter().filter(|flying| !flying.answered).count();
        let Some(more) = FLYING_MOST.checked_sub(flying).filter(|more| *more > 0) else {
            return;
        };
        let several = self.rng.random_range(1..more + 1);
        for begun in self.bench.begin_several(several as u64).await {
            self.watch_the_other(&begun).await;
            self.fly(begun);
        }
    }

    /// Where the ledger knows that some of another source's payment with the same money
    /// stands at the destination, be it without the ids that say so, none of it is posted
    /// for the first time.
    pub(super) async fn watch_the_other(&mut self, begun: &Begun) {
        let Outgoing::Post(new) = &begun.call else {
            return;
        };
        let twin = |truth: &Truth| truth.twin && truth.id == begun.payment_id;
        if key_before(&new.key).is_some() || !self.truths.iter().any(twin) {
            return;
        }
        for source in SOURCES.iter().filter(|it| **it != begun.source) {
            let filter = Filter {
                source: Some((*source).to_owned()),
                payment_id: Some(begun.payment_id.clone()),
                ..Filter::default()
            };
            let found = self.bench.ledger.payments(filter, 1).await.unwrap();
            let mut found = found.items.into_iter();
            if let Some(other) = found.find(|it| it.forwarded != 0) {
                let stands = other.forwarded;
                self.wrong(format!("{} while {source} has {stands}", named(begun)));
            }
        }
    }

    fn fly(&mut self, begun: Begun) {
        self.note(format!("call: {}", named(&begun)));
        self.watch(&begun);
        let late = self.rng.random_range(0..LANDS_WITHIN_MS);
        let refused = match &begun.call {
            _ if self.far.denies => Some(Outcome::WrongCredentials { status: 401 }),
            Outgoing::Post(_) if !self.far.knows_customer => Some(Outcome::CustomerUnknown),
            _ => None,
        };
        let way = match self.rng.random_range(0..4) {
            _ if refused.is_some() => Way::Never,
            0 => Way::Never,
            1 => Way::At(begun.deadline.plus(late)),
            _ => Way::At(self.bench.clock.now()),
        };
        self.flying.push(Flying {
            begun,
            way,
            answered: false,
            said: lost(),
            refused,
        });
    }

    /// Nothing may be begun for a payment while an earlier call can still land,
    /// nor for anybody before the time that the destination asked for.
    pub(super) fn watch(&mut self, begun: &Begun) {
        let same = |it: &&super::Flying| {
            let (ours, theirs) = (begun, &it.begun);
            (&ours.source, &ours.payment_id) == (&theirs.source, &theirs.payment_id)
        };
        let mut open = self.flying.iter().filter(same);
        let lands = |it: &&super::Flying| matches!(it.way, Way::At(_));
        if let Some(open) = open.find(|it| lands(it) && !self.is_spent(&it.begun)) {
            let wrong = format!("{} while {} was open", named(begun), named(&open.begun));
            self.wrong(wrong);
        }
        let (now, until) = (self.bench.clock.now(), self.far.paused_until);
        if now < until {
            let early = until.since(now);
            self.wrong(format!("{} {early} ms too early", named(begun)));
        }
        // A key beside one that never arrived is one that no destination could
        // recognise, should that one arrive after all.
        if let Outgoing::Post(new) = &begun.call
            && let Some(before) = key_before(&new.key)
            && !self.far.arrived(&before)
        {
            let wrong = format!("{} and {before} was never there", new.key);
            self.wrong(wrong);
        }
    }

    /// A call that can change nothing any more, whenever it lands: a delete of a row
    /// that somebody else deleted, and where lists come too late the post of a key that
    /// the destination knows and never takes twice.
    fn is_spent(&self, begun: &Begun) -> bool {
        match &begun.call {
            Outgoing::Delete { key } => self.far.stolen.contains(key),
            Outgoing::Post(new) => !self.far.prompt && self.far.arrived(&new.key),
        }
    }

    /// One call under way is answered, truly or not at all.
    pub(super) async fn answer(&mut self) {
        let open: Vec<usize> = (0..self.flying.len())
            .filter(|at| !self.flying[*at].answered)
            .collect();
        if open.is_empty() {
            return;
        }
        let at = open[self.rng.random_range(0..open.len())];
        let told = self.rng.random_ratio(2, 3);
        let outcome = match (self.flying[at].way, &self.flying[at].refused) {
            (Way::Never, Some(refused)) if told => refused.clone(),
            // What has not landed and never will was refused to be taken.
            (Way::Never, _) => match self.rng.random_range(0..4) {
                0 => Outcome::Later {
                    retry_after: None,
                    status: 429,
                },
                1 => Outcome::Later {
                    retry_after: Some(self.pause()),
                    status: 429,
                },
                2 => Outcome::NotSent {
                    why: "no connection",
                },
                _ => Outcome::Unknown { why: "no answer" },
            },
            (Way::Landed, _) if told => self.flying[at].said.clone(),
            _ => lost(),
        };
        self.flying[at].answered = true;
        let begun = self.flying[at].begun.clone();
        self.note(format!("answer {}: {}", outcome.name(), named(&begun)));
        let settled = self
            .bench
            .ledger
            .settle(begun.claim, outcome.clone(), 7)
            .await;
        // Whose turn was over is not heard; in the program the breaker hears it.
        if let Outcome::Later {
            retry_after: Some(until),
            ..
        } = outcome
            && settled.unwrap().ours
        {
            self.far.paused_until = self.far.paused_until.max(until);
        }
        self.pass(0);
    }

    fn pause(&mut self) -> Time {
        let now = self.bench.clock.now();
        now.plus(self.rng.random_range(SECOND_MS..PAUSE_MOST_MS))
    }

    /// A sweep sees the list as it is, or could not read it.
    pub(super) async fn read_back(&mut self, complete: bool) {
        let unknowns = self.bench.ledger.unknowns("ps", 3).await.unwrap();
        let begun_at = self.bench.clock.now();
        let seen = unknowns.iter().map(|unknown| {
            let found = complete.then(|| self.far.seen(&unknown.key, begun_at));
            let read = ReadBack {
                begun_at,
                found,
                reached: complete,
            };
            (unknown.claim, read)
        });
        let seen: Vec<_> = seen.collect();
        if seen.is_empty() {
            return;
        }
        self.note(format!("read back {} (complete: {complete})", seen.len()));
        self.bench.ledger.settle_read_back(seen).await.unwrap();
    }

    /// Our credentials are wrong from now on, or right again.
    pub(super) fn deny(&mut self) {
        self.far.denies = !self.far.denies;
        self.note(format!("wrong credentials: {}", self.far.denies));
    }

    /// What was under way is not waited for any longer.
    pub(super) async fn give_up(&mut self) {
        for at in 0..self.flying.len() {
            if !self.flying[at].answered {
                self.flying[at].answered = true;
                let claim = self.flying[at].begun.claim;
                self.bench.ledger.settle(claim, lost(), 7).await.unwrap();
            }
        }
    }

    /// A call that is carried out and answered at once.
    pub(super) async fn healed_call(&mut self, begun: Begun) {
        self.watch(&begun);
        self.watch_the_other(&begun).await;
        let now = self.bench.clock.now();
        let said = self.far.land(&begun.call, now, &mut self.rng);
        self.note(format!("healed call: {}: {}", named(&begun), said.name()));
        self.bench
            .ledger
            .settle(begun.claim, said, 7)
            .await
            .unwrap();
    }
}

pub fn named(begun: &Begun) -> String {
    match &begun.call {
        Outgoing::Post(new) => format!("post {} {}", new.key, new.amount),
        Outgoing::Delete { key } => format!("delete {key}"),
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
