//! How a row of a roll-up is changed, whichever roll-up it is. What is to change is
//! said by `days` and `rewards`.

use super::LedgerError;
use super::insert::parted;
use super::tx::Tx;
use crate::ledger::sql::{ToValue, unexpected};

/// One table's statements: to add to a row or make it, to change one that is there, and
/// to drop it once it stands for nothing. Two to change it, because SQLite checks a row
/// to be made before it finds that there is one, and what is taken out need not be a row
/// of its own.
pub(super) struct Statements {
    pub add: &'static str,
    pub change: &'static str,
    pub drop: &'static str,
}

impl Statements {
    /// The statement that makes a row where there is none.
    fn add_where_none(&self) -> Result<String, LedgerError> {
        let (into, values, _) = parted(self.add)?;
        let (_, key) = (self.change.split_once("WHERE ")).ok_or_else(|| unexpected(self.change))?;
        let table = into.split_whitespace().nth(2).unwrap_or_default();
        Ok(format!(
            "{into} SELECT {values} WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {key})"
        ))
    }
}

/// What a difference is to the row that it is put into.
pub(super) enum Difference {
    /// None at all.
    Nothing,
    /// It could be a row by itself.
    Row,
    /// It could not, but takes nothing away that would leave none.
    Change,
    /// It takes away, and there may be nothing left.
    Less,
}

impl Tx<'_> {
    /// Puts a difference into its row; `all` are the key and the sums.
    pub(super) fn roll_up_row(
        &self,
        table: &Statements,
        difference: &Difference,
        all: &[&dyn ToValue],
        key: &[&dyn ToValue],
    ) -> Result<(), LedgerError> {
        match difference {
            Difference::Nothing => return Ok(()),
            Difference::Row => return self.queue(table.add, all),
            Difference::Change | Difference::Less => {}
        }
        match self.is_shared() {
            // A server is not waited for: whether there is a row it finds by itself.
            true => {
                self.queue(table.change, all)?;
                self.queue(&table.add_where_none()?, all)?;
            }
            false if self.run(table.change, all)? == 0 => self.queue(table.add, all)?,
            false => {}
        }
        if matches!(difference, Difference::Less) {
            self.queue(table.drop, key)?;
        }
        Ok(())
    }
}
