//! What is asked of a report: by what, of which days, which of its lines and how many.

use serde::Serialize;

use crate::day::{Day, Zone};
use crate::lookup::mask_email;

/// What a report has a line for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Each partner, as far as the ledger knows them now.
    Partner,
    /// Each customer.
    Customer,
    /// Each source.
    Source,
    /// Each day.
    Day,
    /// Each month.
    Month,
}

/// On which day a reversal counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ReportBasis)]
pub enum Basis {
    /// On its own.
    #[default]
    Own,
    /// On the day of the sale that it takes back.
    Sale,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// What has a line.
    pub by: By,
    /// The first day, if not all.
    pub from: Option<Day>,
    /// The last day, which is part of it.
    pub to: Option<Day>,
    /// Where days begin and end; `None` is the ledger's own zone.
    pub zone: Option<Zone>,
    /// On which day a reversal counts.
    pub basis: Basis,
}

impl Question {
    /// Whether a day is asked for.
    #[must_use]
    pub fn asks(&self, day: Day) -> bool {
        self.from.is_none_or(|from| from <= day) && self.to.is_none_or(|to| day <= to)
    }
}

/// How many lines of a report there are to be; the totals always hold all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// All.
    All,
    /// The first so many.
    First(usize),
    /// The first so many of each currency.
    Each(usize),
}

/// Which partners and customers have a line; the totals always hold all.
#[derive(Clone, Debug, Default)]
pub struct Only {
    /// The key of a partner: this one, and the customers whom it brought.
    pub partner: Option<String>,
    /// What the key, the partner's key or the partner's name has in it, in lower case.
    pub text: Option<String>,
    /// Whether addresses are compared as those see them who may not see them in full,
    /// so that nobody finds out by searching.
    pub masked: bool,
}

impl Only {
    /// Whether nobody is left out.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.partner.is_none() && self.text.is_none()
    }

    /// Whether somebody with this key has a line. `name` is that of the partner, asked
    /// for where it matters.
    ///
    /// # Errors
    /// Those of `name`.
    pub fn takes<E>(
        &self,
        key: Option<&str>,
        partner: Option<&str>,
        name: impl FnOnce() -> Result<Option<String>, E>,
    ) -> Result<bool, E> {
        if self.partner.is_some() && self.partner.as_deref() != partner {
            return Ok(false);
        }
        let Some(text) = &self.text else {
            return Ok(true);
        };
        let told = |told: &str| match self.masked {
            true => mask_email(told).to_lowercase().contains(text),
            false => told.to_lowercase().contains(text),
        };
        let by_key = [key, partner].into_iter().flatten().any(told);
        Ok(by_key || name()?.as_deref().is_some_and(told))
    }
}

/// Which lines of a report there are to be.
#[derive(Clone, Debug)]
pub struct Lines {
    /// Whose.
    pub only: Only,
    /// How many of those.
    pub most: Most,
}

impl From<Most> for Lines {
    fn from(most: Most) -> Lines {
        Lines {
            only: Only::default(),
            most,
        }
    }
}
