//! Rows that are written together: into a file one after another, to a server in one
//! statement, which takes each column as one array. Nothing is asked of them: their
//! numbers, where they have one, are taken before.

use super::LedgerError;
use super::tx::{Conn, Tx};
use crate::ledger::sql::{Kind, Owned, ToValue, Value, unexpected};

/// How much of rows one statement takes: it is held in memory twice until it is sent.
const BYTES_AT_ONCE: usize = 1 << 20;

/// What stands between the columns and the values of a statement.
const VALUES: &str = "VALUES (";

/// The kinds of columns, by their short names.
pub(super) mod kinds {
    pub(in crate::ledger::store) use crate::ledger::sql::Kind::{Blob, Int, Text};
}

/// How rows get into a table.
pub(super) struct Insert {
    /// The statement for one row: `INSERT INTO table (columns) VALUES (?1, …)`, and what
    /// else where such a row is there.
    pub one: &'static str,
    /// What each column holds.
    pub kinds: &'static [Kind],
}

/// A row, its values in the order of the columns.
pub(super) type Values = Vec<Owned>;

/// A row of these values.
pub(super) fn values(of: &[&dyn ToValue]) -> Result<Values, LedgerError> {
    of.iter().map(|it| it.to_value().map(Value::kept)).collect()
}

impl Tx<'_> {
    /// Writes rows, as [`Tx::queue`] does.
    pub(super) fn insert_all(&self, into: &Insert, rows: &[Values]) -> Result<(), LedgerError> {
        let Conn::Postgres(client) = self.conn else {
            for row in rows {
                self.run(into.one, row.as_slice())?;
            }
            return Ok(());
        };
        let many = into.many()?;
        let mut left = rows;
        while !left.is_empty() {
            let (taken, rest) = left.split_at(fitting(left));
            let columns: Result<Vec<_>, LedgerError> = (into.kinds.iter().enumerate())
                .map(|(at, kind)| Ok((*kind, column(taken, at)?)))
                .collect();
            client.borrow_mut().queue_columns(&many, &columns?)?;
            left = rest;
        }
        Ok(())
    }

    /// Takes numbers for rows of a table that nobody else will have; some may stay
    /// unused. No file and no server has a row with one of them.
    pub(super) fn numbers(
        &self,
        table: &str,
        number: &str,
        many: usize,
    ) -> Result<Vec<i64>, LedgerError> {
        match self.conn {
            Conn::Sqlite(_) => {
                let greatest = format!("SELECT coalesce(max({number}), 0) FROM {table}");
                let greatest: i64 = self.one(&greatest, [], |row| row.get(0))?.unwrap_or(0);
                Ok((greatest + 1..).take(many).collect())
            }
            Conn::Postgres(_) => {
                let next = format!(
                    "SELECT nextval(pg_get_serial_sequence('{table}', '{number}'))
                     FROM generate_series(1, ?1)"
                );
                self.all(&next, [many], |row| row.get(0))
            }
        }
    }
}

/// As many of the numbers as there are rows: none may go without one unsaid.
pub(super) fn enough(numbers: &[i64], rows: usize) -> Result<&[i64], LedgerError> {
    let enough = numbers.get(..rows);
    enough.ok_or_else(|| unexpected("fewer numbers than rows"))
}

impl Insert {
    /// The statement for many rows.
    fn many(&self) -> Result<String, LedgerError> {
        let (into, _, otherwise) = parted(self.one)?;
        let columns: Vec<String> = (1..=self.kinds.len()).map(|at| format!("?{at}")).collect();
        let columns = columns.join(", ");
        Ok(format!("{into} SELECT * FROM unnest({columns}){otherwise}"))
    }
}

/// The parts of a statement for one row: what it is inserted into, its values, and what
/// else where such a row is there.
pub(super) fn parted(one: &str) -> Result<(&str, &str, &str), LedgerError> {
    let parted = one.split_once(VALUES).and_then(|(into, rest)| {
        let (values, otherwise) = rest.split_once(')')?;
        Some((into, values, otherwise))
    });
    parted.ok_or_else(|| unexpected(one))
}

/// One column of rows.
fn column(rows: &[Values], at: usize) -> Result<Vec<Value<'_>>, LedgerError> {
    let missing = || unexpected("a row without a column");
    rows.iter()
        .map(|row| row.get(at).ok_or_else(missing)?.to_value())
        .collect()
}

/// How many of the rows one statement takes: one at least.
fn fitting(rows: &[Values]) -> usize {
    let mut bytes = 0;
    let within = rows.iter().take_while(|row| {
        bytes += row.iter().map(size).sum::<usize>();
        bytes <= BYTES_AT_ONCE
    });
    within.count().max(1)
}

fn size(value: &Owned) -> usize {
    match value {
        Owned::Null | Owned::Int(_) => size_of::<i64>(),
        Owned::Text(text) => text.len(),
        Owned::Blob(bytes) => bytes.len(),
    }
}
