//! On which days the money of one payment moved.
//!
//! [`daybook`] splits what `position` says over days, and the parts always add
//! up to it: the position is folded again as it stood at the end of each day on
//! which anything happened, and what it had changed by since the day before is
//! that day's part. So a cumulative figure counts only where it says more than
//! the refunds known by then, and a refund that failed later comes back on the
//! day on which it failed. It does no I/O and knows no provider.

use crate::day::{Day, Zone};
use crate::money::Minor;
use crate::movement::{Class, Fact};
use crate::position::{self, Position};

/// The money of one payment by days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daybook {
    /// The day of the capture.
    pub sale: Day,
    /// Minor units captured on that day.
    pub gross: Minor,
    /// Minor units that went back, by day and never zero; negative where money
    /// that had gone back came again. They add up to the position's `reversed`.
    pub reversals: Vec<(Day, Minor)>,
}

impl Daybook {
    /// Minor units that went back in all.
    #[must_use]
    pub fn reversed(&self) -> Minor {
        self.reversals.iter().map(|(_, amount)| amount).sum()
    }
}

/// Splits the position of `facts` over the days of `zone`; `None` where no money
/// was captured.
///
/// The capture is what it is now, on every day: a better witness who corrects
/// its amount corrects the sale. A reversal that its facts date before the sale
/// counts on the day of the sale, so that no day ever begins with a debt. Where
/// several facts tell of one reversal, the earliest of their times counts.
#[must_use]
pub fn daybook(facts: &[Fact], zone: &Zone) -> Option<Daybook> {
    let whole = position::position(facts);
    of_position(&whole, facts, zone)
}

/// The same for a position that is known already.
#[must_use]
pub fn of_position(whole: &Position, facts: &[Fact], zone: &Zone) -> Option<Daybook> {
    let capture = whole.capture.as_ref()?;
    let sale = zone.day_of(capture.at);
    let mut reversals = Vec::new();
    let mut dated: Vec<(Option<Day>, &Fact)> = facts.iter().map(|fact| (None, fact)).collect();
    for (day, fact) in &mut dated {
        // A capture stands before all days.
        *day = (fact.class != Class::Capture).then(|| zone.day_of(fact.at).max(sale));
    }
    dated.sort();
    let days: Vec<Option<Day>> = dated.iter().map(|(day, _)| *day).collect();
    let ordered: Vec<Fact> = match days.last() {
        // Most payments never go back, and need no second look.
        Some(Some(_)) => dated.into_iter().map(|(_, fact)| fact.clone()).collect(),
        _ => Vec::new(),
    };
    let mut known: Minor = 0;
    for (at, day) in days.iter().enumerate() {
        let last_of_day = days.get(at + 1) != Some(day);
        let Some(day) = day.filter(|_| last_of_day) else {
            continue;
        };
        let until = ordered.get(..=at).unwrap_or(&ordered);
        let reversed = position::position(until).reversed().unwrap_or_default();
        if reversed != known {
            reversals.push((day, reversed - known));
            known = reversed;
        }
    }
    Some(Daybook {
        sale,
        gross: capture.gross,
        reversals,
    })
}

#[cfg(test)]
#[path = "daybook_tests.rs"]
mod tests;
