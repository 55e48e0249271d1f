//! Files that came by the API, as people and programs are shown them.

use serde::Serialize;
use serde_json::Value;

use super::{ListError, UsageError, page_length};
use crate::app::App;
use crate::import::queue::SaidOfFile;
use crate::import::view::view;
use crate::ledger::LedgerError;
use crate::ledger::imports::Arrived;
use crate::time::SECOND_MS;

/// A file and how far it is.
#[derive(Clone, Debug, Serialize)]
pub struct ImportView {
    /// Its number, as text.
    pub id: String,
    /// The source that its payments belong to.
    pub source: String,
    /// `waiting`, `running`, `done` or `failed`.
    pub state: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// True where it is only tried.
    pub dry_run: bool,
    /// True where it is history only.
    pub no_forward: bool,
    /// Who sent it.
    pub who: String,
    /// When it arrived, RFC 3339 in UTC.
    pub begun_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// How long it took, waiting included.
    pub seconds: Option<i64>,
    /// What came of it, or of as much of it as was read.
    pub result: Option<Value>,
    /// Where its report is.
    pub report: String,
}

impl ImportView {
    fn of(app: &App, arrived: &Arrived) -> ImportView {
        let said: SaidOfFile = serde_json::from_str(&arrived.said).unwrap_or_default();
        let file = format!("api-{}", arrived.import);
        let result = match (&arrived.came, app.imports.came(arrived.import)) {
            (Some(came), _) => serde_json::from_str(came).ok(),
            (None, Some(came)) => Some(view(app, said.dry_run, &file, &arrived.source, &came)),
            (None, None) => None,
        };
        ImportView {
            id: arrived.import.to_string(),
            source: arrived.source.clone(),
            state: arrived.state.clone(),
            reason: arrived.outcome.clone(),
            dry_run: said.dry_run,
            no_forward: said.no_forward,
            who: arrived.who.clone(),
            begun_at: arrived.said_at.to_string(),
            ended_at: arrived.ended_at.map(|at| at.to_string()),
            seconds: arrived
                .ended_at
                .map(|at| at.since(arrived.said_at) / SECOND_MS),
            result,
            report: format!("/api/v1/imports/{}/report", arrived.import),
        }
    }
}

/// A page of files.
#[derive(Clone, Debug, Serialize)]
pub struct ImportList {
    /// The newest first.
    pub items: Vec<ImportView>,
    /// Where the next page starts; null at the end.
    pub next_cursor: Option<String>,
}

/// A page of the files that came.
///
/// # Errors
/// [`UsageError`] for a cursor or a length that is none, else as the ledger's.
pub async fn imports(
    app: &App,
    cursor: Option<&str>,
    limit: Option<&str>,
) -> Result<ImportList, ListError> {
    let limit = page_length(limit)?;
    let before = cursor.map(str::parse::<i64>).transpose();
    let before = before.map_err(|_| UsageError("cursor: not one of ours".to_owned()))?;
    let (files, next) = app.ledger.imports(before, limit).await?;
    let items = files.iter().map(|file| ImportView::of(app, file));
    Ok(ImportList {
        items: items.collect(),
        next_cursor: next.map(|number| number.to_string()),
    })
}

/// One file, by its number.
///
/// # Errors
/// [`LedgerError::NotFound`] also where it is no number.
pub async fn import(app: &App, id: &str) -> Result<(Arrived, ImportView), LedgerError> {
    let number = id.parse::<i64>();
    let number = number.map_err(|_| LedgerError::NotFound("there is no such import".to_owned()))?;
    let arrived = app.ledger.import(number).await?;
    let view = ImportView::of(app, &arrived);
    Ok((arrived, view))
}
