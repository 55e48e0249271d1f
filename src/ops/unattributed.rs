//! Payments without a customer, by what they wait for, as people ask for them. What
//! groups there are is the ledger's.

use serde::{Deserialize, Serialize};

use super::{FilterText, UsageError};
use crate::ledger::unattributed::{Group, Groups};
use crate::ledger::{Filter, Ledger, LedgerError};
use crate::lookup;
use crate::time::Time;

/// Which of them.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UnattributedText {
    /// A source's name.
    pub source: Option<String>,
    /// When the money moved, at or after.
    pub since: Option<String>,
    /// When the money moved, before.
    pub until: Option<String>,
    /// Where the payments go on.
    pub cursor: Option<String>,
}

impl UnattributedText {
    /// The filter.
    ///
    /// # Errors
    /// The first text that cannot be read, by its name.
    pub fn read(self, now: Time) -> Result<Filter, UsageError> {
        let text = FilterText {
            source: self.source,
            since: self.since,
            until: self.until,
            cursor: self.cursor,
            ..FilterText::default()
        };
        Ok(text.read(now, true)?.0)
    }
}

/// Groups of payments, as they are answered.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct UnattributedList {
    /// The group with the most payments first.
    pub items: Vec<Group>,
    /// Payments that they were made of: the newest.
    pub looked_at: u64,
    /// True where these were all; otherwise every figure is "at least".
    pub complete: bool,
    /// Groups of the payments that were not looked at, to be added to these.
    pub next_cursor: Option<String>,
}

impl From<Groups> for UnattributedList {
    fn from(groups: Groups) -> UnattributedList {
        UnattributedList {
            items: groups.items,
            looked_at: groups.looked_at,
            complete: groups.next_cursor.is_none(),
            next_cursor: groups.next_cursor.map(|cursor| cursor.to_string()),
        }
    }
}

/// The groups; `plain` shows email addresses in full.
///
/// # Errors
/// As the ledger's.
pub async fn unattributed(
    ledger: &Ledger,
    filter: Filter,
    plain: bool,
) -> Result<UnattributedList, LedgerError> {
    let mut groups = ledger.unattributed(filter).await?;
    if !plain {
        let all = groups.items.iter_mut();
        for waited_for in all.flat_map(|group| &mut group.waited_for) {
            waited_for.id = lookup::mask_email(&waited_for.id);
        }
    }
    Ok(groups.into())
}
