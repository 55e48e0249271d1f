//! What happens in the demo: who buys, what goes back, what comes late.
//!
//! Orders are shuffled and deliveries repeated on purpose: that is what
//! providers do, and the sums must be exact all the same.

use std::collections::VecDeque;

use rand::Rng;
use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use super::stripe::{
    Charge, Event, charge_refunded, charge_succeeded, customer_created, dispute, refund,
};
use crate::money::Minor;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, Time};

/// Partners and the customers they brought.
pub(super) const PARTNERS: [(&str, &[&str]); 3] = [
    ("northwind", &["acme-corp", "globex", "initech"]),
    ("bluepeak", &["umbrella", "hooli"]),
    ("solo-sam", &["stark-labs"]),
];

/// Charges in the fixed script.
const CHARGES: usize = 48;

/// Charges that the endless demo still tells something about.
const REMEMBERED: usize = 200;

/// A list of events, or an endless source of them.
pub(super) struct Script {
    events: Vec<Event>,
    waiting: VecDeque<Event>,
    charges: Vec<Charge>,
    made: usize,
}

fn customers() -> Vec<(String, &'static str)> {
    let all = PARTNERS.iter().flat_map(|(_, customers)| customers.iter());
    all.map(|key| (format!("cus_{}", key.replace('-', "")), *key))
        .collect()
}

impl Script {
    /// The script of `--once`: every kind of history, repeated and shuffled.
    pub fn fixed(now: Time, rng: &mut impl Rng) -> Script {
        let mut script = Script::empty();
        let start = now.plus(-90 * DAY_MS);
        for (id, key) in customers() {
            script.events.push(customer_created(&id, key, start));
        }
        for _ in 0..CHARGES {
            let days = i64::try_from(script.made).unwrap_or(0) * 90 / 48;
            let charge = script.charge(start.plus(days * DAY_MS), rng);
            let history = history(&charge, script.made, rng);
            script.events.extend(history);
        }
        let again: Vec<Event> = script
            .events
            .iter()
            .filter(|_| rng.random_ratio(1, 4))
            .cloned()
            .collect();
        script.events.extend(again);
        script.events.shuffle(rng);
        script
    }

    /// The beginning of the endless demo: customers, and then sales.
    pub fn opening(now: Time, _rng: &mut impl Rng) -> Script {
        let mut script = Script::empty();
        for (id, key) in customers() {
            script
                .waiting
                .push_back(customer_created(&id, key, now.plus(-HOUR_MS)));
        }
        script
    }

    fn empty() -> Script {
        Script {
            events: Vec::new(),
            waiting: VecDeque::new(),
            charges: Vec::new(),
            made: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The next event of the endless demo.
    pub fn next(&mut self, now: Time, rng: &mut impl Rng) -> Event {
        if let Some(event) = self.waiting.pop_front() {
            return event;
        }
        if !self.charges.is_empty() && rng.random_ratio(1, 4) {
            let charge = self
                .charges
                .swap_remove(rng.random_range(0..self.charges.len()));
            let mut told = history(&charge, rng.random_range(1..12), rng);
            told.remove(0);
            self.waiting.extend(told);
            if let Some(event) = self.waiting.pop_front() {
                return event;
            }
        }
        let charge = self.charge(now, rng);
        let event = charge_succeeded(&charge);
        if self.charges.len() < REMEMBERED {
            self.charges.push(charge);
        }
        if rng.random_ratio(1, 5) {
            self.waiting.push_back(event.clone());
        }
        event
    }

    fn charge(&mut self, at: Time, rng: &mut impl Rng) -> Charge {
        self.made += 1;
        let customers = customers();
        let (id, _) = &customers[rng.random_range(0..customers.len())];
        let (amount, currency) = match self.made % 6 {
            0 => (rng.random_range(500..90_000), "jpy"),
            1 => (rng.random_range(900..30_000), "eur"),
            _ => (rng.random_range(499..60_000), "usd"),
        };
        Charge {
            id: format!("ch_demo{:04}", self.made),
            customer: Some(id.clone()),
            amount,
            currency,
            at,
            live: !self.made.is_multiple_of(17),
        }
    }
}

/// One charge's events: the sale first, then what went back.
fn history(charge: &Charge, kind: usize, rng: &mut impl Rng) -> Vec<Event> {
    let mut events = vec![charge_succeeded(charge)];
    let later = |minutes: i64| charge.at.plus(minutes * MINUTE_MS);
    let part: Minor = (charge.amount / 10).max(1) + rng.random_range(0..5);
    let id = |number: usize| format!("re_{}_{number}", charge.id);
    match kind % 12 {
        // A refund told in both forms counts once.
        1 => events.extend([
            refund(charge, &id(1), part, "succeeded", later(5)),
            charge_refunded(charge, part, later(5)),
        ]),
        // Two refunds, told only as a growing sum.
        3 => events.extend([
            charge_refunded(charge, part, later(5)),
            charge_refunded(charge, part * 2, later(9)),
        ]),
        // All of it, in two steps.
        5 => events.extend([
            refund(charge, &id(1), part, "succeeded", later(5)),
            refund(charge, &id(2), charge.amount - part, "succeeded", later(6)),
        ]),
        // A refund that failed gives the money back.
        7 => events.extend([
            refund(charge, &id(1), part, "succeeded", later(5)),
            refund(charge, &id(1), part, "failed", later(60)),
        ]),
        // A dispute that was lost, and one that was won.
        9 => events.push(dispute(
            charge,
            "funds_withdrawn",
            "needs_response",
            later(90),
        )),
        11 => events.extend([
            dispute(charge, "funds_withdrawn", "needs_response", later(90)),
            dispute(charge, "closed", "won", later(900)),
        ]),
        _ => {}
    }
    events
}
