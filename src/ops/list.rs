//! Lists of payments as people ask for them: texts become a filter and a page, and
//! who may not see email addresses gets them masked. It looks for nothing itself.

use serde::{Deserialize, Serialize};

use super::{UsageError, mask_payment};
use crate::ledger::book::{STATES, State};
use crate::ledger::story::PaymentView;
use crate::ledger::{Cursor, Filter, Ledger, LedgerError, Search};
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, Time};

/// Payments on one page of a list, unless asked otherwise.
pub const PAGE: usize = 50;

/// Payments on one page at most: an answer stays under a megabyte.
pub const PAGE_MOST: usize = 1_000;

/// The longest text to search for: as long as the ids that are stored.
const SEARCH_MOST_CHARS: usize = 255;

/// A filter as people write it.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FilterText {
    /// A state's word.
    pub state: Option<String>,
    /// A source's name.
    pub source: Option<String>,
    /// A provider's name.
    pub provider: Option<String>,
    /// The beginning of an id or of a customer key.
    pub q: Option<String>,
    /// A customer key.
    #[serde(alias = "customer")]
    pub customer_key: Option<String>,
    /// When the money moved, at or after.
    pub since: Option<String>,
    /// When the money moved, before.
    pub until: Option<String>,
    /// Where the page starts.
    pub cursor: Option<String>,
    /// How many.
    pub limit: Option<String>,
}

impl FilterText {
    /// The filter and the page's length; `plain` as in [`Search`].
    ///
    /// # Errors
    /// The first text that cannot be read, by its name.
    pub fn read(&self, now: Time, plain: bool) -> Result<(Filter, usize), UsageError> {
        let state = self.state.as_deref().map(|word| {
            State::from_word(word).ok_or_else(|| {
                let words = STATES.map(State::word).join(", ");
                UsageError(format!("state: \"{word}\" is none of {words}"))
            })
        });
        let cursor = self.cursor.as_deref().map(|text| {
            text.parse::<Cursor>()
                .map_err(|error| UsageError(format!("cursor: {error}")))
        });
        let limit = page_length(self.limit.as_deref())?;
        let texts = [&self.source, &self.provider, &self.customer_key, &self.q];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            let why = "a filter holds the character U+0000, which is no part of a text";
            return Err(UsageError(why.to_owned()));
        }
        let filter = Filter {
            state: state.transpose()?,
            source: self.source.clone(),
            provider: self.provider.clone(),
            payment_id: None,
            customer: self.customer_key.clone(),
            search: self.search(plain)?,
            since: self
                .since
                .as_deref()
                .map(|text| moment("since", text, now))
                .transpose()?,
            until: self
                .until
                .as_deref()
                .map(|text| moment("until", text, now))
                .transpose()?,
            cursor: cursor.transpose()?,
        };
        Ok((filter, limit))
    }

    fn search(&self, plain: bool) -> Result<Option<Search>, UsageError> {
        let text = self.q.as_deref().map(str::trim).unwrap_or_default();
        match text.chars().count() {
            0 => Ok(None),
            1..=SEARCH_MOST_CHARS => Ok(Some(Search {
                text: text.to_owned(),
                plain,
            })),
            _ => Err(UsageError(format!(
                "q: no id is longer than {SEARCH_MOST_CHARS} characters"
            ))),
        }
    }

    /// True where nothing narrows the payments down.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let FilterText {
            state,
            source,
            provider,
            q,
            customer_key,
            since,
            until,
            cursor: _,
            limit: _,
        } = self;
        [state, source, provider, q, customer_key, since, until]
            .iter()
            .all(|text| text.is_none())
    }
}

/// Why nothing is listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The request makes no sense.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The ledger's.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// How many on one page.
///
/// # Errors
/// Where it is no number, or one too great.
pub fn page_length(text: Option<&str>) -> Result<usize, UsageError> {
    match text.map(str::parse::<usize>) {
        None => Ok(PAGE),
        Some(Ok(limit)) if (1..=PAGE_MOST).contains(&limit) => Ok(limit),
        Some(_) => Err(UsageError(format!(
            "limit: write a number from 1 to {PAGE_MOST}"
        ))),
    }
}

/// A point in time as people write it: RFC 3339, a date, or `7d`, `12h`, `30m` ago.
///
/// # Errors
/// With the name of what was read.
pub fn moment(name: &str, text: &str, now: Time) -> Result<Time, UsageError> {
    let units = [('d', DAY_MS), ('h', HOUR_MS), ('m', MINUTE_MS)];
    for (unit, ms) in units {
        if let Some(number) = text.strip_suffix(unit)
            && let Ok(count) = number.parse::<u32>()
        {
            return Ok(now.plus(-i64::from(count).saturating_mul(ms)));
        }
    }
    Time::parse(text).map_err(|error| UsageError(format!("{name}: {error}, or 7d for days ago")))
}

/// A page of payments, as it is answered.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct PaymentList {
    /// By when the money moved, newest first.
    pub items: Vec<PaymentView>,
    /// Where the next page starts; null at the end.
    pub next_cursor: Option<String>,
    /// The page of newer ones; null on the first.
    pub previous_cursor: Option<String>,
    /// True where more begin like what was searched for than were looked at, so that
    /// some may be missing.
    pub cut: bool,
}

/// A page of payments; `plain` shows email addresses in full.
///
/// # Errors
/// As the ledger's.
pub async fn payments(
    ledger: &Ledger,
    filter: Filter,
    limit: usize,
    plain: bool,
) -> Result<PaymentList, LedgerError> {
    let mut page = ledger.payments(filter, limit).await?;
    if !plain {
        page.items.iter_mut().for_each(mask_payment);
    }
    let text = |cursor: Option<Cursor>| cursor.map(|it| it.to_string());
    Ok(PaymentList {
        next_cursor: text(page.next_cursor),
        previous_cursor: text(page.previous_cursor),
        cut: page.cut,
        items: page.items,
    })
}
