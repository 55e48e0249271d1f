//! Rows from one ledger into another, table by table in the order of their keys.
//!
//! What is there already is not copied again: rows arrive in that order and in
//! transactions, so everything up to the greatest key is there. Neither memory nor a
//! transaction grows with the ledger. Whether the result is what it should be is
//! not judged here.

use super::LedgerError;
use super::tables::{TABLES, Table};
use super::tx::{Conn, Tx};
use crate::ledger::sql::{Owned, Value, params, unexpected};

/// Rows in one transaction: enough to share a sync to disk.
const CHUNK_ROWS: usize = 4_096;
/// Bytes in one transaction, so that large rows do not make it long.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// The transaction that takes rows in.
struct Chunk<'t> {
    to: &'t Tx<'t>,
    /// What must stand in the writer's row all the time.
    standing: &'t str,
    open: bool,
    rows: usize,
    bytes: usize,
}

impl Chunk<'_> {
    fn put(&mut self, insert: &str, values: &[Value<'_>]) -> Result<(), LedgerError> {
        if !self.open {
            let standing = self.to.conn.begin_where_closed()?;
            self.open = true;
            if standing != self.standing {
                return Err(LedgerError::Refused(
                    "somebody else finished, began or gave up this copy meanwhile".to_owned(),
                ));
            }
        }
        self.to.queue(insert, values)?;
        self.rows += 1;
        self.bytes += values.iter().map(|value| size(*value)).sum::<usize>();
        match self.rows >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES {
            true => self.commit(),
            false => Ok(()),
        }
    }

    fn commit(&mut self) -> Result<(), LedgerError> {
        (self.rows, self.bytes) = (0, 0);
        match std::mem::take(&mut self.open) {
            true => self.to.conn.commit(),
            false => Ok(()),
        }
    }
}

impl Drop for Chunk<'_> {
    fn drop(&mut self) {
        if self.open {
            // What failed is told by whoever met it.
            let _ = self.to.conn.roll_back();
        }
    }
}

fn size(value: Value<'_>) -> usize {
    match value {
        Value::Null | Value::Absent(_) | Value::Int(_) => 8,
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
    }
}

/// Copies all rows that are not there yet. `standing` is what stands in the writer's
/// row of the ledger that takes them; `copied` hears of each table.
pub(super) fn carry(
    from: &Tx<'_>,
    to: &Tx<'_>,
    standing: &str,
    copied: &mut dyn FnMut(&'static str, u64),
) -> Result<(), LedgerError> {
    for table in &TABLES {
        let mut rows = 0;
        let done = one_table(table, from, to, standing, &mut rows);
        done.map_err(|error| in_table(table.name, rows, error))?;
        copied(table.name, rows);
    }
    Ok(())
}

fn one_table(
    table: &Table,
    from: &Tx<'_>,
    to: &Tx<'_>,
    standing: &str,
    rows: &mut u64,
) -> Result<(), LedgerError> {
    let columns = table.columns(from)?;
    if columns != table.columns(to)? {
        return Err(unexpected("the two ledgers have other columns"));
    }
    let insert = table.insert_sql(&columns);
    // Some names in `meta` are there from the start: all of it is written each time.
    let after = match table.name {
        "meta" => None,
        _ => table.greatest(to)?,
    };
    let mut chunk = Chunk {
        to,
        standing,
        open: false,
        rows: 0,
        bytes: 0,
    };
    table.each_row(from, &columns, after, |row| {
        let values = (0..columns.len()).map(|at| row.value(at));
        let values: Vec<Value<'_>> = values.collect::<Result<_, _>>()?;
        *rows += 1;
        chunk.put(&insert, &values)
    })?;
    chunk.commit()?;
    if table.counted {
        count_on(table, to)?;
    }
    Ok(())
}

/// Lets a server give its next number behind the greatest; SQLite does so by itself.
fn count_on(table: &Table, to: &Tx<'_>) -> Result<(), LedgerError> {
    let (Conn::Postgres(_), [column]) = (to.conn, table.key) else {
        return Ok(());
    };
    if let Some([Owned::Int(greatest)]) = table.greatest(to)?.as_deref() {
        to.one(
            "SELECT setval(pg_get_serial_sequence(?1, ?2), ?3)",
            params![table.name, *column, *greatest],
            |_| Ok(()),
        )?;
    }
    Ok(())
}

/// Where it failed, for a person; no value of a row is told.
fn in_table(table: &str, rows: u64, error: LedgerError) -> LedgerError {
    let place = format!("in the table {table}, at row {rows} of this command");
    match error {
        LedgerError::Refused(why) => LedgerError::Refused(format!("{place}: {why}")),
        LedgerError::Unusable(why) => LedgerError::Unusable(format!("{place}: {why}")),
        other => other,
    }
}
