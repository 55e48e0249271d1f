//! Searching for payments by the beginning of whatever names them, by indexes only.
//!
//! Each kind of name has an index that begins with it, so that what is looked at is
//! what begins like the text, and of that only so much. Who may see a payment is not
//! decided here; whether email addresses may be spelled out is said by the caller.

use crate::ledger::sql::{Owned, ToValue, params};

use super::LedgerError;
use super::tx::Tx;
use super::values::{BY_VALUE, UNTIL};
use crate::ledger::list::Search;

/// How many of each kind of name are looked at: more than anybody reads, and
/// together a few milliseconds.
const LOOKED_AT_MOST: i64 = 500;

/// Ids of payments at one source.
pub(super) const BY_PAYMENT_ID: &str = "SELECT payment FROM payments
    WHERE source = ?4 AND payment_id >= ?1 AND payment_id < ?2
    ORDER BY payment_id LIMIT ?3";

/// Ids of deliveries at one source, and what they told of.
pub(super) const BY_DELIVERY: &str = "SELECT DISTINCT facts.payment FROM
    (SELECT delivery FROM deliveries
     WHERE source = ?4 AND delivery_id >= ?1 AND delivery_id < ?2
     ORDER BY delivery_id LIMIT ?3) AS found
    JOIN facts ON facts.delivery = found.delivery LIMIT ?3";

/// Other ids of payments at their providers.
pub(super) const BY_ALIAS: &str = "SELECT payment FROM aliases
    WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3";

/// Values that lookup rules may use: external ids, orders, addresses.
pub(super) fn by_clue() -> String {
    format!(
        "SELECT payment FROM
            (SELECT * FROM
                (SELECT payment, value FROM {BY_VALUE}
                 WHERE value >= ?1 AND value < ?2
                 ORDER BY value LIMIT ?3) AS found
             UNION ALL
             SELECT * FROM
                (SELECT payment, value FROM clues
                 WHERE payment > {UNTIL} AND value >= ?1 AND value < ?2
                       AND field <> 'import.customer_key' LIMIT ?3) AS found_of_new) AS found_of_all
         WHERE ?4 = 1 OR value = ?1 OR value NOT LIKE '%@%'"
    )
}

/// Customer keys at one destination that begin like this; the whole key is read
/// otherwise.
pub(super) const BY_CUSTOMER: &str = "SELECT payment FROM
    (SELECT payment, customer FROM payments INDEXED BY payments_by_customer
     WHERE destination = ?4 AND customer > ?1 AND customer < ?2
     ORDER BY customer LIMIT ?3) AS found
    WHERE ?5 = 1 OR customer NOT LIKE '%@%'";

/// Keys of transactions at one destination.
pub(super) const BY_KEY: &str = "SELECT payment FROM transactions
    WHERE destination = ?4 AND key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3";

impl Tx<'_> {
    /// The payments that something names that begins like this, each once, and
    /// whether there are more than were looked at.
    pub(super) fn search(
        &self,
        search: &Search,
        sources: &[i64],
    ) -> Result<(Vec<i64>, bool), LedgerError> {
        let sources: Vec<Owned> = sources.iter().map(|it| Owned::from(*it)).collect();
        let destinations = self.known_destinations()?.into_iter().map(Owned::from);
        let destinations: Vec<Owned> = destinations.collect();
        let (mut found, mut cut) = (Vec::new(), false);
        let plain = Owned::from(search.plain);
        cut |= self.look_up(BY_ALIAS, &[], search, &mut found)?;
        cut |= self.look_up(&by_clue(), &[&plain], search, &mut found)?;
        for of in &sources {
            cut |= self.look_up(BY_PAYMENT_ID, &[of], search, &mut found)?;
            cut |= self.look_up(BY_DELIVERY, &[of], search, &mut found)?;
        }
        for of in &destinations {
            cut |= self.look_up(BY_CUSTOMER, &[of, &plain], search, &mut found)?;
            cut |= self.look_up(BY_KEY, &[of], search, &mut found)?;
        }
        found.sort_unstable();
        found.dedup();
        Ok((found, cut))
    }

    /// What begins like the text, the end of it, how many, and then what only this
    /// statement asks for. True where there are more than were looked at.
    fn look_up(
        &self,
        sql: &str,
        more: &[&Owned],
        search: &Search,
        found: &mut Vec<i64>,
    ) -> Result<bool, LedgerError> {
        let end = end_of(&search.text);
        let mut looked_at = 0;
        let mut values = params![search.text, end, LOOKED_AT_MOST].to_vec();
        values.extend(more.iter().map(|value| value as &dyn ToValue));
        self.each(sql, values.as_slice(), |row| {
            found.push(row.get(0)?);
            looked_at += 1;
            Ok(true)
        })?;
        Ok(looked_at >= LOOKED_AT_MOST)
    }
}

/// What sorts behind everything that begins with a text.
fn end_of(text: &str) -> String {
    format!("{text}\u{10FFFF}")
}
