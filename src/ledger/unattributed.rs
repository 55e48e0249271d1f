//! Payments that have no customer yet, put together by what they wait for, so that
//! one link or one customer frees all of its payments at once.

use std::collections::BTreeMap;

use serde::Serialize;

use super::list::Cursor;
use crate::lookup::{CameTo, Rule, Tried};
use crate::money::{Currency, Minor};
use crate::time::Time;

/// Names of what a group waits for that are told, the dearest in payments first. A
/// page has room for a few; the others come up once these are linked.
const TOLD_MOST: usize = 20;

/// What keeps a payment from its customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// An id of it is not linked to a customer yet: a link frees it.
    NotLinked,
    /// The destination does not know its customer: it goes on once that is made
    /// there, or a person says who it is.
    UnknownCustomer,
    /// It has no value that a rule could use: a person says who it is.
    NoValue,
    /// Its source has no rules.
    NoRules,
}

/// A rule and what it came to, without the value it saw.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
pub struct RuleMissed {
    /// The rule as configured.
    pub rule: String,
    /// `found`, `not_set`, `not_linked`, `too_long`, `no_match`, `not_mirrored`,
    /// `keyless` or `ambiguous`.
    pub came_to: &'static str,
}

/// Money of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AtStake {
    /// The currency.
    pub currency: Currency,
    /// Payments of it.
    pub payments: u64,
    /// What was captured and did not go back, in minor units.
    pub net: Minor,
}

/// An id or a customer that payments wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WaitedFor {
    /// The kind of external id, as `link` takes it; null where it is a customer key
    /// that the destination does not know.
    pub kind: Option<String>,
    /// The external id, or the customer key.
    pub id: String,
    /// Payments that wait for it.
    pub payments: u64,
    /// Their money.
    pub at_stake: Vec<AtStake>,
}

/// Payments of one source that wait for the same sort of thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = UnattributedGroup)]
pub struct Group {
    /// The source's name.
    pub source: String,
    /// What keeps them.
    pub why: Why,
    /// Every rule and what it came to.
    pub rules: Vec<RuleMissed>,
    /// The kinds of external id of which a link frees them, by the rules' order.
    pub kinds: Vec<String>,
    /// Payments.
    pub payments: u64,
    /// Their money.
    pub at_stake: Vec<AtStake>,
    /// When the money of the newest moved, RFC 3339 in UTC.
    pub newest: String,
    /// When the money of the oldest moved.
    pub oldest: String,
    /// What most of them wait for.
    pub waited_for: Vec<WaitedFor>,
    /// How many more ids or customers they wait for.
    pub left_off: u64,
}

impl Group {
    /// The id that frees the most, where exactly one kind would.
    #[must_use]
    pub fn example(&self) -> Option<&WaitedFor> {
        match self.kinds.len() {
            1 => self.waited_for.first(),
            _ => None,
        }
    }
}

/// The groups of a page of unattributed payments.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// The group with the most payments first.
    pub items: Vec<Group>,
    /// Payments that they were made of.
    pub looked_at: u64,
    /// Where the payments go on that were not looked at; `None` where these were
    /// all, so that every figure is exact.
    pub next_cursor: Option<Cursor>,
}

/// One unattributed payment.
#[derive(Clone, Debug)]
pub(super) struct Stray {
    pub source: String,
    pub customer: Option<String>,
    pub money: Option<(Currency, Minor)>,
    pub moved_at: Time,
    pub tried: Vec<Tried>,
}

/// What tells one group from another.
type Key = (String, Why, Vec<RuleMissed>);

/// Payments and their money.
#[derive(Default)]
struct Stake {
    payments: u64,
    money: BTreeMap<Currency, (u64, Minor)>,
}

impl Stake {
    fn add(&mut self, money: Option<(Currency, Minor)>) {
        self.payments += 1;
        if let Some((currency, net)) = money {
            let slot = self.money.entry(currency).or_default();
            slot.0 += 1;
            slot.1 += net;
        }
    }

    fn lines(&self) -> Vec<AtStake> {
        let lines = self.money.iter();
        lines
            .map(|(currency, (payments, net))| AtStake {
                currency: *currency,
                payments: *payments,
                net: *net,
            })
            .collect()
    }
}

/// Groups in the making.
#[derive(Default)]
pub(super) struct Sorted {
    groups: BTreeMap<Key, Open>,
    /// Rules as they were read; a pattern is not compiled for every payment.
    rules: BTreeMap<String, Option<Rule>>,
    looked_at: u64,
}

#[derive(Default)]
struct Open {
    stake: Stake,
    newest: Option<Time>,
    oldest: Option<Time>,
    waited_for: BTreeMap<(Option<String>, String), Stake>,
    kinds: Vec<String>,
}

impl Sorted {
    /// Puts one more payment where it belongs. They come newest first.
    pub fn add(&mut self, stray: Stray) {
        self.looked_at += 1;
        let ids = self.unlinked(&stray.tried);
        let why = match (&stray.customer, ids.is_empty(), stray.tried.is_empty()) {
            (Some(_), ..) => Why::UnknownCustomer,
            (None, false, _) => Why::NotLinked,
            (None, true, true) => Why::NoRules,
            (None, true, false) => Why::NoValue,
        };
        let rules = stray.tried.iter().map(|tried| RuleMissed {
            rule: tried.rule.clone(),
            came_to: came_to(&tried.came_to),
        });
        let key = (stray.source, why, rules.collect());
        let open = self.groups.entry(key).or_default();
        open.newest.get_or_insert(stray.moved_at);
        open.oldest = Some(stray.moved_at);
        open.stake.add(stray.money);
        let waited_for = match stray.customer {
            Some(customer) => vec![(None, customer)],
            None => {
                let kinds: Vec<&String> = ids.iter().map(|(kind, _)| kind).collect();
                for kind in kinds {
                    if !open.kinds.contains(kind) {
                        open.kinds.push(kind.clone());
                    }
                }
                ids.into_iter().map(|(kind, id)| (Some(kind), id)).collect()
            }
        };
        for name in waited_for {
            open.waited_for.entry(name).or_default().add(stray.money);
        }
    }

    /// The ids that no link names, each with its kind.
    fn unlinked(&mut self, tried: &[Tried]) -> Vec<(String, String)> {
        let mut ids = Vec::new();
        for tried in tried {
            let (CameTo::NotLinked, Some(saw)) = (&tried.came_to, &tried.saw) else {
                continue;
            };
            if !self.rules.contains_key(&tried.rule) {
                let rule = tried.rule.parse::<Rule>().ok();
                self.rules.insert(tried.rule.clone(), rule);
            }
            let rule = self.rules.get(&tried.rule).and_then(Option::as_ref);
            if let Some((kind, id)) = rule.and_then(|rule| rule.asks_link(saw)) {
                let id = (kind.to_owned(), id);
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
        ids
    }

    /// The groups, the one with the most payments first.
    pub fn finish(self, next_cursor: Option<Cursor>) -> Groups {
        let groups = self.groups.into_iter();
        let mut items: Vec<Group> = groups.map(|(key, open)| open.group(key)).collect();
        items.sort_by_key(|group| std::cmp::Reverse(group.payments));
        Groups {
            items,
            looked_at: self.looked_at,
            next_cursor,
        }
    }
}

impl Open {
    fn group(self, (source, why, rules): Key) -> Group {
        let names = self.waited_for.into_iter();
        let mut waited_for: Vec<WaitedFor> = names
            .map(|((kind, id), stake)| WaitedFor {
                kind,
                id,
                payments: stake.payments,
                at_stake: stake.lines(),
            })
            .collect();
        waited_for.sort_by_key(|it| std::cmp::Reverse(it.payments));
        let text = |at: Option<Time>| at.map(|at| at.to_string()).unwrap_or_default();
        let left_off = waited_for.len().saturating_sub(TOLD_MOST);
        waited_for.truncate(TOLD_MOST);
        Group {
            source,
            why,
            rules,
            kinds: self.kinds,
            payments: self.stake.payments,
            at_stake: self.stake.lines(),
            newest: text(self.newest),
            oldest: text(self.oldest),
            waited_for,
            left_off: u64::try_from(left_off).unwrap_or(u64::MAX),
        }
    }
}

fn came_to(outcome: &CameTo) -> &'static str {
    match outcome {
        CameTo::Found(_) => "found",
        CameTo::NotSet => "not_set",
        CameTo::NotLinked => "not_linked",
        CameTo::TooLong => "too_long",
        CameTo::NoMatch => "no_match",
        CameTo::NotMirrored => "not_mirrored",
        CameTo::Keyless => "keyless",
        CameTo::Ambiguous => "ambiguous",
    }
}
