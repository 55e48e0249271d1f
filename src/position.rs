//! What the movements of one payment add up to.
//!
//! [`position`] is a join: any order, any repetition and any split over
//! deliveries of the same facts gives the same position. It does no I/O, reads
//! no clock and knows no provider. It does not say what to do; `plan` does.

use std::collections::{BTreeMap, BTreeSet};

use crate::money::{Currency, Minor};
use crate::movement::{Authority, Basis, Class, Fact, rank};
use crate::time::Time;

/// What is true about the money of one payment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// The capture that counts, once money was captured.
    pub capture: Option<Captured>,
    /// The best that is known of a capture without money yet.
    pub unfinished: Option<Unfinished>,
    /// Refunds that stand, in minor units.
    pub refunds: Minor,
    /// What disputes hold, in minor units.
    pub disputes: Minor,
    /// The floor that alerts set, in minor units.
    pub alerts: Minor,
    /// True where the whole payment was undone.
    pub void: bool,
    /// The time of the newest reversal, or of its undoing.
    pub newest_reversal: Option<Time>,
    /// Why a person has to look; the first reason found.
    pub doubt: Option<Doubt>,
}

/// The capture that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Minor units.
    pub gross: Minor,
    /// The currency of every amount of this payment.
    pub currency: Currency,
    /// When the money moved.
    pub at: Time,
    /// The product's key at the destination.
    pub product_key: Option<String>,
    /// The category's key at the destination.
    pub category_key: Option<String>,
}

/// A capture that has brought no money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// Authorised, or under way.
    Pending,
    /// Failed.
    Failed,
}

/// Why the facts cannot be added up without a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A movement is in another currency than the capture.
    Currency {
        /// The capture's.
        capture: Currency,
        /// The other one.
        other: Currency,
    },
    /// Two equally good witnesses state different amounts.
    Contradiction {
        /// The provider's id of the refund or capture.
        id: String,
    },
    /// A refund failed and the refunds are not all stated one by one, so the
    /// cumulative figure cannot be split. The provider's list would settle it.
    Unlisted,
}

impl Position {
    /// Minor units captured; `None` without a capture.
    #[must_use]
    pub fn gross(&self) -> Option<Minor> {
        self.capture.as_ref().map(|capture| capture.gross)
    }

    /// Minor units that went back: never more than the gross. The one place
    /// where the clamp is applied.
    #[must_use]
    pub fn reversed(&self) -> Option<Minor> {
        let gross = self.gross()?;
        if self.void {
            return Some(gross);
        }
        let stated = self.refunds.saturating_add(self.disputes).max(self.alerts);
        Some(stated.clamp(0, gross))
    }

    /// Gross less reversed.
    #[must_use]
    pub fn net(&self) -> Option<Minor> {
        Some(self.gross()? - self.reversed()?)
    }

    /// The position in one word, to tell whether it has changed since a person
    /// decided on it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        match &self.capture {
            None => "none".to_owned(),
            Some(capture) => format!(
                "{}:{}:{}",
                capture.currency,
                capture.gross,
                self.reversed().unwrap_or_default()
            ),
        }
    }
}

/// Folds facts into a position.
#[must_use]
pub fn position(facts: &[Fact]) -> Position {
    let disputes = Disputes::of(facts);
    let mut folded = Position {
        void: facts.iter().any(|fact| fact.class == Class::Void),
        disputes: disputes.standing(),
        alerts: greatest(of(facts, Class::Alert)),
        ..Position::default()
    };
    match best_capture(facts) {
        Some(fact) if fact.rank >= rank::CAPTURED => folded.capture = Some(captured(facts, fact)),
        Some(fact) if fact.rank == rank::FAILED => folded.unfinished = Some(Unfinished::Failed),
        Some(_) => folded.unfinished = Some(Unfinished::Pending),
        None => {}
    }
    let partial = facts
        .iter()
        .any(|fact| fact.class == Class::Capture && fact.partial_capture);
    let refunds = Refunds::of(facts);
    folded.refunds = refunds.standing(partial);
    folded.doubt = refunds.contradiction(facts);
    folded.newest_reversal = newest_reversal(facts, &refunds, &disputes);
    if refunds.unlisted() {
        folded.doubt.get_or_insert(Doubt::Unlisted);
    }
    if let Some(capture) = &folded.capture
        && let Some(other) = others(facts, capture.currency).min()
    {
        folded.doubt = Some(Doubt::Currency {
            capture: capture.currency,
            other,
        });
    }
    folded
}

/// The currencies of a payment's facts besides its own.
fn others(facts: &[Fact], own: Currency) -> impl Iterator<Item = Currency> {
    facts
        .iter()
        .map(|fact| fact.currency)
        .filter(move |currency| *currency != own)
}

fn of(facts: &[Fact], class: Class) -> impl Iterator<Item = &Fact> {
    facts.iter().filter(move |fact| fact.class == class)
}

fn greatest<'a>(facts: impl Iterator<Item = &'a Fact>) -> Minor {
    facts.map(|fact| fact.amount).max().unwrap_or_default()
}

/// A payment has one capture whatever ids its statements carry; among equals
/// the larger amount counts, then the later time, then the texts, so that the
/// choice never depends on the order.
fn best_capture(facts: &[Fact]) -> Option<&Fact> {
    of(facts, Class::Capture).max_by_key(|fact| {
        (
            (fact.rank, fact.version, fact.authority),
            (fact.amount, fact.at, fact.currency),
            (&fact.product_key, &fact.category_key),
        )
    })
}

fn captured(facts: &[Fact], best: &Fact) -> Captured {
    // A statement that leaves the product out does not take it away.
    let named = |pick: fn(&Fact) -> &Option<String>| {
        of(facts, Class::Capture)
            .filter(|fact| pick(fact).is_some())
            .max_by_key(|fact| ((fact.rank, fact.version, fact.authority), pick(fact)))
            .and_then(|fact| pick(fact).clone())
    };
    Captured {
        gross: best.amount,
        currency: best.currency,
        at: best.at,
        product_key: named(|fact| &fact.product_key),
        category_key: named(|fact| &fact.category_key),
    }
}

/// What disputes took and gave back, each by its id, and the totals stated
/// beside them: a file may say how much was disputed and not in which dispute.
struct Disputes<'a> {
    each: BTreeMap<(&'a str, Class), (u8, Minor)>,
    facts: &'a [Fact],
}

impl<'a> Disputes<'a> {
    fn of(facts: &'a [Fact]) -> Disputes<'a> {
        Disputes {
            each: Disputes::by_id(facts, i64::MIN),
            facts,
        }
    }

    /// The best witness of each id and class, as stated since `version`.
    fn by_id(facts: &'a [Fact], version: i64) -> BTreeMap<(&'a str, Class), (u8, Minor)> {
        let mut best: BTreeMap<(&str, Class), (u8, Minor)> = BTreeMap::new();
        for fact in facts.iter().filter(|fact| fact.version >= version) {
            let disputes = matches!(fact.class, Class::DisputeTaken | Class::DisputeReturned);
            if disputes && fact.basis == Basis::Each {
                let stated = (fact.rank, fact.amount);
                let slot = best.entry((&fact.id, fact.class)).or_insert(stated);
                *slot = stated.max(*slot);
            }
        }
        best
    }

    fn totals(&self, class: Class) -> impl Iterator<Item = &'a Fact> {
        of(self.facts, class).filter(|fact| fact.basis == Basis::Total)
    }

    fn sum(each: &BTreeMap<(&str, Class), (u8, Minor)>, class: Class) -> Minor {
        each.iter()
            .filter(|((_, of), _)| *of == class)
            .map(|(_, (_, amount))| *amount)
            .fold(0, Minor::saturating_add)
    }

    /// What disputes hold: the sum over their ids of what was taken and not
    /// returned, or a total where one says more. What was returned before a
    /// total was stated is no part of it and is not taken from it again.
    fn standing(&self) -> Minor {
        let returned = |id| (self.each.get(&(id, Class::DisputeReturned))).map_or(0, |it| it.1);
        let by_id = (self.each.iter())
            .filter(|((_, class), _)| *class == Class::DisputeTaken)
            .map(|((id, _), (_, taken))| (taken - returned(*id)).max(0))
            .fold(0, Minor::saturating_add);
        let still = |total: &Fact| {
            let since = Disputes::by_id(self.facts, total.version);
            let each = Disputes::sum(&since, Class::DisputeReturned);
            let totals = self.totals(Class::DisputeReturned);
            let all = greatest(totals.filter(|fact| fact.version >= total.version));
            total.amount.saturating_sub(each.max(all)).max(0)
        };
        let by_total = self.totals(Class::DisputeTaken).map(still).max();
        by_id.max(by_total.unwrap_or_default())
    }

    /// True where a total tells of a dispute that no statement by id does.
    fn total_says_more(&self) -> bool {
        greatest(self.totals(Class::DisputeTaken)) > Disputes::sum(&self.each, Class::DisputeTaken)
    }
}

/// After a partial capture a file states what was authorised as the payment, and
/// what was let go as refunded. Where a better witness says what was captured,
/// the difference is no refund.
fn released(facts: &[Fact]) -> Minor {
    let captures = || of(facts, Class::Capture).filter(|fact| fact.rank >= rank::CAPTURED);
    let Some(best) = best_capture(facts).filter(|best| best.partial_capture) else {
        return 0;
    };
    let whole = captures().filter(|fact| fact.authority == Authority::Csv && !fact.partial_capture);
    (greatest(whole) - best.amount).max(0)
}

/// The refunds of a payment, each by its id, and the totals stated beside them.
struct Refunds<'a> {
    each: BTreeMap<&'a str, &'a Fact>,
    /// Those of which more is known than that they failed: somebody stated them while
    /// they stood, or the provider's list of all names them.
    made: BTreeSet<&'a str>,
    /// From which version on each is known to be undone: who says it again later, as a
    /// list does, does not make it later.
    undone_from: BTreeMap<&'a str, i64>,
    totals: Vec<&'a Fact>,
    /// What files count as refunded and was never captured.
    released: Minor,
}

/// When the provider's API told of all refunds at once: such an answer has a total
/// beside them that carries the same version and counts for nothing itself.
fn listed_at(facts: &[Fact]) -> BTreeSet<i64> {
    of(facts, Class::Refund)
        .filter(|fact| fact.basis == Basis::Total && fact.rank == rank::ANNOUNCED)
        .filter(|fact| fact.authority == Authority::Api)
        .map(|fact| fact.version)
        .collect()
}

/// Above this many single refunds the sums of all their subsets are not tried;
/// the other test stands alone there. 2^12 sums cost a few microseconds.
const SUBSETS_OF_REFUNDS: usize = 12;

impl<'a> Refunds<'a> {
    fn of(facts: &'a [Fact]) -> Refunds<'a> {
        let listed = listed_at(facts);
        let mut each: BTreeMap<&str, &Fact> = BTreeMap::new();
        let mut made = BTreeSet::new();
        let mut undone_from: BTreeMap<&str, i64> = BTreeMap::new();
        let mut totals = Vec::new();
        for fact in of(facts, Class::Refund) {
            if fact.basis == Basis::Total {
                if fact.rank != rank::ANNOUNCED {
                    totals.push(fact);
                }
                continue;
            }
            let in_list = fact.authority == Authority::Api && listed.contains(&fact.version);
            if fact.rank < rank::UNDONE || in_list {
                made.insert(fact.id.as_str());
            }
            if fact.rank >= rank::UNDONE {
                let from = undone_from.entry(&fact.id).or_insert(fact.version);
                *from = fact.version.min(*from);
            }
            let slot = each.entry(&fact.id).or_insert(fact);
            if witness(fact) > witness(slot) {
                *slot = fact;
            }
        }
        Refunds {
            each,
            made,
            undone_from,
            totals,
            released: released(facts),
        }
    }

    /// The sum that a total states.
    fn stated(&self, total: &Fact) -> Minor {
        match total.authority {
            Authority::Csv => (total.amount - self.released).max(0),
            _ => total.amount,
        }
    }

    fn sum(&self, keep: impl Fn(&Fact) -> bool) -> Minor {
        self.each
            .values()
            .filter(|fact| keep(fact))
            .map(|fact| fact.amount)
            .fold(0, Minor::saturating_add)
    }

    /// L, F and M of the books: refunds = max(L, M - F), or M - F alone where
    /// the capture was partial. A refund that was undone before a total was
    /// stated is no part of it and is not taken from it again.
    fn standing(&self, partial_capture: bool) -> Minor {
        let live = self.sum(|fact| fact.rank == rank::LIVE);
        let still = |total: &&Fact| {
            let undone = self.sum(|fact| self.undone_since(fact, total));
            self.stated(total).saturating_sub(undone).max(0)
        };
        let by_total = self.totals.iter().map(still).max().unwrap_or_default();
        if partial_capture {
            by_total
        } else {
            live.max(by_total)
        }
    }

    /// Whether a refund was undone after a total was stated, or at the same time.
    fn undone_since(&self, fact: &Fact, total: &Fact) -> bool {
        let from = self.undone_from.get(fact.id.as_str());
        fact.rank >= rank::UNDONE && from.is_some_and(|from| *from >= total.version)
    }

    /// Two facts about one refund that are equally good and differ in the money.
    fn contradiction(&self, facts: &[Fact]) -> Option<Doubt> {
        let rivals = |fact: &&Fact| {
            let winner = self.each[fact.id.as_str()];
            (winner.rank, winner.version, winner.authority)
                == (fact.rank, fact.version, fact.authority)
                && (winner.amount, winner.currency) != (fact.amount, fact.currency)
        };
        let singles = of(facts, Class::Refund).filter(|fact| fact.basis == Basis::Each);
        let id = singles.filter(rivals).map(|fact| fact.id.clone()).min()?;
        Some(Doubt::Contradiction { id })
    }

    fn undone(&self) -> Minor {
        self.sum(|fact| fact.rank >= rank::UNDONE)
    }

    fn greatest_total(&self) -> Minor {
        let stated = self.totals.iter().map(|total| self.stated(total));
        stated.max().unwrap_or_default()
    }

    /// True where a refund was undone and some total cannot be made of the
    /// refunds stated one by one: then a refund exists that we only know inside
    /// a total, and M - F may hide it.
    fn unlisted(&self) -> bool {
        self.undone() > 0 && self.totals.iter().any(|total| !self.explains(total))
    }

    fn explains(&self, total: &Fact) -> bool {
        // A refund undone before this total was stated is no part of it.
        let possible = self.sum(|fact| {
            let counted = fact.rank < rank::UNDONE || self.undone_since(fact, total);
            counted && self.made.contains(fact.id.as_str())
        });
        let stated = self.stated(total);
        if stated > possible {
            return false;
        }
        if self.each.len() > SUBSETS_OF_REFUNDS {
            return true;
        }
        // A refund of which only its failure was told explains none: another one of
        // the same amount may stand behind the total.
        let made = |fact: &&&Fact| self.made.contains(fact.id.as_str());
        let mut sums = vec![0];
        for fact in self.each.values().filter(made) {
            let with: Vec<Minor> = sums
                .iter()
                .map(|sum: &Minor| sum.saturating_add(fact.amount))
                .collect();
            sums.extend(with);
        }
        sums.contains(&stated)
    }
}

/// How good a witness a fact is; the rest only makes the choice the same in
/// every order.
fn witness(fact: &Fact) -> impl Ord {
    (
        (fact.rank, fact.version, fact.authority),
        (fact.amount, fact.currency, fact.at),
    )
}

/// The time a reversal row carries: the newest reversal stated one by one, and
/// the newest total only where it says more than they do.
fn newest_reversal(facts: &[Fact], refunds: &Refunds<'_>, disputes: &Disputes<'_>) -> Option<Time> {
    let total_says_more =
        refunds.greatest_total() > refunds.sum(|fact| fact.rank != rank::ANNOUNCED);
    facts
        .iter()
        .filter(|fact| match (fact.class, fact.basis) {
            (Class::Capture, _) => false,
            (Class::Refund, Basis::Total) => total_says_more && fact.rank != rank::ANNOUNCED,
            (Class::Refund, Basis::Each) => fact.rank != rank::ANNOUNCED,
            (Class::DisputeTaken | Class::DisputeReturned, Basis::Total) => {
                disputes.total_says_more()
            }
            _ => true,
        })
        .map(|fact| fact.at)
        .max()
}

#[cfg(test)]
#[path = "position_tests.rs"]
mod tests;
