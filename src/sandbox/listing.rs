//! A table of rows in order of their creation time, and the pages cut from it.
//! It knows nothing of what a row means; filters come from the caller.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use axum::extract::Query;
use http::Uri;

use super::answer::Refusal;

/// Rows on a page when `limit` is not sent. Documented.
const PAGE_ROWS: usize = 10;
/// Most rows on a page. Documented.
const PAGE_ROWS_MAX: usize = 250;

/// What a table needs to know of a row. Neither value may change later.
pub(super) trait Row {
    fn key(&self) -> &str;
    /// Epoch ms.
    fn created_at(&self) -> i64;
}

/// Rows by serial number, by key and by time. Rows are never removed.
pub(super) struct Table<T> {
    rows: Vec<T>,
    by_time: BTreeSet<(i64, usize)>,
    by_key: HashMap<String, Vec<usize>>,
}

/// What a list call asked for.
#[derive(Debug)]
pub(super) struct Listing {
    limit: usize,
    oldest_first: bool,
    starting_after: Option<String>,
    ending_before: Option<String>,
    min_created: Option<i64>,
    max_created: Option<i64>,
    filters: BTreeMap<String, String>,
}

/// One page, in list order.
pub(super) struct Page<'a, T> {
    pub rows: Vec<&'a T>,
    pub has_more: bool,
}

impl<T: Row> Table<T> {
    pub(super) fn new() -> Self {
        Self {
            rows: Vec::new(),
            by_time: BTreeSet::new(),
            by_key: HashMap::new(),
        }
    }

    /// Adds a row and returns its serial number.
    pub(super) fn push(&mut self, row: T) -> usize {
        let serial = self.rows.len();
        self.by_time.insert((row.created_at(), serial));
        self.by_key
            .entry(row.key().to_owned())
            .or_default()
            .push(serial);
        self.rows.push(row);
        serial
    }

    pub(super) fn rows(&self) -> &[T] {
        &self.rows
    }

    /// Every row, to be changed; neither the key nor the creation time may be.
    pub(super) fn rows_mut(&mut self) -> &mut [T] {
        &mut self.rows
    }

    /// The serial numbers of the rows with this key, oldest recorded first.
    pub(super) fn serials(&self, key: &str) -> &[usize] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    /// The first row recorded under this key.
    pub(super) fn first(&self, key: &str) -> Option<&T> {
        self.rows.get(*self.serials(key).first()?)
    }

    /// Cuts one page. A cursor whose key stands on several rows means the one
    /// that lets a walk through the list end, the last on the way.
    pub(super) fn page(
        &self,
        listing: &Listing,
        keep: impl Fn(&T) -> bool,
    ) -> Result<Page<'_, T>, Refusal> {
        let backwards = listing.ending_before.is_some();
        let upwards = listing.oldest_first != backwards;
        let mut low = (listing.min_created.unwrap_or(i64::MIN), 0);
        let mut high = (listing.max_created.unwrap_or(i64::MAX), usize::MAX);
        let cursor = listing
            .starting_after
            .as_ref()
            .or(listing.ending_before.as_ref());
        if let Some(key) = cursor {
            let places = self.serials(key).iter().filter_map(|serial| {
                let row = self.rows.get(*serial)?;
                Some((row.created_at(), *serial))
            });
            let place = if upwards { places.max() } else { places.min() };
            let (at, serial) =
                place.ok_or_else(|| Refusal::invalid(format!("{key:?} is no key of this list")))?;
            if upwards {
                low = low.max((at, serial + 1));
            } else {
                let below = match serial.checked_sub(1) {
                    Some(previous) => (at, previous),
                    None => (at.saturating_sub(1), usize::MAX),
                };
                high = high.min(below);
            }
        }
        if low > high {
            return Ok(Page {
                rows: Vec::new(),
                has_more: false,
            });
        }
        let kept = |place: &(i64, usize)| self.rows.get(place.1).filter(|row| keep(row));
        let range = self.by_time.range(low..=high);
        let wanted = listing.limit + 1;
        let mut rows: Vec<&T> = if upwards {
            range.filter_map(kept).take(wanted).collect()
        } else {
            range.rev().filter_map(kept).take(wanted).collect()
        };
        let has_more = rows.len() > listing.limit;
        rows.truncate(listing.limit);
        if backwards {
            rows.reverse();
        }
        Ok(Page { rows, has_more })
    }
}

impl Listing {
    /// Reads a query string. `filters` names the parameters this list knows
    /// besides the common ones; any other parameter is refused, because a
    /// misspelt filter that is ignored returns the wrong rows.
    pub(super) fn read(uri: &Uri, filters: &[&str]) -> Result<Self, Refusal> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Refusal::invalid(format!("the query is unreadable: {error}")))?;
        let mut given = BTreeMap::new();
        for (name, value) in pairs {
            if given.insert(name.clone(), value).is_some() {
                return Err(Refusal::invalid(format!("{name} is given twice")));
            }
        }
        let limit = match given.remove("limit") {
            None => PAGE_ROWS,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=PAGE_ROWS_MAX).contains(limit))
                .ok_or_else(|| {
                    Refusal::invalid(format!("limit: {text:?} is outside 1..{PAGE_ROWS_MAX}"))
                })?,
        };
        let oldest_first = match given.remove("order_by").as_deref() {
            None | Some("-created_at") => false,
            Some("created_at") => true,
            Some(other) => {
                return Err(Refusal::invalid(format!(
                    "order_by: {other:?} is neither created_at nor -created_at"
                )));
            }
        };
        let starting_after = given.remove("starting_after");
        let ending_before = given.remove("ending_before");
        if starting_after.is_some() && ending_before.is_some() {
            return Err(Refusal::invalid(
                "starting_after and ending_before are mutually exclusive",
            ));
        }
        let min_created = milliseconds("min_created", given.remove("min_created"))?;
        let max_created = milliseconds("max_created", given.remove("max_created"))?;
        if let Some(name) = given.keys().find(|name| !filters.contains(&name.as_str())) {
            return Err(Refusal::invalid(format!(
                "{name:?} is no filter of this list"
            )));
        }
        Ok(Self {
            limit,
            oldest_first,
            starting_after,
            ending_before,
            min_created,
            max_created,
            filters: given,
        })
    }

    /// The value of one of the list's own filters.
    pub(super) fn filter(&self, name: &str) -> Option<&str> {
        self.filters.get(name).map(String::as_str)
    }

    /// The value of a filter that is a time, epoch ms.
    pub(super) fn time(&self, name: &str) -> Result<Option<i64>, Refusal> {
        milliseconds(name, self.filters.get(name).cloned())
    }

    /// The value of a filter that is `true` or `false`; absent is `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.filter(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(Refusal::invalid(format!(
                "{name}: {other:?} is neither true nor false"
            ))),
        }
    }
}

fn milliseconds(name: &str, text: Option<String>) -> Result<Option<i64>, Refusal> {
    text.map(|text| {
        text.parse().map_err(|_| {
            Refusal::invalid(format!(
                "{name}: {text:?} is not a time in epoch milliseconds"
            ))
        })
    })
    .transpose()
}
