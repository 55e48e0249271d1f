//! Reading payments out, page by page with all that was stated about them: in the
//! order of their rows, so that none is missed, or in that of lists.

use std::collections::BTreeSet;

use crate::ledger::sql::{Row as SqlRow, params};

use super::list::Order;
use super::tx::Tx;
use super::{LedgerError, Store};
use crate::ledger::export::{ExportColumns, ExportPage, Exported, Named};
use crate::ledger::list::{Cursor, Filter, Place};
use crate::movement::Scope;

/// Payments on one page: a snapshot is held no longer than that takes.
const PAGE: usize = 500;

/// Payments whose columns are looked for in one snapshot.
const COLUMNS_PAGE: usize = 2_000;

/// What ends the field of a clue that was made from another one by a rule.
const PART: char = '~';

impl Store {
    /// As [`crate::ledger::Ledger::export_columns`].
    pub(in crate::ledger) async fn export_columns(
        &self,
        filter: Filter,
    ) -> Result<ExportColumns, LedgerError> {
        self.read(move |tx| tx.export_columns(&filter)).await
    }

    /// As [`crate::ledger::Ledger::export`].
    pub(in crate::ledger) async fn export(
        &self,
        filter: Filter,
        after: i64,
    ) -> Result<ExportPage, LedgerError> {
        self.read(move |tx| tx.export(&filter, after)).await
    }

    /// As [`crate::ledger::Ledger::columns_shown`].
    pub(in crate::ledger) async fn columns_shown(
        &self,
        filter: Filter,
    ) -> Result<(ExportColumns, Option<Cursor>), LedgerError> {
        self.read(move |tx| tx.columns_shown(&filter)).await
    }

    /// As [`crate::ledger::Ledger::export_shown`].
    pub(in crate::ledger) async fn export_shown(
        &self,
        filter: Filter,
    ) -> Result<(Vec<Exported>, Option<Cursor>), LedgerError> {
        self.read(move |tx| tx.export_shown(&filter)).await
    }
}

/// The columns of a [`Head`].
const HEAD: &str = "payment, payment_id, reference, live, scope,
     CASE customer_by WHEN 'key' THEN customer END";

/// A payment's own columns of an export.
struct Head {
    payment: i64,
    payment_id: String,
    reference: bool,
    live: Option<bool>,
    scope: String,
    customer_key: Option<String>,
}

fn read_head(row: &SqlRow<'_>) -> Result<Head, LedgerError> {
    Ok(Head {
        payment: row.get(0)?,
        payment_id: row.get(1)?,
        reference: row.get(2)?,
        live: row.get(3)?,
        scope: row.get(4)?,
        customer_key: row.get(5)?,
    })
}

impl Tx<'_> {
    fn export_columns(&self, filter: &Filter) -> Result<ExportColumns, LedgerError> {
        let (condition, values) = self.condition(filter)?;
        let sql = format!(
            "SELECT DISTINCT field FROM clues JOIN payments USING (payment)
             WHERE {condition} ORDER BY field"
        );
        let mut clues: Vec<String> = self.all(&sql, values.as_slice(), |row| row.get(0))?;
        // They are made again from the clue itself.
        clues.retain(|field| !field.ends_with(PART));
        let sql = format!(
            "SELECT DISTINCT kind, money FROM aliases JOIN payments USING (payment)
             WHERE {condition} ORDER BY kind, money"
        );
        let aliases = self.all(&sql, values.as_slice(), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        Ok(ExportColumns { clues, aliases })
    }

    fn export(&self, filter: &Filter, after: i64) -> Result<ExportPage, LedgerError> {
        let (condition, values) = self.condition(filter)?;
        // By the row alone: another index would have to be sorted.
        let sql = format!(
            "SELECT {HEAD} FROM payments NOT INDEXED
             WHERE payment > {after} AND {condition} ORDER BY payment LIMIT {PAGE}"
        );
        let heads = self.all(&sql, values.as_slice(), read_head)?;
        let next = heads
            .last()
            .filter(|_| heads.len() == PAGE)
            .map(|head| head.payment);
        let payments: Result<Vec<Exported>, LedgerError> =
            heads.into_iter().map(|head| self.exported(head)).collect();
        Ok(ExportPage {
            payments: payments?,
            next,
        })
    }

    fn export_shown(
        &self,
        filter: &Filter,
    ) -> Result<(Vec<Exported>, Option<Cursor>), LedgerError> {
        let (places, next) = self.shown(filter, PAGE)?;
        let sql = format!("SELECT {HEAD} FROM payments WHERE payment = ?1");
        let mut payments = Vec::with_capacity(places.len());
        for place in places {
            if let Some(head) = self.one(&sql, [place.payment], read_head)? {
                payments.push(self.exported(head)?);
            }
        }
        Ok((payments, next))
    }

    fn columns_shown(
        &self,
        filter: &Filter,
    ) -> Result<(ExportColumns, Option<Cursor>), LedgerError> {
        let (places, next) = self.shown(filter, COLUMNS_PAGE)?;
        let (mut clues, mut aliases) = (BTreeSet::new(), BTreeSet::new());
        for place in places {
            let fields = "SELECT field FROM clues WHERE payment = ?1";
            clues.extend(self.all(fields, [place.payment], |row| row.get::<_, String>(0))?);
            let kinds = "SELECT kind, money FROM aliases WHERE payment = ?1";
            aliases.extend(self.all(kinds, [place.payment], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))
            })?);
        }
        clues.retain(|field| !field.ends_with(PART));
        let columns = ExportColumns {
            clues: clues.into_iter().collect(),
            aliases: aliases.into_iter().collect(),
        };
        Ok((columns, next))
    }

    /// A page in the order of lists, and where the next one begins.
    fn shown(
        &self,
        filter: &Filter,
        length: usize,
    ) -> Result<(Vec<Place>, Option<Cursor>), LedgerError> {
        let mut places = self.listed(filter, length + 1, Order::NewestFirst)?.places;
        let more = places.len() > length;
        places.truncate(length);
        let next = places.last().filter(|_| more).copied().map(Cursor::after);
        Ok((places, next))
    }

    fn exported(&self, head: Head) -> Result<Exported, LedgerError> {
        let facts = self.facts(head.payment)?;
        let mut clues = self.all(
            "SELECT field, value, version FROM clues WHERE payment = ?1 ORDER BY field",
            [head.payment],
            |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, i64>(2)?)),
        )?;
        clues.retain(|(field, ..)| !field.ends_with(PART));
        let clue_version = clues.iter().map(|(_, _, version)| *version).max();
        let aliases: BTreeSet<(String, bool, String)> = self
            .all(
                "SELECT kind, money, id FROM aliases WHERE payment = ?1",
                [head.payment],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )?
            .into_iter()
            .collect();
        let named = match head.reference {
            false => Named::Payment(head.payment_id),
            true => {
                let stated: Option<(String, String)> = self.one(
                    "SELECT ref_kind, ref_id FROM facts
                     WHERE payment = ?1 AND ref_kind IS NOT NULL LIMIT 1",
                    params![head.payment],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )?;
                let (kind, id) = stated.unwrap_or_default();
                Named::Reference(kind, id)
            }
        };
        Ok(Exported {
            named,
            live: head.live,
            account: Scope::from_word(&head.scope).account,
            customer_key: head.customer_key,
            facts,
            clues: clues.into_iter().map(|(f, v, _)| (f, v)).collect(),
            clue_version,
            aliases: aliases.into_iter().collect(),
        })
    }
}
