//! Putting differences into the tables that reports read.
//!
//! What the rows stand for is said by who keeps them; here is only how one is
//! changed, made and dropped.

use super::LedgerError;
use super::tx::Tx;

/// One table's statements: to change a row that is there, to make one, and to
/// drop it once it stands for nothing. Not one statement that does either, because
/// SQLite checks a row to be made before it finds that there is one, and the
/// difference between two rows need not be one.
pub(super) struct Statements {
    pub change: &'static str,
    pub make: &'static str,
    pub drop: &'static str,
}

impl Tx<'_> {
    /// Adds `fields` to one row, by its `key` or as a row of `all` columns.
    pub(super) fn change_row(
        &self,
        table: &Statements,
        fields: &[i64],
        all: &[&dyn rusqlite::ToSql],
        key: &[&dyn rusqlite::ToSql],
    ) -> Result<(), LedgerError> {
        if fields.iter().all(|field| *field == 0) {
            return Ok(());
        }
        // The other way round a difference would have to be a row of its own.
        if self.run(table.change, all)? == 0 {
            self.run(table.make, all)?;
        }
        if fields.iter().all(|field| *field >= 0) {
            return Ok(());
        }
        self.run(table.drop, key)?;
        Ok(())
    }
}
