//! Links as people and programs ask for them: making one, trying one, and those of a
//! source in pages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::{ListError, UsageError, page_length};
use crate::ledger::what_if::{Moved, MovedSum, NotLinked, WhatIf};
use crate::ledger::{Ledger, LedgerError, LinkPlace, LinkView, NewLink, Word};
use crate::lookup;

/// Links tried in one transaction: intake waits no longer than for so many.
const TRIED_AT_ONCE: usize = 20;

/// Payments told one by one where links are tried; the sums hold all of them.
const MOVED_TOLD_MOST: usize = 1_000;

/// Adds a link; answers the link and how many payments were looked at again.
///
/// # Errors
/// As the ledger's.
pub async fn link(
    ledger: &Ledger,
    link: NewLink,
    word: Word,
) -> Result<(LinkView, bool, usize), LedgerError> {
    let linked = ledger.link(link, word).await?;
    Ok((linked.link, linked.changed, linked.payments))
}

/// What links would do.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct LinkDryRun {
    /// Links that are not so already.
    pub changed: usize,
    /// Links that would be refused, each with its reason.
    pub refused: Vec<NotLinked>,
    /// Payments that would be looked at again.
    pub payments: usize,
    /// Payments beyond those that wait for the same id: they would go on one by one
    /// as their turn comes, so "payments" is then "at least".
    pub not_looked_at: usize,
    /// All payments looked at, by how they would move.
    pub sums: Vec<MovedSum>,
    /// The first of them one by one.
    pub items: Vec<Moved>,
}

impl From<WhatIf> for LinkDryRun {
    fn from(what_if: WhatIf) -> LinkDryRun {
        let sums = what_if.sums();
        let mut items = what_if.payments;
        let payments = items.len();
        items.truncate(MOVED_TOLD_MOST);
        LinkDryRun {
            changed: what_if.changed,
            refused: what_if.refused,
            payments,
            not_looked_at: what_if.not_looked_at,
            sums,
            items,
        }
    }
}

impl LinkDryRun {
    /// Hides email addresses.
    pub fn mask(&mut self) {
        let hide = |text: &mut Option<String>| *text = text.as_deref().map(lookup::mask_email);
        for item in &mut self.items {
            hide(&mut item.customer_before);
            hide(&mut item.customer_after);
            item.reason = item.reason.as_deref().map(super::mask_words);
        }
        self.sums
            .iter_mut()
            .for_each(|it| hide(&mut it.customer_key));
    }

    /// Leaves only how many payments would move and where to: who links need not
    /// read money.
    pub fn leave_counts(&mut self) {
        self.items.clear();
        self.sums.iter_mut().for_each(|sum| sum.net = None);
    }
}

/// What links would do, one after the other; nothing of it is kept. Of many, every
/// twenty are tried by themselves, so that a payment which two links of different
/// parts concern is told twice.
///
/// # Errors
/// As the ledger's.
pub async fn link_dry_run(
    ledger: &Ledger,
    links: Vec<NewLink>,
    word: Word,
) -> Result<LinkDryRun, LedgerError> {
    let mut what_if = WhatIf::default();
    for part in links.chunks(TRIED_AT_ONCE) {
        let tried = ledger.link_dry_run(part.to_vec(), word.clone()).await?;
        what_if.merge(tried);
    }
    Ok(what_if.into())
}

/// A page of a source's links, as it is answered.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct LinkList {
    /// By their ids; of one id the link that counts first.
    pub items: Vec<LinkView>,
    /// Where the next page starts; null at the end.
    pub next_cursor: Option<String>,
}

/// A page of a source's links.
///
/// # Errors
/// [`UsageError`] for a cursor or a length that is none, else as the ledger's.
pub async fn links(
    ledger: &Ledger,
    source: &str,
    cursor: Option<&str>,
    limit: Option<&str>,
) -> Result<LinkList, ListError> {
    let limit = page_length(limit)?;
    let after = cursor.map(read_cursor).transpose()?;
    let (items, next) = ledger.links_of(source, after, limit).await?;
    Ok(LinkList {
        items,
        next_cursor: next.as_ref().map(write_cursor),
    })
}

/// A place as one word: an id may hold any character.
fn write_cursor(place: &LinkPlace) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

fn read_cursor(text: &str) -> Result<LinkPlace, UsageError> {
    let not_ours = || UsageError("cursor: not one of ours".to_owned());
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| not_ours())?;
    serde_json::from_slice(&bytes).map_err(|_| not_ours())
}
