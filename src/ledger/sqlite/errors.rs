//! What SQLite's errors mean, by their codes. It does nothing about them.

use crate::ledger::LedgerError;

/// What an error of SQLite means for the caller.
pub(in crate::ledger) fn classify(error: rusqlite::Error) -> LedgerError {
    use rusqlite::ErrorCode as Code;
    let Some(code) = error.sqlite_error_code() else {
        return LedgerError::Unusable(format!("the ledger holds something unexpected: {error}"));
    };
    match code {
        Code::DatabaseBusy | Code::DatabaseLocked => {
            LedgerError::Unavailable("the ledger is locked by another program".to_owned())
        }
        Code::DiskFull => LedgerError::Unavailable("the disk is full".to_owned()),
        Code::ReadOnly => LedgerError::Unavailable("the ledger's file is read-only".to_owned()),
        Code::CannotOpen => {
            LedgerError::Unavailable("the ledger's file cannot be opened".to_owned())
        }
        Code::SystemIoFailure => {
            LedgerError::Unavailable("the disk failed to read or write the ledger".to_owned())
        }
        Code::DatabaseCorrupt | Code::NotADatabase => LedgerError::Damaged,
        _ => LedgerError::Unusable(format!("the ledger refused a statement: {error}")),
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> LedgerError {
        classify(error)
    }
}
