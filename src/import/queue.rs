//! Files that came by the API: kept in a folder, by default beside the ledger, recorded
//! one after the other by the process that serves and has them, and begun again after a
//! restart.
//!
//! The folder holds the file until it is recorded, and its report after that.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::report::Report;
use super::run::{self, Came, ImportError, Watch};
use super::settings::{self, Said};
use super::view::view;
use crate::app::App;
use crate::ledger::imports::Arrived;
use crate::ledger::rows::{RowTold, RowsFrom};
use crate::ledger::{LedgerError, Word};

/// How long a ledger that cannot be asked for work is left alone.
const AGAIN: Duration = Duration::from_secs(5);

/// What is said about a file that comes by the API.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SaidOfFile {
    /// As on the command line.
    pub format: Option<String>,
    /// As on the command line.
    pub zone: Option<String>,
    /// True where it is only tried.
    #[serde(default)]
    pub dry_run: bool,
    /// True where it is history only.
    #[serde(default)]
    pub no_forward: bool,
}

impl SaidOfFile {
    /// As the options of a file take it.
    #[must_use]
    pub fn said(&self) -> Said {
        Said {
            format: self.format.clone(),
            map: Vec::new(),
            zone: self.zone.clone(),
            currency: None,
        }
    }
}

/// The files of one process.
pub struct Queue {
    folder: PathBuf,
    arrived: Notify,
    /// The import that runs and how far it is.
    running: Mutex<Option<(i64, Came)>>,
}

impl Queue {
    /// The files in `folder`; where none is said beside the ledger at `ledger`, and where
    /// that is a server, in the working directory.
    #[must_use]
    pub fn new(folder: Option<&Path>, ledger: Option<&Path>) -> Queue {
        let beside = || {
            let ledger = ledger.unwrap_or(Path::new("tributary"));
            let mut name = ledger.as_os_str().to_owned();
            name.push("-imports");
            PathBuf::from(name)
        };
        Queue {
            folder: folder.map_or_else(beside, Path::to_path_buf),
            arrived: Notify::new(),
            running: Mutex::new(None),
        }
    }

    /// A new name in the folder, which is made where there is none.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn new_spool(&self) -> std::io::Result<(String, PathBuf)> {
        use std::os::unix::fs::DirBuilderExt as _;
        // What is in it is about people.
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.folder)?;
        let name = format!("{}.csv", hex::encode(rand::random::<[u8; 12]>()));
        let path = self.folder.join(&name);
        Ok((name, path))
    }

    /// The report of an import.
    #[must_use]
    pub fn report(&self, arrived: &Arrived) -> PathBuf {
        self.folder.join(format!("{}.report", arrived.spool))
    }

    /// How far an import is, while it runs here.
    #[must_use]
    pub fn came(&self, import: i64) -> Option<Came> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let running = running.as_ref().filter(|(number, _)| *number == import);
        running.map(|(_, came)| came.clone())
    }

    /// Says that a file arrived.
    pub fn wake(&self) {
        self.arrived.notify_one();
    }

    /// Records what arrived, one file after the other, until `stop`.
    pub async fn run(self: Arc<Queue>, app: App, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // Of several replicas the one records a file that has it.
            let (folder, shared) = (self.folder.clone(), app.ledger.is_shared());
            let is_here = move |spool: &str| !shared || folder.join(spool).exists();
            let next = app.ledger.next_import(is_here).await;
            let pause = match next {
                Ok(Some(arrived)) => match self.one(&app, &arrived, &stop).await {
                    Ok(()) => continue,
                    Err(error) => {
                        tracing::warn!(import = arrived.import, %error, "an import waits for the ledger");
                        AGAIN
                    }
                },
                Ok(None) => Duration::MAX,
                Err(_) => AGAIN,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.arrived.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Records one file. A stop leaves it to the next process.
    async fn one(
        &self,
        app: &App,
        arrived: &Arrived,
        stop: &CancellationToken,
    ) -> Result<(), LedgerError> {
        let path = self.folder.join(&arrived.spool);
        let ended = self.record(app, arrived, &path, stop).await;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let (came, failed) = match ended {
            Ok(None) => return Ok(()),
            Ok(Some(came)) => (Some(came.to_string()), None),
            // The rest waits with the ledger.
            Err(ImportError::Ledger(error @ LedgerError::Unavailable(_))) => return Err(error),
            Err(error) => (None, Some(error.to_string())),
        };
        app.ledger.end_import(arrived.import, came, failed).await?;
        // What cannot be deleted lies there and harms nobody.
        let _ = std::fs::remove_file(&path);
        Ok(())
    }

    /// What came of a file; `None` where the process ends first.
    async fn record(
        &self,
        app: &App,
        arrived: &Arrived,
        path: &Path,
        stop: &CancellationToken,
    ) -> Result<Option<serde_json::Value>, ImportError> {
        let said: SaidOfFile = serde_json::from_str(&arrived.said).unwrap_or_default();
        let options = settings::options(&app.config, &arrived.source, &said.said())?;
        let gone = |_| super::row::Refused("the file is gone; send it again".to_owned());
        let file = File::open(path).map_err(gone)?;
        let report = Report::create(&self.report(arrived)).map_err(ImportError::Report)?;
        let name = format!("api-{}", arrived.import);
        let from = RowsFrom {
            source: arrived.source.clone(),
            file: name.clone(),
            no_forward: said.no_forward,
            word: Word {
                who: arrived.who.clone(),
                why: "an import by the API with no_forward".to_owned(),
                at: arrived.said_at,
            },
        };
        let halt = Arc::new(AtomicBool::new(false));
        let mut watch = Watched {
            queue: self,
            import: arrived.import,
            app,
            source: (!said.dry_run).then_some(arrived.source.as_str()),
            report,
            stop,
            halt: Arc::clone(&halt),
        };
        let came = match said.dry_run {
            false => run::run(&app.ledger, file, (options, from), halt, &mut watch).await?,
            true => {
                let scratch = app.ledger.scratch().await?;
                let came = run::run(&scratch.ledger, file, (options, from), halt, &mut watch).await;
                scratch.ledger.close().await;
                came?
            }
        };
        watch.report.finish().map_err(ImportError::Report)?;
        if came.stopped {
            return Ok(None);
        }
        Ok(Some(view(app, said.dry_run, &name, &arrived.source, &came)))
    }
}

struct Watched<'a> {
    queue: &'a Queue,
    import: i64,
    app: &'a App,
    /// Whose forwarder is to be woken, where anything is forwarded.
    source: Option<&'a str>,
    report: Report,
    stop: &'a CancellationToken,
    halt: Arc<AtomicBool>,
}

impl Watch for Watched<'_> {
    fn row(&mut self, told: &RowTold) -> Result<(), String> {
        self.report.row(told)
    }

    fn came(&mut self, came: &Came) {
        let mut running = self.queue.running.lock();
        let running = running.as_deref_mut();
        if let Ok(running) = running {
            *running = Some((self.import, came.clone()));
        }
        if let Some(source) = self.source {
            self.app.wake(source);
        }
        if self.stop.is_cancelled() {
            self.halt.store(true, Ordering::Relaxed);
        }
    }
}
