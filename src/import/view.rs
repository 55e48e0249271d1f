//! An import for programs: what the command prints as JSON and the API answers.

use serde_json::{Value, json};

use super::run::{self, Came};
use crate::app::App;
use crate::ledger::rows::Changes;

/// How an import came out.
#[must_use]
pub fn view(app: &App, dry_run: bool, file: &str, source: &str, came: &Came) -> Value {
    let (per_second, destination) = run::rate(app, source);
    json!({
        "file": file,
        "source": source,
        "format": came.format.word(),
        "dry_run": dry_run,
        "rows": came.rows,
        "imported": came.imported,
        "unattributed": came.unattributed,
        "known": came.known,
        "ignored": came.ignored,
        "rejected": came.rejected,
        "broken": came.broken,
        "stopped": came.stopped,
        "due": came.due,
        "destination": destination,
        "forwarding_seconds": came.due.max(0) / i64::from(per_second),
        "changes": changes(&came.changes),
        "rejected_first": came.rejected_first,
        "unattributed_first": came.unattributed_first,
    })
}

fn changes(changes: &Changes) -> Vec<Value> {
    let line = |(at, sums): (&crate::ledger::rows::Standing, &crate::ledger::rows::Sums)| {
        json!({
            "state": at.state.word(),
            "customer_key": at.customer,
            "currency": at.currency,
            "payments": sums.payments,
            "gross": sums.gross,
            "reversed": sums.reversed,
            "net": sums.gross - sums.reversed,
        })
    };
    changes.iter().map(line).collect()
}
