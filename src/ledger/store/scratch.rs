//! A copy of the ledger to try something on, which goes afterwards.
//!
//! It is always a file: of a file, whose pages are copied beside it; of a server,
//! whose rows are copied in one snapshot into the system's folder for what is
//! temporary. Nobody is refused or waits while it is made, and it has no mark.

use super::carry::carry;
use super::home::Home;
use super::tx::{Conn, Tx};
use super::{LedgerError, Shared, Store, schema};
use crate::ledger::{Ledger, Opening, Scratch};
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

/// How the folder of a copy is named: what a kill left behind can be deleted.
const COPY_PREFIX: &str = ".tributary-dry-run-";

impl Store {
    /// As [`crate::ledger::Ledger::scratch`].
    pub(in crate::ledger) async fn scratch(&self) -> Result<Scratch, LedgerError> {
        let (home, shared) = (self.home.clone(), Arc::clone(&self.shared));
        let copied = tokio::task::spawn_blocking(move || {
            let beside = match home.file().and_then(Path::parent) {
                Some(folder) if folder != Path::new("") => folder.to_path_buf(),
                Some(_) => Path::new(".").to_path_buf(),
                None => std::env::temp_dir(),
            };
            // It is its owner's alone, like the ledger.
            let folder = tempfile::Builder::new()
                .prefix(COPY_PREFIX)
                .tempdir_in(beside)
                .map_err(|error| LedgerError::Unavailable(format!("no copy: {error}")))?;
            let file = folder.path().join("ledger.db");
            match &home {
                Home::File(path) => copy_pages(path, &file)?,
                Home::Server(_) => copy_rows(&home, &shared, &file)?,
            }
            let opening = Opening {
                url: format!("sqlite:{}", file.display()),
                terms: shared.terms.clone(),
                clock: shared.clock.clone(),
                report_zone: shared.zone.clone(),
                serve: false,
            };
            let ledger = Ledger::open(opening)?;
            Ok(Scratch {
                ledger,
                _folder: folder,
            })
        });
        let lost = || LedgerError::Unavailable("the copy was cut off".to_owned());
        copied.await.unwrap_or_else(|_| Err(lost()))
    }
}

fn copy_pages(from: &Path, to: &Path) -> Result<(), LedgerError> {
    let from = schema::connect_to_read(from)?;
    let mut to = Connection::open(to)?;
    rusqlite::backup::Backup::new(&from, &mut to)?.step(-1)?;
    Ok(())
}

fn copy_rows(from: &Home, shared: &Shared, to: &Path) -> Result<(), LedgerError> {
    let mut file = schema::connect(to)?;
    schema::migrate(&mut file)?;
    // What is thrown away need not survive a power cut.
    file.pragma_update(None, "synchronous", "OFF")?;
    let now = shared.clock.now();
    let link = from.connect_to_copy()?;
    let there = Tx::new(link.conn(), &shared.terms, &shared.zone, now);
    let here = Tx::new(Conn::Sqlite(&file), &shared.terms, &shared.zone, now);
    there.conn.begin_to_read()?;
    carry(&there, &here, "", &mut |_, _| {})?;
    there.conn.roll_back()
}
