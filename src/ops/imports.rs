//! Files that came by the API, as people and programs are shown them.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{ListError, UsageError, mask_words, page_length};
use crate::app::App;
use crate::import::queue::SaidOfFile;
use crate::import::view::view;
use crate::ledger::LedgerError;
use crate::ledger::book::State;
use crate::ledger::imports::Arrived;
use crate::ledger::rows::RowTold;
use crate::money::{Currency, Minor};
use crate::time::SECOND_MS;

/// A file and how far it is.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
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
    #[schema(value_type = Option<ImportResult>)]
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

/// What came of a file, as `import --json` prints it. It is written by the import
/// itself and handed on as it is; here it is told to readers of the API's document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is of use")]
struct ImportResult {
    /// The file's name.
    file: String,
    /// The source.
    source: String,
    /// The layout of its columns.
    format: String,
    /// True where it was only tried.
    dry_run: bool,
    /// Rows read.
    rows: u64,
    /// Rows that were news.
    imported: u64,
    /// Rows whose payment has no customer.
    unattributed: u64,
    /// Rows that changed nothing.
    known: u64,
    /// Rows of what is not forwarded.
    ignored: u64,
    /// Rows that could not be read or recorded.
    rejected: u64,
    /// Why the file could not be read to its end.
    broken: Option<String>,
    /// True where it was stopped before its end.
    stopped: bool,
    /// Payments that became due.
    due: i64,
    /// Where they go.
    destination: Option<String>,
    /// How long that takes at the configured rate.
    forwarding_seconds: i64,
    /// How the money changed; not in lists.
    #[schema(required = false)]
    changes: Vec<ImportChange>,
    /// The first rows that were rejected; not in lists.
    #[schema(required = false)]
    rejected_first: Vec<RowTold>,
    /// The first rows without a customer; not in lists.
    #[schema(required = false)]
    unattributed_first: Vec<RowTold>,
}

/// How the money of one state, customer and currency changed, in minor units.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is of use")]
struct ImportChange {
    state: State,
    customer_key: Option<String>,
    currency: Option<Currency>,
    payments: i64,
    gross: Minor,
    reversed: Minor,
    net: Minor,
}

/// Parts of a result that may be long, which lists leave out.
const LONG: [&str; 3] = ["changes", "rejected_first", "unattributed_first"];

/// A page of files.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ImportList {
    /// The newest first.
    pub items: Vec<ImportView>,
    /// Where the next page starts; null at the end.
    pub next_cursor: Option<String>,
}

/// A page of the files that came. Email addresses are masked unless `plain`.
///
/// # Errors
/// [`UsageError`] for a cursor or a length that is none, else as the ledger's.
pub async fn imports(
    app: &App,
    cursor: Option<&str>,
    limit: Option<&str>,
    plain: bool,
) -> Result<ImportList, ListError> {
    let limit = page_length(limit)?;
    let before = cursor.map(str::parse::<i64>).transpose();
    let before = before.map_err(|_| UsageError("cursor: not one of ours".to_owned()))?;
    let (files, next) = app.ledger.imports(before, limit).await?;
    let items = files.iter().map(|file| {
        let mut view = ImportView::of(app, file);
        if let Some(result) = view.result.as_mut().and_then(Value::as_object_mut) {
            result.retain(|name, _| !LONG.contains(&name.as_str()));
        }
        if !plain {
            mask(&mut view);
        }
        view
    });
    Ok(ImportList {
        items: items.collect(),
        next_cursor: next.map(|number| number.to_string()),
    })
}

/// One file, by its number. Email addresses are masked unless `plain`.
///
/// # Errors
/// [`LedgerError::NotFound`] also where it is no number.
pub async fn import(app: &App, id: &str, plain: bool) -> Result<ImportView, LedgerError> {
    let mut view = ImportView::of(app, &arrived(app, id).await?);
    if !plain {
        mask(&mut view);
    }
    Ok(view)
}

/// The file itself, by its number.
///
/// # Errors
/// As [`import`].
pub(crate) async fn arrived(app: &App, id: &str) -> Result<Arrived, LedgerError> {
    let number = id.parse::<i64>();
    let number = number.map_err(|_| LedgerError::NotFound("there is no such import".to_owned()))?;
    app.ledger.import(number).await
}

/// Hides email addresses in what came of a file.
fn mask(view: &mut ImportView) {
    view.reason = view.reason.as_deref().map(mask_words);
    let Some(result) = &mut view.result else {
        return;
    };
    let hide = |place: &mut Value| {
        if let Some(text) = place.as_str() {
            *place = mask_words(text).into();
        }
    };
    result.get_mut("broken").into_iter().for_each(hide);
    for list in LONG {
        let lines = result.get_mut(list).and_then(Value::as_array_mut);
        for line in lines.into_iter().flatten() {
            for name in ["customer_key", "payment_id", "reason"] {
                line.get_mut(name).into_iter().for_each(hide);
            }
        }
    }
}
