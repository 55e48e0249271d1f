//! Moving a ledger to another place, and making a second one of it.
//!
//! What could pay twice is two ledgers that know the same payments and both forward.
//! So the old one is closed before the first row is read, in the row that every
//! transaction which writes looks at (`ledger::closed`); the new one is closed until it
//! is whole and both were read again and found the same; and it opens only after the
//! old one says that it was moved. A kill between any two steps leaves both closed,
//! and the same order goes on: the number of the copy, which stands in both, says that
//! they belong together. Where the old one stays in use, the new one has the mark of a
//! backup (`copy.rs`). Which rows there are is `tables`, how they are copied `carry`.

use std::fs::File;

use super::carry::carry;
use super::copy::COPIED_AT;
use super::home::{Home, Link};
use super::tables::{MOVED_HERE, TABLES, TableDigest, whole};
use super::tx::Tx;
use super::{AllTerms, LedgerError, schema};
use crate::day::Zone;
use crate::ledger::closed::{Closed, Why};
use crate::ledger::copying::{Came, Copied, Order, Stage, TableRows, Then};
use crate::time::Time;

/// The row of the writer.
const WRITER_ROW: &str = "writer";

/// A ledger that is there or is to be made.
struct Side {
    home: Home,
    name: String,
    terms: AllTerms,
    zone: Zone,
    now: Time,
    /// Held where nobody may serve on the file meanwhile.
    lock: Option<File>,
}

fn refused(why: impl Into<String>) -> LedgerError {
    LedgerError::Refused(why.into())
}

impl Side {
    fn of(url: &str, now: Time) -> Result<Side, LedgerError> {
        let home = Home::of(url)?;
        Ok(Side {
            name: home.name()?,
            home,
            terms: AllTerms::new(),
            zone: Zone::utc(),
            now,
            lock: None,
        })
    }

    /// Keeps a file from being served. Of a server its presence rows tell.
    fn lock(&mut self) -> Result<(), LedgerError> {
        if let Some(path) = self.home.file() {
            self.lock = Some(schema::lock(path)?);
        }
        Ok(())
    }

    fn must_be_there(&self) -> Result<(), LedgerError> {
        match self.home.is_there()? {
            true => Ok(()),
            false => Err(refused(format!("there is no ledger at {}", self.name))),
        }
    }

    /// Brings it to this program's version, or makes it, and connects.
    fn open(&self) -> Result<Link, LedgerError> {
        drop(self.home.found(false)?);
        self.home.connect_to_copy()
    }

    fn tx<'a>(&'a self, link: &'a Link) -> Tx<'a> {
        Tx::new(link.conn(), &self.terms, &self.zone, self.now)
    }
}

impl Tx<'_> {
    /// A transaction on a ledger that may be closed; `verb` is told why it is.
    fn although_closed<T>(
        &self,
        verb: impl FnOnce(Option<Closed>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let standing = self.conn.begin_where_closed()?;
        match Closed::read(&standing).and_then(verb) {
            Ok(done) => self.conn.commit().map(|()| done),
            Err(error) => {
                // What failed is told; a rollback that fails changes nothing.
                let _ = self.conn.roll_back();
                Err(error)
            }
        }
    }

    fn close_as(&self, closed: &Closed) -> Result<(), LedgerError> {
        self.set_meta(WRITER_ROW, &closed.standing()?)
    }

    fn open_again(&self) -> Result<(), LedgerError> {
        self.set_meta(WRITER_ROW, "")
    }

    fn has_no_rows(&self) -> Result<bool, LedgerError> {
        for table in &TABLES {
            if !table.is_empty(self)? {
                return Ok(false);
            }
        }
        Ok(self.meta(MOVED_HERE)?.is_none())
    }

    /// Refuses to close a ledger that is in use.
    fn must_be_idle(&self, name: &str) -> Result<(), LedgerError> {
        if let Some(ago) = self.served_ms_ago()? {
            return Err(refused(format!(
                "somebody serves on {name}: it said so {} s ago. Stop it first; one that was \
                 killed counts as gone after 15 s",
                ago / 1_000
            )));
        }
        let waiting: Option<i64> = self.one(
            "SELECT count(*) FROM imports WHERE ended_at IS NULL",
            [],
            |row| row.get(0),
        )?;
        match waiting.unwrap_or(0) {
            0 => Ok(()),
            files => Err(refused(format!(
                "{files} files that came by the API are not recorded yet, and they lie beside \
                 {name}: let \"serve\" record them first"
            ))),
        }
    }
}

/// As [`crate::ledger::copying::copy`].
pub(in crate::ledger) fn copy(
    order: &Order,
    watch: &mut dyn FnMut(Stage),
) -> Result<Copied, LedgerError> {
    let now = order.clock.now();
    let mut from = Side::of(&order.from, now)?;
    let mut to = Side::of(&order.to, now)?;
    from.must_be_there()?;
    if from.home.is_same_file(&to.home) {
        return Err(refused(
            "--from and --to are the same file; name another place",
        ));
    }
    to.lock()?;
    match order.then {
        Then::Keep => keep(&from, &to, watch),
        Then::Close => {
            from.lock()?;
            relocate(&from, &to, watch)
        }
    }
}

/// As [`crate::ledger::copying::give_up`].
pub(in crate::ledger) fn give_up(url: &str) -> Result<String, LedgerError> {
    let mut from = Side::of(url, Time(0))?;
    from.must_be_there()?;
    from.lock()?;
    let link = from.home.connect_to_copy()?;
    let tx = from.tx(&link);
    tx.although_closed(|closed| match closed {
        Some(Closed {
            why: Why::Moving, ..
        }) => tx.open_again(),
        Some(closed) => Err(refused(closed.sentence())),
        None => Err(refused(format!("{} is not being moved", from.name))),
    })?;
    drop(tx);
    drop(link);
    Ok(from.name)
}

/// Moves a ledger, or goes on with that.
fn relocate(from: &Side, to: &Side, watch: &mut dyn FnMut(Stage)) -> Result<Copied, LedgerError> {
    let (old, new) = (from.open()?, to.open()?);
    let (old_tx, new_tx) = (from.tx(&old), to.tx(&new));
    // Nothing is closed for a place that cannot be copied to.
    let begun = old_tx.although_closed(Ok)?;
    if let Some(done) = moved_before(begun.as_ref(), (from, to), &new_tx)? {
        return Ok(done);
    }
    new_tx.although_closed(|closed| takes(to, &new_tx, closed, begun.as_ref()))?;
    let mark = old_tx.although_closed(|closed| match closed {
        None => {
            old_tx.must_be_idle(&from.name)?;
            let mark = Closed {
                why: Why::Moving,
                copy: hex::encode(rand::random::<[u8; 16]>()),
                other: to.name.clone(),
                at: from.now,
            };
            old_tx.close_as(&mark)?;
            Ok(mark)
        }
        Some(closed) if closed.why == Why::Unfinished => Err(refused(closed.sentence())),
        Some(closed) => Ok(closed),
    })?;
    watch(Stage::Closed);
    let unfinished = Closed {
        why: Why::Unfinished,
        copy: mark.copy.clone(),
        other: from.name.clone(),
        at: mark.at,
    };
    begin_copy(to, &new_tx, &unfinished, Some(&mark))?;
    let tables = fill(from, (&new_tx, &unfinished), watch)?;

    old_tx.although_closed(|closed| match closed {
        Some(closed) if closed.copy == mark.copy => old_tx.close_as(&Closed {
            why: Why::Moved,
            ..closed
        }),
        _ => Err(refused("somebody gave up this copy meanwhile")),
    })?;
    open_copy(&new_tx, &unfinished, |tx| {
        tx.set_meta(MOVED_HERE, &mark.copy)
    })?;
    Ok(told((from, to), Came::Moved, &tables))
}

/// Makes a second ledger of one that stays in use, as it is at this moment.
fn keep(from: &Side, to: &Side, watch: &mut dyn FnMut(Stage)) -> Result<Copied, LedgerError> {
    // One that is of an older version is brought to this one, as by any command.
    drop(from.home.found(false)?);
    let new = to.open()?;
    let new_tx = to.tx(&new);
    let unfinished = Closed {
        why: Why::Unfinished,
        copy: hex::encode(rand::random::<[u8; 16]>()),
        other: from.name.clone(),
        at: to.now,
    };
    begin_copy(to, &new_tx, &unfinished, None)?;
    let tables = fill(from, (&new_tx, &unfinished), watch)?;
    open_copy(&new_tx, &unfinished, |tx| {
        tx.set_meta(COPIED_AT, &tx.now.ms().to_string())?;
        tx.queue(
            "UPDATE destinations SET adopted_at = NULL, lost_at = NULL",
            [],
        )
    })?;
    Ok(told((from, to), Came::Copied, &tables))
}

/// Closes the ledger that is to be filled; it must be empty, or begun by this copy.
fn begin_copy(
    to: &Side,
    tx: &Tx<'_>,
    unfinished: &Closed,
    mark: Option<&Closed>,
) -> Result<(), LedgerError> {
    tx.although_closed(|closed| {
        takes(to, tx, closed, mark)?;
        tx.close_as(unfinished)
    })
}

/// Opens the ledger that was filled.
fn open_copy(
    tx: &Tx<'_>,
    unfinished: &Closed,
    last: impl FnOnce(&Tx<'_>) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    tx.although_closed(|closed| match closed {
        Some(closed) if closed == *unfinished => {
            last(tx)?;
            tx.open_again()
        }
        _ => Err(refused(
            "somebody else finished, began or gave up this copy meanwhile",
        )),
    })
}

/// Whether this move was finished before.
fn moved_before(
    begun: Option<&Closed>,
    (from, to): (&Side, &Side),
    new: &Tx<'_>,
) -> Result<Option<Copied>, LedgerError> {
    let Some(moved) = begun.filter(|closed| closed.why == Why::Moved) else {
        return Ok(None);
    };
    let here = new.meta(MOVED_HERE)?;
    Ok((here.as_ref() == Some(&moved.copy)).then(|| told((from, to), Came::MovedBefore, &[])))
}

/// Whether a place takes this copy: it is empty, or the copy was begun there.
fn takes(
    to: &Side,
    tx: &Tx<'_>,
    closed: Option<Closed>,
    mark: Option<&Closed>,
) -> Result<(), LedgerError> {
    match (closed, mark) {
        (Some(closed), Some(mark)) if closed.why == Why::Unfinished && closed.copy == mark.copy => {
            Ok(())
        }
        (Some(closed), _) => Err(refused(format!(
            "{} does not take this copy: {}",
            to.name,
            closed.sentence()
        ))),
        (None, Some(mark)) if mark.why == Why::Moved || mark.other != to.name => {
            Err(refused(mark.sentence()))
        }
        (None, _) => match tx.has_no_rows()? {
            true => Ok(()),
            false => Err(refused(format!(
                "{} holds a ledger already; a copy needs a file or a database of its own",
                to.name
            ))),
        },
    }
}

/// Copies what is not there yet, then reads both and compares them.
fn fill(
    from: &Side,
    (new, unfinished): (&Tx<'_>, &Closed),
    watch: &mut dyn FnMut(Stage),
) -> Result<Vec<TableDigest>, LedgerError> {
    let snapshot = from.home.connect_to_copy()?;
    let old = from.tx(&snapshot);
    old.conn.begin_to_read()?;
    carry(&old, new, &unfinished.standing()?, &mut |table, rows| {
        watch(Stage::Copied { table, rows });
    })?;
    let compared = compare(&old, new, watch)?;
    old.conn.roll_back()?;
    Ok(compared)
}

fn compare(
    old: &Tx<'_>,
    new: &Tx<'_>,
    watch: &mut dyn FnMut(Stage),
) -> Result<Vec<TableDigest>, LedgerError> {
    new.conn.begin_to_read()?;
    let (mut same, mut others) = (Vec::new(), Vec::new());
    for table in &TABLES {
        watch(Stage::Compared { table: table.name });
        let (there, here) = (table.digest(old)?, table.digest(new)?);
        match there == here {
            true => same.push(there),
            false => others.push(format!(
                "{} ({} rows, {} in the copy)",
                table.name, there.rows, here.rows
            )),
        }
    }
    new.conn.roll_back()?;
    match others.is_empty() {
        true => Ok(same),
        false => Err(refused(format!(
            "the copy is not what it is a copy of, in {}: it stays closed. Remove it and \
             copy again",
            others.join(", ")
        ))),
    }
}

fn told((from, to): (&Side, &Side), came: Came, tables: &[TableDigest]) -> Copied {
    Copied {
        from: from.name.clone(),
        to: to.name.clone(),
        came,
        tables: tables
            .iter()
            .map(|it| TableRows {
                table: it.table.to_owned(),
                rows: it.rows,
            })
            .collect(),
        digest: (came != Came::MovedBefore).then(|| whole(tables)),
    }
}
