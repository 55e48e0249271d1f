//! Payments by the values that are known of them: who waits for an external id.
//!
//! Values come in no order, and one that is put into its place by itself changes a page
//! that no other changes. So those of new payments are put in many together, in the order
//! of the values: when so many are there, and before anybody is asked for by one. Nothing
//! is ever looked for that is not in.

use super::LedgerError;
use super::insert::kinds::{Int, Text};
use super::insert::{Insert, values};
use super::tx::Tx;
use crate::ledger::sql::params;
use crate::lookup::IMPORTED_CUSTOMER;

/// New payments whose values are put in together: numbers that nobody has count as well.
const MANY: i64 = 1_024;

/// The payments up to which all values are in. It is never behind the last payment there
/// is, because a number may be used again.
pub(super) const UNTIL: &str =
    "coalesce((SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'values_until'), 0)";

/// Values by which payments are known now: one that a payment had before is still in.
/// The customer key that a file names is nobody's external id and never in.
pub(super) const BY_VALUE: &str = "clue_values JOIN clues USING (value, field, payment)";

/// Says that all are in.
const MARK: &str = "INSERT INTO meta (name, value)
    SELECT 'values_until', CAST(payment AS TEXT) FROM payments ORDER BY payments.payment DESC LIMIT 1
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// For when a payment is gone that may have been the last.
const MARK_LAST: &str = "UPDATE meta
    SET value = (SELECT CAST(coalesce(max(payment), 0) AS TEXT) FROM payments)
    WHERE name = 'values_until'
      AND CAST(value AS BIGINT) > (SELECT coalesce(max(payment), 0) FROM payments)";

/// Puts in what is not in yet, on a condition more.
fn put_in(on: &str) -> String {
    format!(
        "INSERT INTO clue_values (value, field, payment)
         SELECT value, field, payment FROM clues
         WHERE payment > {UNTIL} AND field <> '{IMPORTED_CUSTOMER}' {on}
         ORDER BY value, field, payment ON CONFLICT DO NOTHING"
    )
}

/// How single values get in.
const VALUES: Insert = Insert {
    one: "INSERT INTO clue_values (value, field, payment) VALUES (?1, ?2, ?3)
          ON CONFLICT DO NOTHING",
    kinds: &[Text, Text, Int],
};

/// A value that became known of a payment which may be in already.
pub(super) struct News {
    pub payment: i64,
    pub field: String,
    pub value: String,
}

impl Tx<'_> {
    /// Puts in the values of all payments that are there: whoever asks for payments by a
    /// value does this first.
    pub(super) fn put_values_in(&self) -> Result<(), LedgerError> {
        self.queue(&put_in(""), [])?;
        self.queue(MARK, [])
    }

    /// The same once there are many of them, where `new` are payments that nobody told of
    /// before.
    pub(super) fn put_many_values_in(&self, new: &[i64]) -> Result<(), LedgerError> {
        let Some(last) = new.iter().max() else {
            return Ok(());
        };
        let many = format!("?1 - {UNTIL} >= {MANY}");
        self.queue(&put_in(&format!("AND {many}")), [last])?;
        let mark = format!(
            "INSERT INTO meta (name, value)
             SELECT 'values_until', CAST(?1 AS TEXT) WHERE {many}
             ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        );
        self.queue(&mark, [last])
    }

    /// Sees to it that the values of whoever gets the number of a payment that is gone
    /// are put in.
    pub(super) fn forget_values_of_gone(&self) -> Result<(), LedgerError> {
        self.queue(MARK_LAST, [])
    }

    /// Puts in what became known of payments that may be in already.
    pub(super) fn put_news_in(&self, news: &[News]) -> Result<(), LedgerError> {
        let sought = news.iter().filter(|it| it.field != IMPORTED_CUSTOMER);
        let rows = sought.map(|it| values(params![it.value, it.field, it.payment]));
        self.insert_all(&VALUES, &rows.collect::<Result<Vec<_>, LedgerError>>()?)
    }
}
