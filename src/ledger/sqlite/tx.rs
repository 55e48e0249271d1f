//! One transaction of the SQLite store: the connection, the terms and the time.
//!
//! Small statements that several verbs share. Each verb's own SQL stands in its
//! own file.

use std::cell::RefCell;

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use crate::day::Zone;
use crate::ledger::book::{SourceTerms, State};
use crate::ledger::{AllTerms, LedgerError};
use crate::plan::{Customer, CustomerBy};
use crate::time::Time;

/// One transaction, or one snapshot for reading.
pub(super) struct Tx<'a> {
    pub(super) conn: &'a Connection,
    terms: &'a AllTerms,
    /// Where the ledger's days begin and end.
    pub(super) zone: &'a Zone,
    pub(super) now: Time,
    /// Days whose segment was met and cannot be read.
    pub(super) broken: RefCell<Vec<i64>>,
}

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

impl<'a> Tx<'a> {
    pub(super) fn new(
        conn: &'a Connection,
        terms: &'a AllTerms,
        zone: &'a Zone,
        now: Time,
    ) -> Tx<'a> {
        Tx {
            conn,
            terms,
            zone,
            now,
            broken: RefCell::default(),
        }
    }

    /// The terms of a source.
    pub(super) fn terms(&self, source: &str) -> Result<&'a SourceTerms, LedgerError> {
        self.terms.get(source).ok_or_else(|| {
            LedgerError::NotFound(format!("the configuration names no source \"{source}\""))
        })
    }

    /// All terms.
    pub(super) fn all_terms(&self) -> &'a AllTerms {
        self.terms
    }

    /// The row of a configured source.
    pub(super) fn source_row(&self, source: &str) -> Result<i64, LedgerError> {
        self.terms(source)?;
        let found = self.one(
            "SELECT source FROM sources WHERE name = ?1",
            [source],
            |row| row.get(0),
        )?;
        found.ok_or_else(|| LedgerError::NotFound(format!("no source \"{source}\"")))
    }

    /// One row, if there is one; the statement is kept prepared.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, LedgerError> {
        Ok(self
            .conn
            .prepare_cached(sql)?
            .query_row(params, read)
            .optional()?)
    }

    /// All rows; the statement is kept prepared.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, LedgerError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params, read)?;
        Ok(rows.collect::<rusqlite::Result<Vec<T>>>()?)
    }

    /// Changes rows; answers how many.
    pub(super) fn run(&self, sql: &str, params: impl Params) -> Result<usize, LedgerError> {
        Ok(self.conn.prepare_cached(sql)?.execute(params)?)
    }

    /// Inserts a row; answers its number.
    pub(super) fn insert(&self, sql: &str, params: impl Params) -> Result<i64, LedgerError> {
        Ok(self.conn.prepare_cached(sql)?.insert(params)?)
    }

    /// A payment by its row.
    pub(super) fn payment(&self, payment: i64) -> Result<PaymentRow, LedgerError> {
        let sql = format!(
            "SELECT {PAYMENT_COLUMNS} FROM payments JOIN sources USING (source) WHERE payment = ?1"
        );
        self.one(&sql, [payment], read_payment)?
            .ok_or_else(|| LedgerError::NotFound("no such payment".to_owned()))
    }

    /// The row number of a payment by its id.
    pub(super) fn payment_named(
        &self,
        source_row: i64,
        payment_id: &str,
    ) -> Result<Option<i64>, LedgerError> {
        self.one(
            "SELECT payment FROM payments WHERE source = ?1 AND payment_id = ?2",
            params![source_row, payment_id],
            |row| row.get(0),
        )
    }
}

fn read_payment(row: &Row<'_>) -> rusqlite::Result<PaymentRow> {
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
        state: State::from_word(&state).ok_or(rusqlite::Error::InvalidQuery)?,
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

/// A customer from two columns: the value and how the destination finds it.
pub(super) fn read_customer(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Customer>> {
    let value: Option<String> = row.get(at)?;
    let by: Option<String> = row.get(at + 1)?;
    Ok(value.zip(by).map(|(value, by)| Customer {
        by: customer_by(&by),
        value,
    }))
}

/// The word of [`CustomerBy`] in SQL.
pub(super) fn by_word(by: CustomerBy) -> &'static str {
    match by {
        CustomerBy::Key => "key",
        CustomerBy::Email => "email",
    }
}

fn customer_by(word: &str) -> CustomerBy {
    match word {
        "email" => CustomerBy::Email,
        _ => CustomerBy::Key,
    }
}

/// A word that serde and SQL share, for enums without fields.
pub(super) fn word_of<T: serde::Serialize>(value: &T) -> Result<String, LedgerError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        _ => Err(LedgerError::Unusable("an enum without a word".to_owned())),
    }
}

/// The enum with this word.
pub(super) fn from_word<T: serde::de::DeserializeOwned>(word: String) -> rusqlite::Result<T> {
    serde_json::from_value(serde_json::Value::String(word))
        .map_err(|_| rusqlite::Error::InvalidQuery)
}
