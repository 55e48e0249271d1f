//! The command `report`: what the money comes to, as a table, CSV or JSON.

use comfy_table::CellAlignment;

use super::{DONE, Talk, args, explain_error, print, say, table};
use crate::app::App;
use crate::money::Minor;
use crate::ops::report::ReportText;
use crate::ops::report_csv::{cells, csv, keys};
use crate::ops::{self, UsageError};
use crate::report::{Basis, Line, Report};

pub(super) async fn run(app: &App, asked: args::Report, talk: Talk) -> anyhow::Result<u8> {
    let format = asked.format;
    let text = ReportText {
        by: Some(asked.by),
        from: asked.from,
        to: asked.to,
        zone: asked.zone,
        basis: asked.basis,
        limit: None,
    };
    let (question, _) = text.read(app.clock.now(), app.ledger.report_zone())?;
    let write: fn(&Report) -> anyhow::Result<()> = match (format.as_deref(), talk.json) {
        (None | Some("json"), true) | (Some("json"), false) => {
            |report| Talk { json: true }.json(report)
        }
        (None | Some("table"), false) => show,
        (Some("csv"), false) => |report| print(csv(report)?.trim_end_matches('\n')),
        (Some("csv" | "table"), true) => {
            let why = "format: --json asks for another one";
            return Err(UsageError(why.to_owned()).into());
        }
        (Some(_), _) => {
            let why = "format: write table, csv or json";
            return Err(UsageError(why.to_owned()).into());
        }
    };
    if question
        .zone
        .as_ref()
        .is_some_and(|zone| zone != app.ledger.report_zone())
    {
        say("these are not the days of the ledger, so all payments are read; this takes longer");
    }
    let report = ops::report::report(&app.ledger, question, None, true)
        .await
        .map_err(explain_error)?;
    write(&report)?;
    Ok(DONE)
}

/// The columns of money in a table.
const MONEY: [&str; 8] = [
    "gross",
    "reversed",
    "net",
    "of it unattributed",
    "of it ignored",
    "commission",
    "payments",
    "reversals",
];

fn show(report: &Report) -> anyhow::Result<()> {
    print(&heading(report))?;
    let keys = keys(report.by);
    let head: Vec<&str> = keys.iter().chain(&MONEY).copied().collect();
    let mut table = table(&head);
    let lines = report.items.iter().chain(&report.totals);
    for line in lines {
        let mut row = match &line.group {
            Some(group) => cells(line, group, "(unattributed)", "-"),
            None => {
                let mut total = vec![String::new(); keys.len()];
                total[0] = format!("all in {}", line.currency);
                total
            }
        };
        row.extend(money(line));
        table.add_row(row);
    }
    for column in keys.len()..head.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    print(&table.to_string())
}

/// Which days these are, and where a reversal stands among them.
fn heading(report: &Report) -> String {
    let days = match (report.from, report.to) {
        (None, None) => "All days".to_owned(),
        (Some(from), None) => format!("From {from} on"),
        (None, Some(to)) => format!("Up to {to} inclusive"),
        (Some(from), Some(to)) => format!("{from} to {to} inclusive"),
    };
    let basis = match report.basis {
        Basis::Own => "reversals on the day on which the money went back",
        Basis::Sale => "reversals on the day of their sale",
    };
    format!("{days}, days in {}; {basis}.", report.zone)
}

fn money(line: &Line) -> [String; 8] {
    let show = |minor: Minor| line.currency.show(minor);
    [
        show(line.gross),
        show(line.reversed),
        show(line.net),
        show(line.unattributed),
        show(line.ignored),
        line.commission.map_or_else(|| "-".to_owned(), show),
        line.payments.to_string(),
        line.reversals.to_string(),
    ]
}
