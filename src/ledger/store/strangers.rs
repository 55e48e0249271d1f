//! Which payments of a batch nothing in the ledger can concern, asked of many at a
//! time: one statement for a hundred ids costs a fraction of a hundred statements.
//!
//! It answers by ids alone, without their kinds and scopes, so it may call somebody
//! known who is not; whoever is called known is then looked at one by one.

use std::collections::HashSet;
use std::iter::repeat_n;

use super::LedgerError;
use super::newcomers::GATEWAY;
use super::rows::{Desk, Group};
use super::tx::Tx;
use crate::destination;
use crate::ledger::rows::StatedRow;
use crate::ledger::sql::Value;
use crate::movement::Alias;

/// Ids that one statement asks for. A statement is kept prepared, so all have the
/// same number of them and the last ones are filled up with NULL.
const ASKED_AT_ONCE: usize = 128;

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

impl Tx<'_> {
    /// Asks for all ids of a batch.
    pub(super) fn known_of(
        &self,
        desk: &Desk<'_>,
        rows: &[&StatedRow],
        groups: &[Group<'_>],
    ) -> Result<Known, LedgerError> {
        let provider = &self.terms(&desk.from.source)?.provider;
        let ids: Vec<&str> = groups.iter().map(|group| group.payment_id).collect();
        let aliases = || groups.iter().flat_map(|group| group.aliases(rows));
        let mut other_ids: Vec<&str> = aliases().map(|alias| alias.id.as_str()).collect();
        other_ids.sort_unstable();
        other_ids.dedup();
        let composed = |any: &str, compose: &dyn Fn(&Alias) -> String| {
            let any: Option<i64> = self.one(any, [], |row| row.get(0))?;
            Ok::<_, LedgerError>(match any {
                Some(_) => aliases().map(compose).collect::<Vec<String>>(),
                None => Vec::new(),
            })
        };
        let gateways = composed(ANY_GATEWAY, &|alias| format!("{provider}:{}", alias.id))?;
        let references = composed(ANY_REFERENCE, &|alias| alias.id.clone())?;
        let stand_ins = composed(ANY_STAND_IN, &|alias| {
            format!("{}:{}", alias.kind, alias.id)
        })?;
        Ok(Known {
            payments: self.among(PAYMENTS, desk, &ids)?,
            aliases: self.among(ALIASES, desk, &other_ids)?,
            gateways: self.among(GATEWAYS, desk, &gateways)?,
            references: self.among(REFERENCES, desk, &references)?,
            stand_ins: self.among(STAND_INS, desk, &stand_ins)?,
        })
    }

    /// Those of `ids` that a statement finds.
    fn among(
        &self,
        select: &str,
        desk: &Desk<'_>,
        ids: &[impl AsRef<str>],
    ) -> Result<HashSet<String>, LedgerError> {
        let mut found = HashSet::new();
        if ids.is_empty() {
            return Ok(found);
        }
        let places = repeat_n("?", ASKED_AT_ONCE).collect::<Vec<_>>().join(",");
        let sql = format!("{select} IN ({places})");
        for asked in ids.chunks(ASKED_AT_ONCE) {
            let asked_for = asked.iter().map(|id| Value::Text(id.as_ref()));
            let rest = repeat_n(Value::Null, ASKED_AT_ONCE - asked.len());
            let source = std::iter::once(Value::Int(desk.source_row));
            let values: Vec<Value<'_>> = source.chain(asked_for).chain(rest).collect();
            found.extend(self.all(&sql, values.as_slice(), |row| row.get::<_, String>(0))?);
        }
        Ok(found)
    }
}

impl Known {
    /// What is known of the payment of a group.
    pub(super) fn acquaintance(
        &self,
        desk: &Desk<'_>,
        provider: &str,
        (group, rows): (&Group<'_>, &[&StatedRow]),
    ) -> Acquaintance {
        if self.payments.contains(group.payment_id) {
            return Acquaintance::Known;
        }
        // What was read back from a destination may stand under another name.
        let name = destination::name_in_key(&desk.from.source, group.payment_id);
        let concerned = |alias: &Alias| {
            alias.kind == GATEWAY
                || holds(&self.aliases, || alias.id.clone())
                || holds(&self.references, || alias.id.clone())
                || holds(&self.gateways, || format!("{provider}:{}", alias.id))
                || holds(&self.stand_ins, || format!("{}:{}", alias.kind, alias.id))
        };
        match name != group.payment_id || group.aliases(rows).any(concerned) {
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
