//! What an error of PostgreSQL means for the caller, by its SQLSTATE. No sentence
//! holds a password, a value of a statement or a line of the server's `DETAIL`, which
//! quotes rows.
//!
//! The codes are those of the manual's appendix "PostgreSQL Error Codes".

use std::error::Error as _;
use std::io;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::ledger::LedgerError;

/// An error with what the caller of this module decides by.
#[derive(Debug)]
pub(super) struct Fault {
    /// What the verbs are told.
    pub error: LedgerError,
    /// The server's code, where the server answered.
    pub state: Option<SqlState>,
    /// The connection is of no use any more.
    pub lost: bool,
}

impl From<Fault> for LedgerError {
    fn from(fault: Fault) -> LedgerError {
        fault.error
    }
}

impl From<LedgerError> for Fault {
    fn from(error: LedgerError) -> Fault {
        Fault {
            error,
            state: None,
            lost: false,
        }
    }
}

fn unavailable(why: &str) -> LedgerError {
    LedgerError::Unavailable(why.to_owned())
}

/// The connection ended before the answer came.
pub(super) fn lost() -> Fault {
    Fault {
        error: unavailable("the connection to PostgreSQL was lost"),
        state: None,
        lost: true,
    }
}

/// No answer came in time; what the server made of it is not known.
pub(super) fn silent() -> Fault {
    Fault {
        error: unavailable("PostgreSQL did not answer in time"),
        state: None,
        lost: true,
    }
}

/// What an error of a statement means.
pub(super) fn classify(error: &Error) -> Fault {
    let Some(told) = error.as_db_error() else {
        return lost();
    };
    Fault {
        error: meaning(told),
        state: Some(told.code().clone()),
        lost: ends_connection(told),
    }
}

/// Codes after which the server hangs up, beside the class 08: it is shut down or
/// restarted, or the session or its transaction was idle for too long.
const HANGS_UP: [&str; 5] = ["57P01", "57P02", "57P03", "57P05", "25P03"];

fn ends_connection(told: &DbError) -> bool {
    let code = told.code().code();
    matches!(told.severity(), "FATAL" | "PANIC")
        || code.starts_with("08")
        || HANGS_UP.contains(&code)
}

fn meaning(told: &DbError) -> LedgerError {
    let code = told.code().code();
    let why = match code {
        "57P01" | "57P02" | "57P03" => "PostgreSQL is shut down or starts again",
        "57P05" | "25P03" => "PostgreSQL ended a connection that was idle for too long",
        "25006" => "PostgreSQL takes no writes: it is a standby or read-only",
        "25P02" => "a statement of the same transaction failed before",
        "40001" | "40003" => "another transaction was in the way",
        "40P01" => "two transactions waited for each other",
        "55P03" => "the ledger is locked by another program",
        "57014" => "a statement took longer than it may",
        "53100" => "the disk of PostgreSQL is full",
        "53200" => "PostgreSQL is out of memory",
        "53300" => "PostgreSQL has too many connections",
        "58030" => "the disk of PostgreSQL failed to read or write",
        "XX001" | "XX002" => return LedgerError::Damaged,
        _ if code.starts_with("08") => "the connection to PostgreSQL was lost",
        _ if code.starts_with("53") => "PostgreSQL has reached a limit of its own",
        _ => return LedgerError::Unusable(refused(told)),
    };
    unavailable(why)
}

/// A statement that could not be run. The server's message quotes values in most
/// classes; in 0A, 3F and 42 it quotes the statement, whose values are not in it.
fn refused(told: &DbError) -> String {
    let code = told.code().code();
    let mut line = format!("the ledger refused a statement (SQLSTATE {code}");
    for (what, name) in [("table", told.table()), ("constraint", told.constraint())] {
        if let Some(name) = name {
            line.push_str(&format!(", {what} {name}"));
        }
    }
    line.push(')');
    if ["0A", "3F", "42"]
        .iter()
        .any(|class| code.starts_with(class))
    {
        line.push_str(": ");
        line.push_str(told.message());
    }
    line
}

/// What an error of opening a connection means. `at` is where, without a password.
pub(super) fn of_opening(error: &Error, at: &str) -> Fault {
    if let Some(told) = error.as_db_error() {
        return Fault {
            error: of_welcome(told, at),
            state: Some(told.code().clone()),
            lost: true,
        };
    }
    let cause = error.source();
    let io = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    let error = match (io, cause) {
        (Some(io), _) if io.kind() == io::ErrorKind::PermissionDenied && is_standby(io) => {
            LedgerError::Unavailable(format!(
                "PostgreSQL at {at} takes no writes: it is a standby or read-only"
            ))
        }
        (Some(io), _) => match io
            .get_ref()
            .and_then(|it| it.downcast_ref::<rustls::Error>())
        {
            Some(tls) => LedgerError::Unusable(format!(
                "no TLS with PostgreSQL at {at}: {tls}; see sslmode and sslrootcert in ledger.url"
            )),
            None => LedgerError::Unavailable(format!("cannot reach PostgreSQL at {at}: {io}")),
        },
        // The words of the client are its own; none of them come from the URL.
        (None, Some(cause)) => LedgerError::Unusable(format!(
            "cannot open PostgreSQL at {at}: {cause}{}",
            hint(&cause.to_string())
        )),
        (None, None) => {
            LedgerError::Unavailable(format!("PostgreSQL at {at} ended the connection"))
        }
    };
    Fault {
        error,
        state: None,
        lost: true,
    }
}

/// The client's own error for a server that is read-only; the system's errors of
/// that kind carry a number.
fn is_standby(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}

fn hint(cause: &str) -> &'static str {
    match cause {
        "server does not support TLS" => {
            "; write sslmode=disable into ledger.url if nobody else is on the network between"
        }
        _ => "",
    }
}

fn of_welcome(told: &DbError, at: &str) -> LedgerError {
    let code = told.code().code();
    match code {
        "28P01" => LedgerError::Unusable(format!(
            "PostgreSQL at {at} refused the password of ledger.url (SQLSTATE {code})"
        )),
        _ if code.starts_with("28") => LedgerError::Unusable(format!(
            "PostgreSQL at {at} does not let this user in (SQLSTATE {code}): its pg_hba.conf \
             says who may come from where, and with TLS or without"
        )),
        "3D000" => LedgerError::Unusable(format!(
            "PostgreSQL at {at} has no database of the name in ledger.url (SQLSTATE {code})"
        )),
        _ => meaning(told),
    }
}
