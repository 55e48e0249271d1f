//! Where a ledger is, and connections to it: a file, or a database of a server.
//!
//! It knows how a connection is made and when one is not to be trusted any more, and
//! nothing of what is asked over it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use secrecy::{ExposeSecret as _, SecretString};

use super::schema;
use super::tx::Conn;
use crate::ledger::postgres::{self, Client, Limits};
use crate::ledger::{LedgerError, sqlite_path};

/// How a URL of a server begins.
const SERVERS: [&str; 2] = ["postgres://", "postgresql://"];

/// Where a ledger is.
#[derive(Clone)]
pub(super) enum Home {
    /// A file.
    File(PathBuf),
    /// A database; the URL may hold a password.
    Server(SecretString),
}

/// A connection.
pub(super) enum Link {
    File(Connection),
    Server(RefCell<Client>),
}

impl Link {
    /// Whether a kept connection is of no use any more.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Link::File(_) => false,
            Link::Server(client) => client.borrow_mut().is_lost(),
        }
    }

    /// What a transaction runs on.
    pub(super) fn conn(&self) -> Conn<'_> {
        match self {
            Link::File(conn) => Conn::Sqlite(conn),
            Link::Server(client) => Conn::Postgres(client),
        }
    }
}

impl Home {
    /// Reads a URL. An error does not tell it.
    pub(super) fn of(url: &str) -> Result<Home, LedgerError> {
        match SERVERS.iter().any(|begins| url.starts_with(begins)) {
            true => Ok(Home::Server(SecretString::from(url))),
            false => sqlite_path(url).map(Home::File),
        }
    }

    /// The file, where it is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Home::File(path) => Some(path),
            Home::Server(_) => None,
        }
    }

    /// Where it is, for people; without a password.
    pub(super) fn name(&self) -> Result<String, LedgerError> {
        match self {
            Home::File(path) => Ok(path.display().to_string()),
            Home::Server(url) => postgres::name_of(url.expose_secret()),
        }
    }

    /// Whether there is a ledger; a database or file that is something else is an error.
    pub(super) fn is_there(&self) -> Result<bool, LedgerError> {
        match self {
            Home::File(path) => Ok(std::fs::metadata(path).is_ok_and(|it| it.len() > 0)),
            Home::Server(url) => {
                postgres::is_there(&mut Client::open(url.expose_secret(), Limits::COPYING)?)
            }
        }
    }

    /// Whether both are one file.
    pub(super) fn is_same_file(&self, other: &Home) -> bool {
        let identity = |home: &Home| home.file().and_then(schema::identity);
        identity(self).is_some_and(|ours| identity(other) == Some(ours))
    }

    /// A connection that may take its time.
    pub(super) fn connect_to_copy(&self) -> Result<Link, LedgerError> {
        match self {
            Home::File(path) => Ok(Link::File(schema::connect(path)?)),
            Home::Server(url) => {
                let client = Client::open(url.expose_secret(), Limits::COPYING)?;
                Ok(Link::Server(RefCell::new(client)))
            }
        }
    }

    /// Makes the tables, or brings them to this program's version, and connects.
    pub(super) fn found(&self, serving: bool) -> Result<Link, LedgerError> {
        match self {
            Home::File(path) => {
                let mut conn = schema::connect(path)?;
                schema::migrate(&mut conn)?;
                Ok(Link::File(conn))
            }
            Home::Server(url) => {
                let mut client = Client::open(url.expose_secret(), Limits::MIGRATING)?;
                postgres::look_at_server(&mut client)?;
                postgres::migrate(&mut client)?;
                drop(client);
                self.connect_server(url, serving)
            }
        }
    }

    /// A connection to write by.
    pub(super) fn connect(&self, serving: bool) -> Result<Link, LedgerError> {
        match self {
            Home::File(path) => Ok(Link::File(schema::connect(path)?)),
            Home::Server(url) => self.connect_server(url, serving),
        }
    }

    /// The same after a fault.
    pub(super) fn reconnect(&self, serving: bool) -> Result<Link, LedgerError> {
        match self {
            Home::File(path) => Ok(Link::File(schema::reopen(path, serving)?)),
            Home::Server(url) => self.connect_server(url, serving),
        }
    }

    /// A connection to read by.
    pub(super) fn connect_to_read(&self, serving: bool) -> Result<Link, LedgerError> {
        match self {
            Home::File(path) => Ok(Link::File(schema::connect_to_read(path)?)),
            Home::Server(url) => self.connect_server(url, serving),
        }
    }

    fn connect_server(&self, url: &SecretString, serving: bool) -> Result<Link, LedgerError> {
        let limits = match serving {
            true => Limits::SERVING,
            false => Limits::COMMAND,
        };
        let client = Client::open(url.expose_secret(), limits)?;
        Ok(Link::Server(RefCell::new(client)))
    }
}

/// Runs what waits for a server on a thread that drives nothing else, and waits for it.
pub(super) fn aside<T: Send>(
    work: impl FnOnce() -> Result<T, LedgerError> + Send,
) -> Result<T, LedgerError> {
    std::thread::scope(|threads| {
        let joined = threads.spawn(work).join();
        joined.unwrap_or_else(|_| Err(LedgerError::Unavailable("it was cut off".to_owned())))
    })
}
