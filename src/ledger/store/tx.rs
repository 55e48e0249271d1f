//! One transaction of a store: the connection, the terms and the time.
//!
//! Small statements that several verbs share. Each verb's own SQL stands in its
//! own file.

use std::cell::{Cell, RefCell};

use rusqlite::{Connection, OptionalExtension as _};

use super::schema;
use crate::day::Zone;
use crate::ledger::book::SourceTerms;
use crate::ledger::closed::refuse_closed;
use crate::ledger::postgres::{Client, WRITER};
use crate::ledger::sql::{FromValue as _, Params, Row, Value, unexpected};
use crate::ledger::{AllTerms, LedgerError};
use crate::plan::{Customer, CustomerBy};
use crate::time::Time;

/// How often a look is tried before it waits for each answer by itself: questions that
/// follow from one another are few.
const FORESEEN_MOST: usize = 6;

/// What a transaction runs on.
#[derive(Clone, Copy)]
pub(super) enum Conn<'a> {
    /// A file.
    Sqlite(&'a Connection),
    /// A server, which others may be connected to as well.
    Postgres(&'a RefCell<Client>),
}

impl Conn<'_> {
    /// Begins a transaction that writes: nobody else does until it ends.
    ///
    /// # Errors
    /// [`LedgerError::Unusable`] where the ledger is closed for good.
    pub(super) fn begin(self) -> Result<(), LedgerError> {
        let standing = self.begin_where_closed()?;
        refuse_closed(&standing).inspect_err(|_| {
            // Why it is closed says more than that there was nothing left to end.
            let _ = self.roll_back();
        })
    }

    /// The same for who closes and opens; answers what stands in the row of the
    /// writer. All who write take this row first, so that the writers of all replicas
    /// run one after another, as those of a file do, and none writes into a ledger
    /// that was closed meanwhile.
    pub(super) fn begin_where_closed(self) -> Result<String, LedgerError> {
        match self {
            Conn::Sqlite(conn) => {
                conn.execute_batch("BEGIN IMMEDIATE")?;
                let mut asked = conn.prepare_cached(schema::WRITER)?;
                let found = asked.query_row([], |row| row.get(0)).optional()?;
                Ok(found.unwrap_or_default())
            }
            Conn::Postgres(client) => {
                let mut client = client.borrow_mut();
                client.queue_batch("BEGIN ISOLATION LEVEL READ COMMITTED")?;
                let rows = client.query(WRITER, &[])?;
                // Without it nothing keeps the writers apart.
                let found = rows
                    .first()
                    .ok_or_else(|| unexpected("no row of the writers in meta"))?;
                String::from_value(found.value(0)?)
            }
        }
    }

    /// Begins a snapshot to read.
    pub(super) fn begin_to_read(self) -> Result<(), LedgerError> {
        match self {
            Conn::Sqlite(conn) => Ok(conn.execute_batch("BEGIN")?),
            Conn::Postgres(client) => client
                .borrow_mut()
                .queue_batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        }
    }

    /// Ends a transaction and keeps what it wrote.
    pub(super) fn commit(self) -> Result<(), LedgerError> {
        match self {
            Conn::Sqlite(conn) => Ok(conn.execute_batch("COMMIT")?),
            Conn::Postgres(client) => client.borrow_mut().commit(),
        }
    }

    /// Ends a transaction and takes back what it wrote.
    pub(super) fn roll_back(self) -> Result<(), LedgerError> {
        match self {
            Conn::Sqlite(conn) => Ok(conn.execute_batch("ROLLBACK")?),
            Conn::Postgres(client) => client.borrow_mut().roll_back("ROLLBACK"),
        }
    }

    /// Whether the store took the whole transaction back, as it does on some errors.
    pub(super) fn is_lost(self) -> bool {
        match self {
            Conn::Sqlite(conn) => conn.is_autocommit(),
            Conn::Postgres(client) => client.borrow_mut().is_lost(),
        }
    }

    /// How much was written so far. A server's transaction has always written: it
    /// holds the writer's row.
    pub(super) fn changes(self, before: u64) -> u64 {
        match self {
            Conn::Sqlite(conn) => conn.total_changes(),
            Conn::Postgres(_) => before + 1,
        }
    }
}

/// One transaction, or one snapshot for reading.
pub(super) struct Tx<'a> {
    pub(super) conn: Conn<'a>,
    terms: &'a AllTerms,
    /// Where the ledger's days begin and end.
    pub(super) zone: &'a Zone,
    pub(super) now: Time,
    /// Days whose segment was met and cannot be read.
    pub(super) broken: RefCell<Vec<i64>>,
    /// Whether a question that has no answer yet is only sent, as in [`Tx::foresee`].
    foreseeing: Cell<bool>,
}

impl<'a> Tx<'a> {
    pub(super) fn new(conn: Conn<'a>, terms: &'a AllTerms, zone: &'a Zone, now: Time) -> Tx<'a> {
        Tx {
            conn,
            terms,
            zone,
            now,
            broken: RefCell::default(),
            foreseeing: Cell::default(),
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
        read: impl FnOnce(&Row<'_>) -> Result<T, LedgerError>,
    ) -> Result<Option<T>, LedgerError> {
        let mut read = Some(read);
        let mut found = None;
        self.each(sql, params, |row| {
            found = read.take().map(|read| read(row)).transpose()?;
            Ok(false)
        })?;
        Ok(found)
    }

    /// All rows; the statement is kept prepared.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T, LedgerError>,
    ) -> Result<Vec<T>, LedgerError> {
        let mut rows = Vec::new();
        self.each(sql, params, |row| {
            rows.push(read(row)?);
            Ok(true)
        })?;
        Ok(rows)
    }

    /// Row by row, until `read` has seen enough; the statement is kept prepared.
    pub(super) fn each(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<bool, LedgerError>,
    ) -> Result<(), LedgerError> {
        match self.conn {
            Conn::Sqlite(conn) => {
                let mut statement = conn.prepare_cached(sql)?;
                bind(&mut statement, &params)?;
                let mut rows = statement.raw_query();
                while let Some(row) = rows.next()? {
                    if !read(&Row::Sqlite(row))? {
                        break;
                    }
                }
                Ok(())
            }
            Conn::Postgres(client) => {
                let values = values(&params)?;
                let rows = match self.foreseeing.get() {
                    false => Some(client.borrow_mut().query(sql, &values)?),
                    true => client.borrow_mut().glance(sql, &values)?,
                };
                for row in rows.iter().flat_map(|rows| rows.iter()) {
                    if !read(&Row::Postgres(row))? {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// Says what will be asked in a moment: a server answers all of that in one round
    /// trip. What is written in between is not in the answers, so writing forgets them
    /// and they are asked for again.
    pub(super) fn ahead(&self, sql: &str, params: impl Params) -> Result<(), LedgerError> {
        match self.conn {
            Conn::Sqlite(_) => Ok(()),
            Conn::Postgres(client) => client.borrow_mut().ask_ahead(sql, &values(&params)?),
        }
    }

    /// What `look` comes to, which only reads. For a server it is tried first with as much
    /// as is known, where what nobody answered yet counts as nothing, and all that it
    /// asks is asked at once: so it costs as many round trips as there are questions that
    /// follow from one another's answers, whatever their number.
    pub(super) fn foresee<T>(
        &self,
        look: impl Fn() -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let Conn::Postgres(client) = self.conn else {
            return look();
        };
        for _ in 0..FORESEEN_MOST {
            let before = self.foreseeing.replace(true);
            let looked = look();
            self.foreseeing.set(before);
            if before || !client.borrow_mut().answer_ahead()? {
                return looked;
            }
        }
        look()
    }

    /// What only looks ahead may write nothing.
    fn refuse_while_foreseeing(&self) -> Result<(), LedgerError> {
        match self.foreseeing.get() {
            true => Err(LedgerError::Unusable(
                "a write of what only looks".to_owned(),
            )),
            false => Ok(()),
        }
    }

    /// Changes rows; answers how many.
    pub(super) fn run(&self, sql: &str, params: impl Params) -> Result<usize, LedgerError> {
        self.refuse_while_foreseeing()?;
        match self.conn {
            Conn::Sqlite(conn) => {
                let mut statement = conn.prepare_cached(sql)?;
                bind(&mut statement, &params)?;
                Ok(statement.raw_execute()?)
            }
            Conn::Postgres(client) => client.borrow_mut().execute(sql, &values(&params)?),
        }
    }

    /// Writes rows of which nothing is asked: to a server it is sent with the next
    /// statement that is. What it meets is told by that one, or where the place is
    /// [let go](Tx::let_go).
    ///
    /// # Errors
    /// A file's, at once.
    pub(super) fn queue(&self, sql: &str, params: impl Params) -> Result<(), LedgerError> {
        self.refuse_while_foreseeing()?;
        match self.conn {
            Conn::Sqlite(_) => self.run(sql, params).map(|_| ()),
            Conn::Postgres(client) => client.borrow_mut().queue(sql, &values(&params)?),
        }
    }

    /// Inserts a row; answers its number, which stands in the column `number`.
    pub(super) fn insert(
        &self,
        sql: &str,
        number: &str,
        params: impl Params,
    ) -> Result<i64, LedgerError> {
        self.refuse_while_foreseeing()?;
        let inserted = match self.conn {
            Conn::Sqlite(conn) => {
                let inserted = self.run(sql, params)?;
                (inserted == 1).then(|| conn.last_insert_rowid())
            }
            Conn::Postgres(client) => {
                client.borrow_mut().forget_ahead();
                let sql = format!("{sql} RETURNING {number}");
                self.one(&sql, params, |row| row.get(0))?
            }
        };
        inserted.ok_or_else(|| unexpected("a row that was not inserted"))
    }

    /// The condition that a column has a character that is none of these.
    pub(super) fn holds_other_than(&self, column: &str, characters: &str) -> String {
        match self.conn {
            Conn::Sqlite(_) => format!("{column} GLOB '*[^{characters}]*'"),
            Conn::Postgres(_) => format!("{column} ~ '[^{characters}]'"),
        }
    }

    /// Gives a file's connection more memory and a longer log.
    pub(super) fn work_on_much(&self, cache_kib: i64, log_pages: i64) -> Result<(), LedgerError> {
        match self.conn {
            Conn::Sqlite(conn) => {
                conn.pragma_update(None, "cache_size", -cache_kib)?;
                conn.pragma_update(None, "wal_autocheckpoint", log_pages)?;
                Ok(())
            }
            Conn::Postgres(_) => Ok(()),
        }
    }

    /// Whether the store took the whole transaction back, as it does on some errors.
    pub(super) fn is_lost(&self) -> bool {
        self.conn.is_lost()
    }

    /// Marks a place to come back to.
    pub(super) fn save(&self, name: &str) -> Result<(), LedgerError> {
        self.place("SAVEPOINT", name)
    }

    /// Forgets the place and keeps what was done since.
    ///
    /// # Errors
    /// Of what was [queued](Tx::queue) since; the place is still there then.
    pub(super) fn let_go(&self, name: &str) -> Result<(), LedgerError> {
        match self.conn {
            Conn::Postgres(client) if client.borrow().owes_answers() => client
                .borrow_mut()
                .batch(&format!("RELEASE SAVEPOINT {name}")),
            _ => self.place("RELEASE SAVEPOINT", name),
        }
    }

    fn place(&self, word: &str, name: &str) -> Result<(), LedgerError> {
        let sql = format!("{word} {name}");
        match self.conn {
            Conn::Sqlite(_) => self.run(&sql, []).map(|_| ()),
            Conn::Postgres(client) => client.borrow_mut().queue_batch(&sql),
        }
    }

    /// Waits until everything that was [queued](Tx::queue) is done.
    ///
    /// # Errors
    /// Of that.
    pub(super) fn catch_up(&self) -> Result<(), LedgerError> {
        match self.conn {
            Conn::Postgres(client) if client.borrow().owes_answers() => {
                client.borrow_mut().batch("")
            }
            _ => Ok(()),
        }
    }

    /// Takes back what was done since the place.
    pub(super) fn go_back(&self, name: &str) -> Result<(), LedgerError> {
        let sql = format!("ROLLBACK TO SAVEPOINT {name}");
        match self.conn {
            Conn::Sqlite(_) => self.run(&sql, []).map(|_| ()),
            Conn::Postgres(client) => client.borrow_mut().roll_back(&sql),
        }
    }

    /// Whether others may serve on the same ledger.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.conn, Conn::Postgres(_))
    }
}

fn values(params: &impl Params) -> Result<Vec<Value<'_>>, LedgerError> {
    (0..params.count()).map(|at| params.at(at)).collect()
}

fn bind(statement: &mut rusqlite::Statement<'_>, params: &impl Params) -> Result<(), LedgerError> {
    for at in 0..params.count() {
        statement.raw_bind_parameter(at + 1, params.at(at)?)?;
    }
    Ok(())
}

/// A customer from two columns: the value and how the destination finds it.
pub(super) fn read_customer(row: &Row<'_>, at: usize) -> Result<Option<Customer>, LedgerError> {
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
pub(super) fn from_word<T: serde::de::DeserializeOwned>(word: String) -> Result<T, LedgerError> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|_| unexpected("a word"))
}
