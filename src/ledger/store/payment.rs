//! A payment's own row, read whole.

use super::LedgerError;
use super::tx::{Tx, read_customer};
use crate::ledger::book::State;
use crate::ledger::sql::{Row, params, unexpected};
use crate::plan::Customer;
use crate::time::Time;

/// A payment's own columns, all of them: a new column forces a decision here.
#[derive(Clone, Debug)]
pub(super) struct PaymentRow {
    pub payment: i64,
    pub source: String,
    pub source_row: i64,
    pub payment_id: String,
    pub reference: bool,
    pub scope: String,
    pub live: Option<bool>,
    pub destination: String,
    pub customer: Option<Customer>,
    pub occurred_at: Time,
    pub state: State,
    pub turn: i64,
    pub due_at: Option<Time>,
    pub claim: Option<i64>,
    pub tries: u32,
    pub patience_used: i64,
    pub last_try_at: Option<Time>,
    pub failed_step: Option<String>,
    pub failed_why: Option<String>,
    /// What it brought into the roll-ups.
    pub booked: Option<String>,
}

/// The columns of [`PaymentRow`], in its order.
const PAYMENT_COLUMNS: &str = "payment, sources.name, payments.source, payment_id, reference, \
     scope, live, destination, customer, customer_by, occurred_at, state, turn, due_at, \
     claim, tries, patience_used, last_try_at, failed_step, failed_why, booked";

impl Tx<'_> {
    /// A payment by its row.
    pub(super) fn payment(&self, payment: i64) -> Result<PaymentRow, LedgerError> {
        self.one(&payment_by_row(), [payment], read_payment)?
            .ok_or_else(|| LedgerError::NotFound("no such payment".to_owned()))
    }

    /// The row number of a payment by its id.
    pub(super) fn payment_named(
        &self,
        source_row: i64,
        payment_id: &str,
    ) -> Result<Option<i64>, LedgerError> {
        self.one(NAMED, params![source_row, payment_id], |row| row.get(0))
    }
}

/// A payment by its row.
pub(super) fn payment_by_row() -> String {
    format!("SELECT {PAYMENT_COLUMNS} FROM payments JOIN sources USING (source) WHERE payment = ?1")
}

/// A payment by its id.
pub(super) const NAMED: &str = "SELECT payment FROM payments WHERE source = ?1 AND payment_id = ?2";

fn read_payment(row: &Row<'_>) -> Result<PaymentRow, LedgerError> {
    let state: String = row.get(11)?;
    Ok(PaymentRow {
        payment: row.get(0)?,
        source: row.get(1)?,
        source_row: row.get(2)?,
        payment_id: row.get(3)?,
        reference: row.get(4)?,
        scope: row.get(5)?,
        live: row.get(6)?,
        destination: row.get(7)?,
        customer: read_customer(row, 8)?,
        occurred_at: Time(row.get(10)?),
        state: State::from_word(&state).ok_or_else(|| unexpected("a word"))?,
        turn: row.get(12)?,
        due_at: row.get::<_, Option<i64>>(13)?.map(Time),
        claim: row.get(14)?,
        tries: row.get(15)?,
        patience_used: row.get(16)?,
        last_try_at: row.get::<_, Option<i64>>(17)?.map(Time),
        failed_step: row.get(18)?,
        failed_why: row.get(19)?,
        booked: row.get(20)?,
    })
}
