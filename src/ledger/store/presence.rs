//! Who serves on a ledger in PostgreSQL, for who must not work beside that: each
//! writes the server's time into a row of its own, again and again.
//!
//! It is not needed for correctness: whoever closes a ledger does that in its writer's
//! row, and a process that was believed gone can write nothing after it. It only
//! keeps people from closing a ledger under a service that works.

use std::time::Duration;

use super::opening::SET_META;
use super::tx::{Conn, Tx};
use super::{LedgerError, Store};
use crate::ledger::sql::unexpected;
use crate::time::{DAY_MS, SECOND_MS};

/// How often a row is written.
const EVERY: Duration = Duration::from_secs(5);
/// After how long a row is of a process that is gone: two more may be missed.
const GONE_AFTER_MS: i64 = 15 * SECOND_MS;
/// After how long such a row is taken away.
const FORGOTTEN_AFTER_MS: i64 = DAY_MS;

/// How long the end of a process waits for that.
const LEAVE_MOST: Duration = Duration::from_secs(2);

/// How the names of these rows in `meta` begin, and the first name behind them.
const ROWS: (&str, &str) = ("serving/", "serving0");

/// Whether a name in `meta` is such a row's.
pub(super) fn is_presence(name: &str) -> bool {
    name.starts_with(ROWS.0)
}

/// Keeps the row of this process fresh until it is dropped.
pub(super) struct Presence {
    row: String,
    _stop: Option<std::sync::mpsc::Sender<()>>,
}

impl Presence {
    /// A process that is not told of yet.
    pub(super) fn new() -> Presence {
        Presence {
            row: format!("{}{}", ROWS.0, hex::encode(rand::random::<[u8; 8]>())),
            _stop: None,
        }
    }

    /// Goes on telling through `writer`.
    pub(super) fn keep(self, writer: &super::writer::Writer) -> Result<Presence, LedgerError> {
        let row = self.row.clone();
        let stop = writer.repeat(EVERY, move |tx| tx.tell_presence(&row))?;
        Ok(Presence {
            _stop: Some(stop),
            ..self
        })
    }
}

impl Store {
    /// Takes the row of this process away, so that nobody waits for it.
    pub(super) async fn leave(&self) {
        if let Some(presence) = &self.presence {
            let row = presence.row.clone();
            let away = self.write(move |tx| tx.run("DELETE FROM meta WHERE name = ?1", [row]));
            // Where it cannot be taken away it grows old.
            let _ = tokio::time::timeout(LEAVE_MOST, away).await;
        }
    }
}

impl Tx<'_> {
    /// The server's own time: the clocks of those who serve may differ.
    fn server_ms(&self) -> Result<i64, LedgerError> {
        match self.conn {
            Conn::Sqlite(_) => Ok(self.now.ms()),
            Conn::Postgres(_) => self
                .one(
                    "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
                    [],
                    |row| row.get(0),
                )?
                .ok_or_else(|| unexpected("no time")),
        }
    }

    /// Says that a process serves.
    pub(super) fn announce(&self, presence: &Presence) -> Result<(), LedgerError> {
        let now = self.server_ms()?;
        for (row, ms) in self.presences()? {
            if now.saturating_sub(ms) > FORGOTTEN_AFTER_MS {
                self.queue("DELETE FROM meta WHERE name = ?1", [row])?;
            }
        }
        self.tell_presence(&presence.row)
    }

    fn tell_presence(&self, row: &str) -> Result<(), LedgerError> {
        let now = self.server_ms()?.to_string();
        self.queue(SET_META, [row, &now])
    }

    fn presences(&self) -> Result<Vec<(String, i64)>, LedgerError> {
        self.all(
            "SELECT name, value FROM meta WHERE name >= ?1 AND name < ?2",
            [ROWS.0, ROWS.1],
            |row| {
                let ms: String = row.get(1)?;
                let ms = ms.parse().map_err(|_| unexpected("a time that is none"))?;
                Ok((row.get(0)?, ms))
            },
        )
    }

    /// How long ago somebody said that it serves, in milliseconds, where that is not
    /// too long ago.
    pub(super) fn served_ms_ago(&self) -> Result<Option<i64>, LedgerError> {
        if !self.is_shared() {
            return Ok(None);
        }
        let now = self.server_ms()?;
        let told = self.presences()?.into_iter().map(|(_, ms)| now - ms);
        Ok(told.min().filter(|ago| *ago < GONE_AFTER_MS))
    }
}
