//! Payments with the same money: told of by two sources, or under two ids of one. Which of
//! them goes first, and who the others are; what becomes of them is decided elsewhere.

use std::collections::BTreeSet;

use crate::ledger::sql::params;

use super::LedgerError;
use super::payment::PaymentRow;
use super::tx::{Tx, by_word};
use crate::movement::Alias;
use crate::plan::{Customer, Row};
use crate::position::Captured;
use crate::time::DAY_MS;

/// When two money ids are one: the same id of one provider; or a billing
/// system's name for what a payment provider moved, kind `gateway` and
/// `provider:id`, and that provider's own id, either way round. Each begins with
/// the id, which the key of the table begins with.
const SAME_MONEY: [&str; 3] = [
    "other.id = ours.id AND other.kind = ours.kind AND other.provider = ours.provider
     AND other.scope = ours.scope",
    "other.id = ours.provider || ':' || ours.id AND other.kind = 'gateway'",
    "ours.kind = 'gateway' AND other.id = substr(ours.id, instr(ours.id, ':') + 1)
     AND other.provider = substr(ours.id, 1, instr(ours.id, ':') - 1)",
];

/// How far apart two sources may date one money. No provider says it: bank debits take
/// days, and what repeats monthly is not the same money.
const DATED_APART_MS: i64 = 3 * DAY_MS;

/// What was read back into a restored ledger and told of by nobody yet, at another source,
/// that may be the money of one captured before the loss: for the same customer, in the
/// same currency, dated alike, and no more than that, because some may have gone back.
pub(super) const PERHAPS_THERE: &str = "SELECT sources.name || ' ' || theirs.payment_id
     FROM payments AS theirs INDEXED BY payments_read_back
     JOIN destinations ON destinations.name = theirs.destination
     JOIN sources ON sources.source = theirs.source
     JOIN transactions AS there ON there.payment = theirs.payment
     WHERE theirs.destination = ?1 AND theirs.customer = ?2
           AND theirs.frozen = 1 AND theirs.gross IS NULL
           AND theirs.customer_by = ?3 AND theirs.source <> ?4
           AND destinations.lost_at >= ?5 AND there.created_at BETWEEN ?6 AND ?7
           AND there.currency = ?8 AND there.amount BETWEEN 1 AND ?9
           AND there.state NOT IN ('absent', 'gone')
     LIMIT 1";

/// How far the payment `theirs` has come, as [`reached`] says of one that is at hand.
const REACHED: &str = "(SELECT coalesce(max(CASE state WHEN 'absent' THEN 1 ELSE 2 END), 0)
     FROM transactions WHERE transactions.payment = theirs.payment)";

/// That far has come what the destination may have known.
const KNOWN_THERE: i64 = 2;

/// How far a payment with these rows has come: no call was ever begun for it, nothing of
/// it arrived, or the destination may have known something of it.
pub(super) fn reached(rows: &[Row]) -> i64 {
    let reached = rows
        .iter()
        .map(|row| if row.freezes() { KNOWN_THERE } else { 1 });
    reached.max().unwrap_or(0)
}

impl Tx<'_> {
    /// The payment that carries a money id of this one, at the same destination, and
    /// goes before it: at another source, or at this one under another id, as where a
    /// source changes from charges to invoices. It is captured, or was posted by a ledger
    /// that was lost and is not told of again yet. The one that has come furthest goes
    /// first, because one may have been named long before its money was told, and what a
    /// lost ledger may have posted is looked for in vain while it posted the other; then
    /// the one that was here first.
    pub(super) fn same_money_as(
        &self,
        row: &PaymentRow,
        rows: &[Row],
    ) -> Result<Option<String>, LedgerError> {
        let place = params![row.payment, row.destination, reached(rows)];
        let asked = SAME_MONEY.map(|same| {
            let stands = KNOWN_THERE;
            format!(
                "SELECT sources.name || ' ' || theirs.payment_id
                 FROM aliases AS ours
                 JOIN aliases AS other ON {same} AND other.money = 1
                 JOIN payments AS theirs ON theirs.payment = other.payment
                 JOIN sources ON sources.source = theirs.source
                 WHERE ours.payment = ?1 AND ours.money = 1
                       AND theirs.destination = ?2
                       AND (theirs.gross > 0 OR {REACHED} = {stands})
                       AND ({REACHED}, ours.payment) > (?3, theirs.payment)
                 LIMIT 1"
            )
        });
        for sql in &asked {
            self.ahead(sql, place)?;
        }
        for sql in &asked {
            let found = self.one(sql, place, |row| row.get(0))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Whether another payment has a money id of this one.
    pub(super) fn shares_money(&self, payment: i64) -> Result<bool, LedgerError> {
        Ok(!self.rivals(payment)?.is_empty())
    }

    /// The payments that have a money id of this one.
    pub(super) fn rivals(&self, payment: i64) -> Result<BTreeSet<i64>, LedgerError> {
        let asked = SAME_MONEY.map(|same| {
            format!(
                "SELECT other.payment
                 FROM aliases AS ours JOIN aliases AS other ON {same} AND other.money = 1
                 WHERE ours.payment = ?1 AND ours.money = 1 AND other.payment <> ours.payment"
            )
        });
        for sql in &asked {
            self.ahead(sql, [payment])?;
        }
        let mut rivals = BTreeSet::new();
        for sql in &asked {
            rivals.extend(self.all(sql, [payment], |row| row.get::<_, i64>(0))?);
        }
        Ok(rivals)
    }

    /// The payments that have this money id, be it this one's own.
    pub(super) fn with_money_id(
        &self,
        payment: i64,
        alias: &Alias,
    ) -> Result<BTreeSet<i64>, LedgerError> {
        let mut found = BTreeSet::new();
        for same in SAME_MONEY {
            let sql = format!(
                "SELECT other.payment FROM aliases AS ours JOIN aliases AS other ON {same}
                 WHERE ours.payment = ?1 AND ours.kind = ?2 AND ours.id = ?3 AND ours.money = 1
                       AND other.money = 1"
            );
            let asked = params![payment, alias.kind, alias.id];
            found.extend(self.all(&sql, asked, |row| row.get::<_, i64>(0))?);
        }
        Ok(found)
    }

    /// What may be the money of a capture without an id that says so: those by which two
    /// sources name one money may have been lost with the ledger that knew them. A payment
    /// that is not in the ledger yet is asked for when it is to be posted.
    pub(super) fn perhaps_there(
        &self,
        row: &PaymentRow,
        customer: &Customer,
        capture: &Captured,
    ) -> Result<Option<String>, LedgerError> {
        if row.payment == 0 {
            return Ok(None);
        }
        let place = params![
            row.destination,
            customer.value,
            by_word(customer.by),
            row.source_row,
            capture.at.ms(),
            capture.at.plus(-DATED_APART_MS).ms(),
            capture.at.plus(DATED_APART_MS).ms(),
            capture.currency.code(),
            capture.gross
        ];
        self.one(PERHAPS_THERE, place, |row| row.get(0))
    }

    /// The payments that may be held because of this one, which was read back.
    pub(super) fn held_for(&self, row: &PaymentRow) -> Result<BTreeSet<i64>, LedgerError> {
        let Some(customer) = &row.customer else {
            return Ok(BTreeSet::new());
        };
        let held = self.all(
            "SELECT payment FROM payments
             WHERE destination = ?1 AND customer = ?2 AND state = 'held'
                   AND customer_by = ?3 AND source <> ?4",
            params![
                row.destination,
                customer.value,
                by_word(customer.by),
                row.source_row
            ],
            |row| row.get(0),
        )?;
        Ok(held.into_iter().collect())
    }
}
