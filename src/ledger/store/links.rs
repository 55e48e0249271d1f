//! Links: by a feed's word, and by a person's or the API's.
//!
//! A person's stand under the empty scope and beat what a feed says. Whatever
//! waited for a link goes on in the transaction that adds it.

use std::collections::BTreeSet;

use crate::ledger::sql::{Row as SqlRow, params};

use super::record::{Origin, Place};
use super::tx::Tx;
use super::values::BY_VALUE;
use super::{LedgerError, Store};
use crate::ledger::texts::{holds_nul, refuse_nul};
use crate::ledger::{Decision, LinkPlace, LinkView, Linked, NewLink, Word};
use crate::lookup::CUSTOMER_KEY_MOST_CHARS;
use crate::movement::Link;
use crate::time::Time;

/// Payments folded in the transaction that adds a link.
const RELEASED_AT_ONCE: u16 = 500;

impl Store {
    /// As [`crate::ledger::Ledger::link`].
    pub(in crate::ledger) async fn link(
        &self,
        link: NewLink,
        word: Word,
    ) -> Result<Linked, LedgerError> {
        refuse_nul([
            ("the kind", link.kind.as_str()),
            ("the external id", &link.external_id),
            ("the customer key", &link.customer_key),
            ("the reason", &word.why),
        ])?;
        self.write(move |tx| Ok(tx.link(&link, &word)?.0)).await
    }

    /// As [`crate::ledger::Ledger::unlink`].
    pub(in crate::ledger) async fn unlink(
        &self,
        source: &str,
        kind: &str,
        external_id: &str,
        word: Word,
    ) -> Result<usize, LedgerError> {
        if holds_nul(kind) || holds_nul(external_id) {
            return Err(LedgerError::NotFound("there is no such link".to_owned()));
        }
        let (source, kind, id) = (source.to_owned(), kind.to_owned(), external_id.to_owned());
        self.write(move |tx| tx.unlink(&source, &kind, &id, &word))
            .await
    }

    /// As [`crate::ledger::Ledger::links`].
    pub(in crate::ledger) async fn links(
        &self,
        source: &str,
        kind: &str,
        external_id: &str,
    ) -> Result<Vec<LinkView>, LedgerError> {
        if holds_nul(kind) || holds_nul(external_id) {
            return Err(LedgerError::NotFound("there is no such link".to_owned()));
        }
        let (source, kind, id) = (source.to_owned(), kind.to_owned(), external_id.to_owned());
        self.read(move |tx| tx.links(&source, &kind, &id)).await
    }

    /// As [`crate::ledger::Ledger::links_of`].
    pub(in crate::ledger) async fn links_of(
        &self,
        source: &str,
        after: Option<LinkPlace>,
        limit: usize,
    ) -> Result<(Vec<LinkView>, Option<LinkPlace>), LedgerError> {
        let source = source.to_owned();
        self.read(move |tx| tx.links_of(&source, after, limit))
            .await
    }
}

impl Tx<'_> {
    /// A link by a feed's word, under the feed's scope. True where it is news.
    pub(super) fn add_feed_link(
        &self,
        place: Place<'_>,
        link: &Link,
        origin: Origin<'_>,
        touched: &mut BTreeSet<i64>,
    ) -> Result<bool, LedgerError> {
        let scope = place.scope.word();
        let before: Option<Option<String>> = self.one(
            "SELECT customer FROM links
             WHERE external_id = ?1 AND kind = ?2 AND source = ?3 AND scope = ?4",
            params![link.external_id, link.kind, place.source_row, scope],
            |row| row.get(0),
        )?;
        let newer = self.run(
            "INSERT INTO links (source, kind, external_id, scope, customer, version, said_by, said_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'feed', ?7)
             ON CONFLICT (external_id, kind, source, scope) DO UPDATE
             SET customer = excluded.customer, version = excluded.version,
                 said_by = excluded.said_by, said_at = excluded.said_at
             WHERE (excluded.version, excluded.customer) > (links.version, coalesce(links.customer, ''))",
            params![
                place.source_row,
                link.kind,
                link.external_id,
                scope,
                link.customer_key,
                link.version,
                origin.said_at.ms(),
            ],
        )?;
        // The same word again moves nobody.
        if newer > 0 && before.flatten().as_ref() != Some(&link.customer_key) {
            self.link_arrived(place.source_row, &link.kind, &link.external_id)?;
            self.release_waiting(place.source_row, &link.kind, &link.external_id, touched)?;
        }
        Ok(newer > 0)
    }

    /// Payments that a link of this id concerns and that are not forwarded yet
    /// are folded again. Where there are very many, those beyond the first are
    /// only marked due: each is folded before it is called, and intake must not
    /// wait for all of them. Answers about how many those are.
    pub(super) fn release_waiting(
        &self,
        source_row: i64,
        kind: &str,
        external_id: &str,
        touched: &mut BTreeSet<i64>,
    ) -> Result<usize, LedgerError> {
        self.put_values_in()?;
        let waiting = format!(
            "SELECT payment FROM {BY_VALUE} JOIN payments USING (payment)
             WHERE value = ?1 AND field IN (?2, ?5) AND source = ?3 AND frozen = 0
                   AND state <> 'ignored'
             LIMIT ?4"
        );
        let waiting: Vec<i64> = self.all(
            &waiting,
            params![
                external_id,
                kind,
                source_row,
                RELEASED_AT_ONCE + 1,
                part_of(kind)
            ],
            |row| row.get(0),
        )?;
        let mut marked = 0;
        if waiting.len() > usize::from(RELEASED_AT_ONCE) {
            let mark = format!(
                "UPDATE payments SET state = 'due', turn = 1, due_at = ?4, due_since = ?4, reason = NULL
                 WHERE source = ?3 AND frozen = 0 AND state = 'unattributed' AND payment IN
                       (SELECT payment FROM {BY_VALUE} WHERE value = ?1 AND field IN (?2, ?5))"
            );
            marked = self.run(
                &mark,
                params![external_id, kind, source_row, self.now.ms(), part_of(kind)],
            )?;
        }
        let folded = waiting.len();
        touched.extend(waiting);
        Ok(marked.saturating_sub(folded))
    }

    /// Adds a link; answers also which payments were looked at again.
    pub(super) fn link(
        &self,
        link: &NewLink,
        word: &Word,
    ) -> Result<(Linked, BTreeSet<i64>), LedgerError> {
        check(link)?;
        let source_row = self.source_row(&link.source)?;
        let before = self
            .links(&link.source, &link.kind, &link.external_id)?
            .into_iter()
            .find(|before| before.by_word);
        if let Some(before) = before.as_ref().filter(|_| !link.replace) {
            refuse_conflict(before, link)?;
        }
        let same = before.as_ref().is_some_and(|before| {
            before.customer_key.as_ref() == Some(&link.customer_key)
                && (link.amount.is_none() || before.amount == link.amount.map(|(minor, _)| minor))
        });
        let (amount, currency) = link.amount.unzip();
        self.queue(
            "INSERT INTO links (source, kind, external_id, scope, customer, version, amount,
                 currency, said_by, said_at)
             VALUES (?1, ?2, ?3, '', ?4, 0, ?5, ?6, ?7, ?8)
             ON CONFLICT (external_id, kind, source, scope) DO UPDATE
             SET customer = excluded.customer,
                 amount = coalesce(excluded.amount, links.amount),
                 currency = coalesce(excluded.currency, links.currency),
                 said_by = CASE WHEN links.customer IS NOT DISTINCT FROM excluded.customer
                           THEN links.said_by ELSE excluded.said_by END,
                 said_at = CASE WHEN links.customer IS NOT DISTINCT FROM excluded.customer
                           THEN links.said_at ELSE excluded.said_at END",
            params![
                source_row,
                link.kind,
                link.external_id,
                link.customer_key,
                amount,
                currency.map(|currency| currency.code().to_owned()),
                word.who,
                word.at.ms(),
            ],
        )?;
        let (mut touched, mut marked) = (BTreeSet::new(), 0);
        if !same {
            self.link_arrived(source_row, &link.kind, &link.external_id)?;
            marked =
                self.release_waiting(source_row, &link.kind, &link.external_id, &mut touched)?;
        }
        if link.move_forwarded {
            touched.extend(self.move_forwarded(source_row, link, word)?);
        }
        self.fold_all(&touched)?;
        let view = self
            .links(&link.source, &link.kind, &link.external_id)?
            .into_iter()
            .next();
        let linked = Linked {
            changed: !same,
            payments: touched.len(),
            marked,
            link: view.ok_or_else(|| LedgerError::NotFound("the link is gone".to_owned()))?,
        };
        Ok((linked, touched))
    }

    /// Writes the decision to move money already forwarded under another key.
    fn move_forwarded(
        &self,
        source_row: i64,
        link: &NewLink,
        word: &Word,
    ) -> Result<Vec<i64>, LedgerError> {
        self.put_values_in()?;
        let forwarded = format!(
            "SELECT payment FROM {BY_VALUE} JOIN payments USING (payment)
             WHERE value = ?1 AND field IN (?2, ?5) AND source = ?3 AND frozen = 1
                   AND customer <> ?4"
        );
        let forwarded: Vec<i64> = self.all(
            &forwarded,
            params![
                link.external_id,
                link.kind,
                source_row,
                link.customer_key,
                part_of(&link.kind)
            ],
            |row| row.get(0),
        )?;
        let decision = Decision::Move {
            customer: link.customer_key.clone(),
        };
        // A payment that says itself whose it is was not found by this link.
        let rule = format!("link:{}", link.kind);
        let by_this = |tried: &str| {
            tried
                .strip_prefix(rule.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(" ~ "))
        };
        let mut by_link = Vec::new();
        for payment in forwarded {
            let tried = self.look(payment)?.standing.finding.tried;
            if tried.last().is_some_and(|tried| by_this(&tried.rule)) {
                by_link.push(payment);
            }
        }
        for payment in &by_link {
            self.write_decision(*payment, &decision, word)?;
        }
        Ok(by_link)
    }

    fn unlink(
        &self,
        source: &str,
        kind: &str,
        external_id: &str,
        word: &Word,
    ) -> Result<usize, LedgerError> {
        let source_row = self.source_row(source)?;
        let by_word = self.run(
            "DELETE FROM links WHERE external_id = ?1 AND kind = ?2 AND source = ?3 AND scope = ''
               AND customer IS NOT NULL",
            params![external_id, kind, source_row],
        )?;
        if by_word == 0 {
            // A feed's link stays on the page, without a customer, so that the
            // same statement does not bring it back; a newer one does.
            let by_feed = self.run(
                "UPDATE links SET customer = NULL, said_by = ?4, said_at = ?5
                 WHERE external_id = ?1 AND kind = ?2 AND source = ?3 AND customer IS NOT NULL",
                params![external_id, kind, source_row, word.who, word.at.ms()],
            )?;
            if by_feed == 0 {
                return Err(LedgerError::NotFound(format!(
                    "{source} has no link for {kind} {external_id}"
                )));
            }
        }
        let mut touched = BTreeSet::new();
        self.release_waiting(source_row, kind, external_id, &mut touched)?;
        self.fold_all(&touched)?;
        Ok(touched.len())
    }

    pub(super) fn links(
        &self,
        source: &str,
        kind: &str,
        external_id: &str,
    ) -> Result<Vec<LinkView>, LedgerError> {
        let source_row = self.source_row(source)?;
        let sql = format!(
            "SELECT {LINK} FROM links WHERE external_id = ?1 AND kind = ?2 AND source = ?3
             ORDER BY scope"
        );
        self.all(&sql, params![external_id, kind, source_row], |row| {
            Ok(read_link(source, row)?.0)
        })
    }

    fn links_of(
        &self,
        source: &str,
        after: Option<LinkPlace>,
        limit: usize,
    ) -> Result<(Vec<LinkView>, Option<LinkPlace>), LedgerError> {
        let source_row = self.source_row(source)?;
        // No id is empty, so that every link sorts behind this one.
        let after = after.unwrap_or(LinkPlace {
            external_id: String::new(),
            kind: String::new(),
            scope: String::new(),
        });
        let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let LinkPlace {
            external_id,
            kind,
            scope,
        } = after;
        let values = params![source_row, external_id, kind, scope, one_more];
        let mut links = self.all(&links_of(), values, |row| read_link(source, row))?;
        let more = links.len() > limit;
        links.truncate(limit);
        let next = links
            .last()
            .filter(|_| more)
            .map(|(_, place)| place.clone());
        Ok((links.into_iter().map(|(link, _)| link).collect(), next))
    }
}

/// The columns of a link, in the order of [`read_link`].
const LINK: &str = "customer, amount, currency, said_by, said_at, scope, kind, external_id";

/// The links of a source behind one of them.
pub(super) fn links_of() -> String {
    format!(
        "SELECT {LINK} FROM links INDEXED BY links_by_source
         WHERE source = ?1 AND (external_id, kind, scope) > (?2, ?3, ?4)
         ORDER BY external_id, kind, scope LIMIT ?5"
    )
}

fn read_link(source: &str, row: &SqlRow<'_>) -> Result<(LinkView, LinkPlace), LedgerError> {
    let currency: Option<String> = row.get(2)?;
    let place = LinkPlace {
        scope: row.get(5)?,
        kind: row.get(6)?,
        external_id: row.get(7)?,
    };
    let said_by: String = row.get(3)?;
    let view = LinkView {
        source: source.to_owned(),
        kind: place.kind.clone(),
        external_id: place.external_id.clone(),
        customer_key: row.get(0)?,
        amount: row.get(1)?,
        by_word: place.scope.is_empty(),
        currency: currency.and_then(|code| code.parse().ok()),
        said_by: match place.scope.as_str() {
            "" => said_by,
            scope => format!("{said_by} ({scope})"),
        },
        said_at: Time(row.get(4)?).to_string(),
    };
    Ok((view, place))
}

/// A customer or an amount that was said before is not replaced in passing.
fn refuse_conflict(before: &LinkView, link: &NewLink) -> Result<(), LedgerError> {
    if let Some(owner) = &before.customer_key
        && *owner != link.customer_key
    {
        return Err(LedgerError::Refused(format!(
            "{} {} already belongs to the customer {owner}; unlink it first",
            link.kind, link.external_id
        )));
    }
    if let (Some(amount), Some((said, currency))) = (before.amount, link.amount)
        && (amount != said || before.currency != Some(currency))
    {
        let known = before
            .currency
            .map_or(amount.to_string(), |it| it.show(amount));
        return Err(LedgerError::Refused(format!(
            "{} {} was linked with {known}; unlink it first",
            link.kind, link.external_id
        )));
    }
    Ok(())
}

/// The longest external id that is stored; every provider's are far shorter.
const EXTERNAL_ID_MOST_CHARS: usize = 255;

fn check(link: &NewLink) -> Result<(), LedgerError> {
    let refuse = |what: &str, most: usize| {
        Err(LedgerError::Refused(format!(
            "{what} must have 1 to {most} characters"
        )))
    };
    let fits = |text: &str, most: usize| (1..=most).contains(&text.trim().chars().count());
    if !fits(&link.customer_key, CUSTOMER_KEY_MOST_CHARS) {
        return refuse("the customer key", CUSTOMER_KEY_MOST_CHARS);
    }
    if !fits(&link.external_id, EXTERNAL_ID_MOST_CHARS) || !fits(&link.kind, EXTERNAL_ID_MOST_CHARS)
    {
        return refuse("the kind and the external id", EXTERNAL_ID_MOST_CHARS);
    }
    match link.amount {
        Some((amount, _)) if amount < 0 => Err(LedgerError::Refused(
            "the amount must not be negative".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// The field under which the part of a value stands that a patterned rule asks
/// for a link of `kind` with. No provider's field holds a tilde.
pub(super) fn part_of(kind: &str) -> String {
    format!("{kind}~")
}
