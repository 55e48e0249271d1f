//! The list of files that came by the API.

use crate::ledger::sql::{Row, params};

use super::{LedgerError, Store};
use crate::ledger::imports::{Arrived, NewImport};
use crate::time::Time;

const COLUMNS: &str = "import, source, spool, said, who, said_at, state, ended_at, came, outcome";

impl Store {
    /// As [`crate::ledger::Ledger::add_import`].
    pub(in crate::ledger) async fn add_import(&self, new: NewImport) -> Result<i64, LedgerError> {
        self.write(move |tx| {
            tx.insert(
                "INSERT INTO imports (source, spool, said, who, said_at, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'waiting')",
                "import",
                params![new.source, new.spool, new.said, new.who, tx.now.ms()],
            )
        })
        .await
    }

    /// As [`crate::ledger::Ledger::next_import`].
    pub(in crate::ledger) async fn next_import(
        &self,
        is_here: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<Option<Arrived>, LedgerError> {
        self.write(move |tx| {
            let sql =
                format!("SELECT {COLUMNS} FROM imports WHERE ended_at IS NULL ORDER BY import");
            let mut next = None;
            tx.each(&sql, [], |row| {
                next = Some(read(row)?).filter(|it| is_here(&it.spool));
                Ok(next.is_none())
            })?;
            if let Some(next) = &next {
                tx.queue(
                    "UPDATE imports SET state = 'running' WHERE import = ?1",
                    [next.import],
                )?;
            }
            Ok(next)
        })
        .await
    }

    /// As [`crate::ledger::Ledger::end_import`].
    pub(in crate::ledger) async fn end_import(
        &self,
        import: i64,
        came: Option<String>,
        failed: Option<String>,
    ) -> Result<(), LedgerError> {
        self.write(move |tx| {
            tx.queue(
                "UPDATE imports SET state = CASE WHEN ?3 IS NULL THEN 'done' ELSE 'failed' END,
                     came = ?2, outcome = ?3, ended_at = ?4
                 WHERE import = ?1 AND ended_at IS NULL",
                params![import, came, failed, tx.now.ms()],
            )
        })
        .await
    }

    /// As [`crate::ledger::Ledger::imports`].
    pub(in crate::ledger) async fn imports(
        &self,
        before: Option<i64>,
        limit: usize,
    ) -> Result<(Vec<Arrived>, Option<i64>), LedgerError> {
        self.read(move |tx| {
            let before = before.unwrap_or(i64::MAX);
            let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
            let mut files = tx.all(&newest(), params![before, one_more], read)?;
            let more = files.len() > limit;
            files.truncate(limit);
            let next = files.last().filter(|_| more).map(|file| file.import);
            Ok((files, next))
        })
        .await
    }

    /// As [`crate::ledger::Ledger::import`].
    pub(in crate::ledger) async fn import(&self, import: i64) -> Result<Arrived, LedgerError> {
        self.read(move |tx| {
            let sql = format!("SELECT {COLUMNS} FROM imports WHERE import = ?1");
            let found = tx.one(&sql, [import], read)?;
            found.ok_or_else(|| LedgerError::NotFound("there is no such import".to_owned()))
        })
        .await
    }
}

/// Files before a number, the newest first: the number is the table's key.
fn newest() -> String {
    format!("SELECT {COLUMNS} FROM imports WHERE import < ?1 ORDER BY import DESC LIMIT ?2")
}

fn read(row: &Row<'_>) -> Result<Arrived, LedgerError> {
    Ok(Arrived {
        import: row.get(0)?,
        source: row.get(1)?,
        spool: row.get(2)?,
        said: row.get(3)?,
        who: row.get(4)?,
        said_at: Time(row.get(5)?),
        state: row.get(6)?,
        ended_at: row.get::<_, Option<i64>>(7)?.map(Time),
        came: row.get(8)?,
        outcome: row.get(9)?,
    })
}
