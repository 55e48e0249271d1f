//! Searching for payments by the beginning of whatever names them, by indexes only.
//!
//! Each kind of name has an index that begins with it, so that what is looked at is
//! what begins like the text, and of that only so much. Who may see a payment is not
//! decided here; whether email addresses may be spelled out is said by the caller.

use rusqlite::types::Value;

use super::LedgerError;
use super::tx::Tx;
use crate::ledger::list::Search;

/// How many of each kind of name are looked at: more than anybody reads, and
/// together a few milliseconds.
const LOOKED_AT_MOST: i64 = 500;

/// Ids of payments at one source.
pub(super) const BY_PAYMENT_ID: &str = "SELECT payment FROM payments
    WHERE source = :of AND payment_id >= :from AND payment_id < :to
    ORDER BY payment_id LIMIT :most";

/// Ids of deliveries at one source, and what they told of.
pub(super) const BY_DELIVERY: &str = "SELECT DISTINCT facts.payment FROM
    (SELECT delivery FROM deliveries
     WHERE source = :of AND delivery_id >= :from AND delivery_id < :to
     ORDER BY delivery_id LIMIT :most) AS found
    CROSS JOIN facts ON facts.delivery = found.delivery LIMIT :most";

/// Other ids of payments at their providers.
pub(super) const BY_ALIAS: &str = "SELECT payment FROM aliases
    WHERE id >= :from AND id < :to ORDER BY id LIMIT :most";

/// Values that lookup rules may use: external ids, orders, addresses.
pub(super) const BY_CLUE: &str = "SELECT payment FROM
    (SELECT payment, value FROM clues
     WHERE value >= :from AND value < :to AND field <> 'import.customer_key'
     ORDER BY value LIMIT :most)
    WHERE :plain OR value = :from OR instr(value, '@') = 0";

/// Customer keys at one destination that begin like this; the whole key is read
/// otherwise.
pub(super) const BY_CUSTOMER: &str = "SELECT payment FROM
    (SELECT payment, customer FROM payments INDEXED BY payments_by_customer
     WHERE destination = :of AND customer > :from AND customer < :to
     ORDER BY customer LIMIT :most)
    WHERE :plain OR instr(customer, '@') = 0";

/// Keys of transactions at one destination.
pub(super) const BY_KEY: &str = "SELECT payment FROM transactions
    WHERE destination = :of AND key >= :from AND key < :to ORDER BY key LIMIT :most";

impl Tx<'_> {
    /// The payments that something names that begins like this, each once, and
    /// whether there are more than were looked at.
    pub(super) fn search(
        &self,
        search: &Search,
        sources: &[i64],
    ) -> Result<(Vec<i64>, bool), LedgerError> {
        let sources: Vec<Value> = sources.iter().map(|it| Value::from(*it)).collect();
        let destinations = self.known_destinations()?.into_iter().map(Value::from);
        let destinations: Vec<Value> = destinations.collect();
        let anywhere = [Value::Null];
        let looks: [(&str, &[Value]); 6] = [
            (BY_PAYMENT_ID, &sources),
            (BY_ALIAS, &anywhere),
            (BY_CLUE, &anywhere),
            (BY_DELIVERY, &sources),
            (BY_CUSTOMER, &destinations),
            (BY_KEY, &destinations),
        ];
        let (mut found, mut cut) = (Vec::new(), false);
        for (sql, places) in looks {
            for of in places {
                cut |= self.look_up(sql, of, search, &mut found)?;
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok((found, cut))
    }

    /// True where there are more than were looked at.
    fn look_up(
        &self,
        sql: &str,
        of: &Value,
        search: &Search,
        found: &mut Vec<i64>,
    ) -> Result<bool, LedgerError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let values = [
            (":of", of.clone()),
            (":from", Value::from(search.text.clone())),
            (":to", Value::from(end_of(&search.text))),
            (":most", Value::from(LOOKED_AT_MOST)),
            (":plain", Value::from(search.plain)),
        ];
        for (name, value) in values {
            if let Some(index) = statement.parameter_index(name)? {
                statement.raw_bind_parameter(index, value)?;
            }
        }
        let mut rows = statement.raw_query();
        let mut looked_at = 0;
        while let Some(row) = rows.next()? {
            found.push(row.get(0)?);
            looked_at += 1;
        }
        Ok(looked_at >= LOOKED_AT_MOST)
    }
}

/// What sorts behind everything that begins with a text.
fn end_of(text: &str) -> String {
    format!("{text}\u{10FFFF}")
}
