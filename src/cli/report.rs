//! The command `report`: what the money comes to, as a table, CSV or JSON.

use comfy_table::CellAlignment;

use super::{DONE, Talk, args, explain_error, print, say, table};
use crate::app::App;
use crate::import::guard::guarded;
use crate::money::{Currency, Minor, decimal};
use crate::ops::report::ReportText;
use crate::ops::{self, UsageError};
use crate::report::{Basis, By, Group, Line, Report};

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
        (Some("csv"), false) => csv,
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

/// The names of the columns before the money.
fn keys(by: By) -> &'static [&'static str] {
    match by {
        By::Partner => &["partner_key", "partner_name"],
        By::Customer => &["destination", "customer_key", "partner_key", "partner_name"],
        By::Source => &["source"],
        By::Day => &["day"],
        By::Month => &["month"],
    }
}

/// What stands in them; `nobody` and `unknown` are written where there is no key.
fn cells(line: &Line, group: &Group, nobody: &str, unknown: &str) -> Vec<String> {
    let key = |key: &Option<String>, attributed: bool| match (key, attributed) {
        (Some(key), _) => key.clone(),
        (None, true) => unknown.to_owned(),
        (None, false) => nobody.to_owned(),
    };
    let name = || line.partner_name.clone().unwrap_or_default();
    match group {
        Group::Partner {
            partner_key,
            attributed,
        } => vec![key(partner_key, *attributed), name()],
        Group::Customer {
            destination,
            customer_key,
            partner_key,
            attributed,
        } => vec![
            destination.clone().unwrap_or_default(),
            key(customer_key, *attributed),
            partner_key.clone().unwrap_or_else(|| unknown.to_owned()),
            name(),
        ],
        Group::Source { source } => vec![source.clone()],
        Group::Day { day } => vec![day.to_string()],
        Group::Month { month } => vec![month.to_string()],
    }
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

/// The columns of money in a file: minor units as the API has them, then what a
/// spreadsheet adds up.
const FILED: [&str; 15] = [
    "currency",
    "gross",
    "reversed",
    "net",
    "unattributed",
    "ignored",
    "commission",
    "payments",
    "reversals",
    "gross_decimal",
    "reversed_decimal",
    "net_decimal",
    "commission_decimal",
    "zone",
    "basis",
];

/// Every line, and no totals: they would be counted twice by who adds a column up.
fn csv(report: &Report) -> anyhow::Result<()> {
    let mut file = csv::Writer::from_writer(Vec::new());
    let keys = keys(report.by);
    file.write_record(keys.iter().chain(&FILED))?;
    for line in &report.items {
        let group = line.group.as_ref();
        let cells = group.map_or_else(Vec::new, |group| cells(line, group, "", ""));
        let mut row: Vec<String> = cells
            .iter()
            .map(|cell| guarded(cell).into_owned())
            .collect();
        row.extend(filed(line, report));
        file.write_record(row)?;
    }
    let text = String::from_utf8(file.into_inner()?)?;
    print(text.trim_end_matches('\n'))
}

fn filed(line: &Line, report: &Report) -> [String; 15] {
    let places = |minor: Minor| decimal(minor, Currency::exponent(&line.currency));
    let basis = match report.basis {
        Basis::Own => "own",
        Basis::Sale => "sale",
    };
    [
        line.currency.to_string(),
        line.gross.to_string(),
        line.reversed.to_string(),
        line.net.to_string(),
        line.unattributed.to_string(),
        line.ignored.to_string(),
        line.commission.map(|it| it.to_string()).unwrap_or_default(),
        line.payments.to_string(),
        line.reversals.to_string(),
        places(line.gross),
        places(line.reversed),
        places(line.net),
        line.commission.map(places).unwrap_or_default(),
        report.zone.clone(),
        basis.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_a_formula() {
        for (text, written) in [
            ("acme", "acme"),
            ("=1+1", "'=1+1"),
            ("-acme", "'-acme"),
            ("@acme", "'@acme"),
            ("'=1", "''=1"),
            ("o'neill", "o'neill"),
        ] {
            assert_eq!(guarded(text), written);
        }
    }
}
