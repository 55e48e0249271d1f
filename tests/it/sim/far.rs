//! The destination of the simulation: what it holds, what its list shows, and
//! what it makes of a key that it knows. It is no server; the sandbox is one,
//! and knows the same four ways to meet a repeated key.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt as _;
use rand::rngs::StdRng;
use tributary::destination::{Outcome, Row as Listed};
use tributary::ledger::{Outgoing, Seen};
use tributary::time::{HOUR_MS, MINUTE_MS, Time};

use crate::bench::{There, usd};

/// How late a row is listed where lists can be believed: with the latest that a
/// call lands, less than the time for which "not found" is not believed.
const LISTED_WITHIN_MS: i64 = 4 * MINUTE_MS;

/// How late a row is listed where lists cannot be believed.
const LISTED_VERY_LATE_MS: i64 = 6 * HOUR_MS;

/// What a post with a key meets that the destination knows: the sandbox's four
/// ways, but that a refusal does not even say why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Repeats {
    SecondRow,
    SameRow,
    Conflict,
    Refused,
}

pub struct Far {
    pub there: There,
    pub repeats: Repeats,
    /// False where rows are listed later than the ledger waits for them: then
    /// keys are repeated, and only what meets a repeated key is left to judge.
    pub prompt: bool,
    /// True where others delete rows of ours.
    pub thieves: bool,
    /// False until the destination knows the customer.
    pub knows_customer: bool,
    /// True while our credentials are wrong.
    pub denies: bool,
    /// Until when it asked to be left alone.
    pub paused_until: Time,
    /// Keys of ours that somebody else deleted.
    pub stolen: BTreeSet<String>,
    /// What must never happen and did.
    pub wrong: Option<String>,
    /// The times that we sent for rows.
    created: BTreeMap<String, Time>,
    /// From when on a row is listed.
    listed_from: BTreeMap<String, Time>,
    /// Whether the list shows what we deleted.
    shows_deleted: bool,
    deleted: BTreeMap<String, Vec<(String, i64)>>,
}

impl Far {
    pub fn new(rng: &mut StdRng) -> Far {
        let prompt = !rng.random_ratio(1, 8);
        let all = [
            Repeats::SameRow,
            Repeats::Conflict,
            Repeats::Refused,
            Repeats::SecondRow,
        ];
        // A second row for a late list is what no client can prevent.
        let some = &all[..if prompt { 4 } else { 3 }];
        Far {
            there: There::default(),
            repeats: some[rng.random_range(0..some.len())],
            prompt,
            thieves: rng.random_ratio(1, 4),
            knows_customer: rng.random_ratio(3, 4),
            denies: false,
            paused_until: Time(0),
            stolen: BTreeSet::new(),
            wrong: None,
            created: BTreeMap::new(),
            listed_from: BTreeMap::new(),
            shows_deleted: rng.random_ratio(1, 2),
            deleted: BTreeMap::new(),
        }
    }

    /// What a person who replays a seed wants to know first.
    pub fn told(&self) -> String {
        let Far {
            repeats, prompt, ..
        } = self;
        format!("repeated keys: {repeats:?}, lists in time: {prompt}")
    }

    /// A call arrives: carries it out and answers it.
    pub fn land(&mut self, call: &Outgoing, now: Time, rng: &mut StdRng) -> Outcome {
        let new = match call {
            Outgoing::Post(new) => new,
            Outgoing::Delete { key } => {
                let held = self
                    .there
                    .rows
                    .get(key)
                    .is_some_and(|rows| !rows.is_empty());
                self.take_away(key);
                return match held {
                    true => Outcome::Accepted,
                    false => Outcome::Gone,
                };
            }
        };
        let rows = self.there.rows.get(&new.key);
        let held = rows.and_then(|rows| rows.first()).map(|row| row.1);
        let known = held.is_some() || self.deleted.contains_key(&new.key);
        if held.is_some() && self.prompt {
            let wrong = format!("{} arrived again and stands there already", new.key);
            self.wrong.get_or_insert(wrong);
        }
        if !known || self.repeats == Repeats::SecondRow {
            let late = match self.prompt {
                true => LISTED_WITHIN_MS,
                false => LISTED_VERY_LATE_MS,
            };
            let late = rng.random_range(0..late) * i64::from(rng.random_ratio(1, 2));
            self.listed_from.insert(new.key.clone(), now.plus(late));
            self.created.insert(new.key.clone(), new.created_at);
            self.there.carry_out(call);
            return Outcome::Accepted;
        }
        match (self.repeats, held) {
            (Repeats::SameRow, Some(amount)) if amount == new.amount => Outcome::Accepted,
            (Repeats::SameRow, _) => Outcome::Mismatch {
                detail: "another amount".to_owned(),
            },
            (Repeats::Refused, _) => Outcome::Refused {
                status: 400,
                message: "no".to_owned(),
            },
            _ => Outcome::Repeated,
        }
    }

    fn take_away(&mut self, key: &str) {
        let rows = self.there.rows.remove(key).unwrap_or_default();
        self.deleted.entry(key.to_owned()).or_default().extend(rows);
    }

    /// Whether a row with this key was ever there.
    pub fn arrived(&self, key: &str) -> bool {
        self.there.rows.contains_key(key) || self.deleted.contains_key(key)
    }

    /// The keys of a payment's rows.
    pub fn keys_of(&self, source: &str, payment_id: &str) -> Vec<String> {
        let first = format!("{source}:{payment_id}");
        let more = format!("{first}:");
        let keys = self.there.rows.keys();
        keys.filter(|key| **key == first || key.starts_with(&more))
            .cloned()
            .collect()
    }

    /// Whether a row of a payment was deleted that no list shows any more.
    pub fn hides(&self, source: &str, payment_id: &str) -> bool {
        let first = format!("{source}:{payment_id}");
        let more = format!("{first}:");
        let mut keys = self.deleted.keys();
        !self.shows_deleted && keys.any(|key| *key == first || key.starts_with(&more))
    }

    /// A row is listed from now on, whatever was said of it.
    pub fn list_now(&mut self, key: &str) {
        self.listed_from.remove(key);
    }

    /// Somebody else deletes a row of ours. A list always shows that.
    pub fn steal(&mut self, key: &str) {
        self.take_away(key);
        self.stolen.insert(key.to_owned());
    }

    /// What the list shows of a key now.
    pub fn seen(&self, key: &str, now: Time) -> Vec<Seen> {
        if self.listed_from.get(key).is_some_and(|from| *from > now) {
            return Vec::new();
        }
        let mut seen = self.there.seen(key);
        for seen in &mut seen {
            seen.created_at = self.created.get(key).copied();
        }
        if self.shows_deleted || self.stolen.contains(key) {
            let deleted = self.deleted.get(key).into_iter().flatten();
            seen.extend(deleted.map(|(customer, amount)| Seen {
                amount: Some(*amount),
                currency: Some(usd()),
                customer: Some(customer.clone()),
                created_at: self.created.get(key).copied(),
                archived: true,
            }));
        }
        seen
    }

    /// The whole list, with what is listed by now.
    pub fn list(&self, now: Time) -> Vec<Listed> {
        let listed = |key: &String| self.listed_from.get(key).is_none_or(|from| *from <= now);
        let shown = |key: &String| self.shows_deleted || self.stolen.contains(key);
        let held = self.there.rows.iter().map(|rows| (rows, false));
        let deleted = self.deleted.iter().filter(|(key, _)| shown(key));
        let all = held.chain(deleted.map(|rows| (rows, true)));
        all.filter(|((key, _), _)| listed(key))
            .flat_map(|((key, rows), archived)| rows.iter().map(move |row| (key, row, archived)))
            .map(|(key, (customer, amount), archived)| Listed {
                key: key.clone(),
                amount: Some(*amount),
                currency: Some(usd()),
                customer_external_key: Some(customer.clone()),
                customer_email: None,
                customer_key: None,
                payment_id: None,
                created_at: self.created.get(key).copied(),
                archived,
            })
            .collect()
    }
}
