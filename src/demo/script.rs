//! What happens in the demo: who buys, what goes back, what comes late.
//!
//! Orders are shuffled and deliveries repeated on purpose: that is what
//! providers do, and the sums must be exact all the same.

use std::collections::VecDeque;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::event::Event;
use super::{PLAYERS, stripe};
use crate::time::{DAY_MS, HOUR_MS, Time};

/// A partner, what it earns, and the customers that it brought.
pub(super) struct Brings {
    pub key: &'static str,
    /// First and last name.
    pub name: (&'static str, &'static str),
    pub percent: i64,
    pub customers: &'static [&'static str],
}

/// Partners and the customers they brought.
pub(super) const PARTNERS: [Brings; 5] = [
    Brings {
        key: "northwind",
        name: ("Northwind", "Media"),
        percent: 20,
        customers: &["acme-corp", "globex", "initech", "soylent"],
    },
    Brings {
        key: "bluepeak",
        name: ("Bluepeak", "Agency"),
        percent: 15,
        customers: &["umbrella", "hooli", "vandelay"],
    },
    Brings {
        key: "kestrel",
        name: ("Kestrel", "Partners"),
        percent: 18,
        customers: &["wonka-foods", "oceanic"],
    },
    Brings {
        key: "harbor",
        name: ("Harbor", "Collective"),
        percent: 12,
        customers: &["tyrell", "massive-dynamic"],
    },
    Brings {
        key: "solo-sam",
        name: ("Sam", "Okafor"),
        percent: 10,
        customers: &["stark-labs", "cyberdyne"],
    },
];

/// Payments of each provider in the fixed script.
const PAYMENTS: usize = 48;

/// How far back the fixed script begins, in days.
const DAYS: i64 = 90;

/// Some customer's key: the first ones buy more often.
pub(super) fn customer(rng: &mut StdRng) -> &'static str {
    let all: Vec<&'static str> = customers().collect();
    let one = rng.random_range(0..all.len());
    all[one.min(rng.random_range(0..all.len()))]
}

/// All customers' keys.
pub(super) fn customers() -> impl Iterator<Item = &'static str> {
    PARTNERS
        .iter()
        .flat_map(|partner| partner.customers.iter().copied())
}

/// The script of `--once`: every kind of history of every provider, repeated
/// and shuffled.
pub(super) fn fixed(now: Time, rng: &mut StdRng) -> Vec<Event> {
    let start = now.plus(-DAYS * DAY_MS);
    let mut events = Vec::new();
    for player in PLAYERS {
        events.extend((player.opening)(start));
        for number in 1..=PAYMENTS {
            let day = i64::try_from(number).unwrap_or(0) * DAYS / 48;
            events.extend((player.story)(number, start.plus(day * DAY_MS), rng));
        }
    }
    let again: Vec<Event> = events
        .iter()
        .filter(|_| rng.random_ratio(1, 4))
        .cloned()
        .collect();
    events.extend(again);
    events.shuffle(rng);
    events
}

/// Payments of each provider in the history of the endless demo.
const HISTORY: usize = 120;

/// The latest time of a payment of which all is told now, since nobody tells of
/// tomorrow: of most odd ones something goes back, some of it days later.
fn latest(number: usize, now: Time) -> Time {
    match number.is_multiple_of(2) {
        true => now.plus(-16 * HOUR_MS),
        false => now.plus(-7 * DAY_MS),
    }
}

/// Those of a provider whose webhooks carry no time: all that it tells is of today.
const HISTORY_UNDATED: usize = 6;

/// The numbers of a history's payments: from most even ones nothing goes back, and
/// one in five is odd.
fn numbers(count: usize) -> impl Iterator<Item = usize> {
    (1..=count).map(|at| at * 2 + usize::from(at.is_multiple_of(5)))
}

/// Three months that went before: all providers, more from week to week and less on
/// Sundays, in the order of time; and a few sales that nobody can attribute.
pub(super) fn history(now: Time, rng: &mut StdRng) -> Vec<Event> {
    let start = now.plus(-DAYS * DAY_MS);
    let openings = PLAYERS.iter().flat_map(|player| (player.opening)(start));
    let mut events: Vec<Event> = openings.collect();
    let mut stories = Vec::new();
    for player in PLAYERS {
        let count = match player.source {
            "pats" => HISTORY_UNDATED,
            _ => HISTORY,
        };
        for number in numbers(count) {
            let at = start.plus(moment(rng)).min(latest(number, now));
            stories.push((at, (player.story)(number, at, rng)));
        }
    }
    stories.extend(stripe::strays(now));
    stories.sort_by_key(|(at, _)| *at);
    events.extend(stories.into_iter().flat_map(|(_, story)| story));
    events
}

/// A moment of the history, in milliseconds from its start.
fn moment(rng: &mut StdRng) -> i64 {
    loop {
        let day = rng.random_range(0..DAYS);
        let busy = DAYS / 2 + day / 2;
        let busy = if day % 7 == 0 { busy / 3 } else { busy };
        if rng.random_range(0..DAYS) < busy {
            return day * DAY_MS + rng.random_range(0..DAY_MS);
        }
    }
}

/// The endless demo: payments of all providers as they come.
pub(super) struct Endless {
    waiting: VecDeque<Event>,
    told: usize,
}

impl Endless {
    /// It goes on where the history ends.
    pub fn new() -> Endless {
        Endless {
            waiting: VecDeque::new(),
            told: HISTORY * 2 + 1,
        }
    }

    /// The next event; now and then one comes twice.
    pub fn next(&mut self, now: Time, rng: &mut StdRng) -> Option<Event> {
        if self.waiting.is_empty() {
            self.told += 1;
            let player = PLAYERS[rng.random_range(0..PLAYERS.len())];
            let at = latest(self.told, now);
            self.waiting.extend((player.story)(self.told, at, rng));
        }
        let event = self.waiting.pop_front()?;
        if rng.random_ratio(1, 5) {
            self.waiting.push_back(event.clone());
        }
        Some(event)
    }
}
