//! Which payments of a batch nothing in the ledger can concern, asked of many at a
//! time: one statement for a hundred ids costs a fraction of a hundred statements.
//!
//! It answers by ids alone, without their kinds and scopes, so it may call somebody
//! known who is not; whoever is called known is then looked at one by one.

use std::collections::HashSet;
use std::iter::repeat_n;

use super::LedgerError;
use super::newcomers::GATEWAY;
use super::record::Place;
use super::tx::{Conn, Tx};
use crate::destination;
use crate::ledger::sql::{Kind, Row, Value};
use crate::movement::Alias;

/// Ids that one statement asks for: a statement is kept prepared, so there are few of
/// them, and the last places are filled up with NULL.
const ASKED_AT_ONCE: [usize; 3] = [128, 16, 2];

/// Payments by their ids.
const PAYMENTS: &str = "SELECT payment_id FROM payments WHERE source = ?1 AND payment_id";
/// Other payments with the same money.
const ALIASES: &str = "SELECT id FROM aliases WHERE ?1 > 0 AND money = 1 AND id";
/// The same, told by a billing system.
const GATEWAYS: &str = "SELECT id FROM aliases INDEXED BY aliases_gateway
    WHERE ?1 > 0 AND kind = 'gateway' AND id";
/// Reversals that wait for one of the ids.
const REFERENCES: &str = "SELECT ref_id FROM facts INDEXED BY facts_by_reference
    WHERE ?1 > 0 AND ref_id IS NOT NULL AND ref_id";
/// Stand-ins for a payment by one of the ids.
const STAND_INS: &str = "SELECT payment_id FROM payments INDEXED BY payments_stand_ins
    WHERE source = ?1 AND reference = 1 AND payment_id";

/// Whether there is any of the last three at all, which in most ledgers there is not.
const ANY_GATEWAY: &str =
    "SELECT 1 FROM aliases INDEXED BY aliases_gateway WHERE kind = 'gateway' LIMIT 1";
const ANY_REFERENCE: &str =
    "SELECT 1 FROM facts INDEXED BY facts_by_reference WHERE ref_id IS NOT NULL LIMIT 1";
const ANY_STAND_IN: &str =
    "SELECT 1 FROM payments INDEXED BY payments_stand_ins WHERE reference = 1 LIMIT 1";

/// What the ledger holds of the ids of a batch.
pub(super) struct Known {
    payments: HashSet<String>,
    aliases: HashSet<String>,
    gateways: HashSet<String>,
    references: HashSet<String>,
    stand_ins: HashSet<String>,
}

/// What is known of a payment by its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acquaintance {
    /// It has a row.
    Known,
    /// Something may concern it.
    Perhaps,
    /// Nothing does.
    Stranger,
}

/// Payments that may be strangers, and all of their ids.
pub(super) struct Ids<'a> {
    pub source_row: i64,
    pub provider: &'a str,
    pub payments: Vec<&'a str>,
    pub aliases: Vec<&'a Alias>,
}

impl Tx<'_> {
    /// Asks for all ids of a batch.
    pub(super) fn known_of(&self, ids: &Ids<'_>) -> Result<Known, LedgerError> {
        let mut other_ids: Vec<&str> = ids.aliases.iter().map(|it| it.id.as_str()).collect();
        other_ids.sort_unstable();
        other_ids.dedup();
        let composed = |any: &str, compose: &dyn Fn(&Alias) -> String| {
            let any: Option<i64> = self.one(any, [], |row| row.get(0))?;
            Ok::<_, LedgerError>(match any {
                Some(_) => ids.aliases.iter().map(|it| compose(it)).collect(),
                None => Vec::new(),
            })
        };
        let provider = ids.provider;
        let gateways = composed(ANY_GATEWAY, &|alias| format!("{provider}:{}", alias.id))?;
        let references = composed(ANY_REFERENCE, &|alias| alias.id.clone())?;
        let stand_ins = composed(ANY_STAND_IN, &|alias| {
            format!("{}:{}", alias.kind, alias.id)
        })?;
        let first = |row: &Row<'_>| row.get::<_, String>(0);
        let among = |select: &str, asked: &[&str]| {
            let found = self.among(select, ids.source_row, asked, first)?;
            Ok::<_, LedgerError>(found.into_iter().collect())
        };
        let whole = |composed: &[String], select: &str| {
            let asked: Vec<&str> = composed.iter().map(String::as_str).collect();
            among(select, &asked)
        };
        Ok(Known {
            payments: among(PAYMENTS, &ids.payments)?,
            aliases: among(ALIASES, &other_ids)?,
            gateways: whole(&gateways, GATEWAYS)?,
            references: whole(&references, REFERENCES)?,
            stand_ins: whole(&stand_ins, STAND_INS)?,
        })
    }

    /// What is known of a payment. Whoever only may be known is looked at by itself.
    pub(super) fn acquaintance(
        &self,
        place: Place<'_>,
        payment_id: &str,
        aliases: &[&Alias],
        known: &Known,
    ) -> Result<Acquaintance, LedgerError> {
        let names = (place.source, self.terms(place.source)?.provider.as_str());
        let by_ids = known.acquaintance(names, payment_id, aliases);
        if by_ids != Acquaintance::Perhaps {
            return Ok(by_ids);
        }
        Ok(match self.is_newcomer(place, payment_id, aliases)? {
            true => Acquaintance::Stranger,
            false => Acquaintance::Perhaps,
        })
    }

    /// What a statement finds by any of `ids`, so many at a time. It ends where the id is
    /// to be compared, and its first value is the source.
    pub(super) fn among<T>(
        &self,
        select: &str,
        source_row: i64,
        ids: &[&str],
        mut read: impl FnMut(&Row<'_>) -> Result<T, LedgerError>,
    ) -> Result<Vec<T>, LedgerError> {
        let mut found = Vec::new();
        for asked in ids.chunks(ASKED_AT_ONCE[0]) {
            let fitting = ASKED_AT_ONCE
                .iter()
                .rev()
                .find(|many| **many >= asked.len());
            let many = fitting.copied().unwrap_or(ASKED_AT_ONCE[0]);
            let sql = self.conn.by_any(select, many);
            let asked_for = asked.iter().map(|id| Value::Text(id));
            let rest = repeat_n(Value::Absent(Kind::Text), many - asked.len());
            let source = std::iter::once(Value::Int(source_row));
            let values: Vec<Value<'_>> = source.chain(asked_for).chain(rest).collect();
            found.extend(self.all(&sql, values.as_slice(), &mut read)?);
        }
        Ok(found)
    }
}

impl Conn<'_> {
    /// The statement for so many ids. A server is told to look each of them up: left to
    /// itself it compares all rows of a table of which it knows nothing yet.
    fn by_any(self, select: &str, many: usize) -> String {
        match self {
            Conn::Sqlite(_) => {
                let places = repeat_n("?", many).collect::<Vec<_>>().join(",");
                format!("{select} IN ({places})")
            }
            Conn::Postgres(_) => {
                let places: Vec<String> = (2..many + 2).map(|at| format!("(?{at})")).collect();
                format!(
                    "SELECT found.* FROM (VALUES {}) AS asked (id)
                     CROSS JOIN LATERAL ({select} = asked.id OFFSET 0) AS found",
                    places.join(",")
                )
            }
        }
    }
}

impl Known {
    /// What is known of a payment by its ids.
    fn acquaintance(
        &self,
        (source, provider): (&str, &str),
        payment_id: &str,
        aliases: &[&Alias],
    ) -> Acquaintance {
        if self.payments.contains(payment_id) {
            return Acquaintance::Known;
        }
        // What was read back from a destination may stand under another name.
        let name = destination::name_in_key(source, payment_id);
        let concerned = |alias: &&Alias| {
            alias.kind == GATEWAY
                || holds(&self.aliases, || alias.id.clone())
                || holds(&self.references, || alias.id.clone())
                || holds(&self.gateways, || format!("{provider}:{}", alias.id))
                || holds(&self.stand_ins, || format!("{}:{}", alias.kind, alias.id))
        };
        match name != payment_id || aliases.iter().any(concerned) {
            true => Acquaintance::Perhaps,
            false => Acquaintance::Stranger,
        }
    }
}

/// Most sets are empty, and then no id is put together.
fn holds(set: &HashSet<String>, id: impl FnOnce() -> String) -> bool {
    !set.is_empty() && set.contains(&id())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::ledger::sqlite::schema;

    /// Each is a search by the beginning of an index, and reads no more than it.
    #[test]
    fn ids_are_found_by_searches_of_an_index() {
        let mut conn = Connection::open_in_memory().unwrap();
        schema::migrate(&mut conn).unwrap();
        for (select, index) in [
            (
                PAYMENTS,
                "sqlite_autoindex_payments_1 (source=? AND payment_id=?)",
            ),
            (ALIASES, "PRIMARY KEY (id=?)"),
            (GATEWAYS, "aliases_gateway (id=?"),
            (REFERENCES, "facts_by_reference (ref_id=?)"),
            (STAND_INS, "payments_stand_ins (source=? AND payment_id=?)"),
        ] {
            let sql = format!("EXPLAIN QUERY PLAN {select} IN (?, ?)");
            let mut statement = conn.prepare(&sql).unwrap();
            let steps = statement.raw_query().mapped(|row| row.get::<_, String>(3));
            let plan: Vec<String> = steps.map(Result::unwrap).collect();
            assert_eq!(plan.len(), 1, "{sql}\n{plan:?}");
            assert!(
                plan[0].starts_with("SEARCH ") && plan[0].contains(index),
                "{plan:?}"
            );
        }
    }
}
