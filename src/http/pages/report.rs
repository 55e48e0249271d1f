//! Reports as a page: the same lines as the command and the API.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

use super::form::Fields;
use super::range::Range;
use super::session::Session;
use super::{Frame, Refused, page, words};
use crate::config::Role;
use crate::http::api::Admin;
use crate::http::problem::Problem;
use crate::money::Currency;
use crate::ops;
use crate::ops::report::ReportText;
use crate::ops::{UsageError, report_csv};
use crate::report::{Basis, By, Group, Line, Question};

/// What a report can have lines for: the word in the address and on the page.
const BY: [(&str, &str, By); 5] = [
    ("partner", "Partner", By::Partner),
    ("customer", "Customer", By::Customer),
    ("source", "Source", By::Source),
    ("day", "Day", By::Day),
    ("month", "Month", By::Month),
];

/// Lines on one page; the file has all.
const LINES_MOST: usize = 500;

#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage {
    frame: Frame,
    range: Range,
    by: &'static str,
    by_name: &'static str,
    groupings: Vec<(String, &'static str, bool)>,
    bases: [(String, &'static str, bool); 2],
    tables: Vec<Table>,
    left_off: String,
    any_left_off: bool,
    json: String,
}

/// The lines of one currency.
struct Table {
    currency: Currency,
    rows: Vec<Row>,
    total: Option<Row>,
}

struct Row {
    name: String,
    address: Option<String>,
    beside: String,
    gross: String,
    reversed: String,
    net: String,
    commission: String,
    unattributed: String,
    ignored: String,
    payments: String,
    reversals: String,
}

fn asked(query: &Fields) -> Result<(&'static str, &'static str, By, Basis), UsageError> {
    let word = query.one("by").unwrap_or("month");
    let by = BY.iter().find(|(known, ..)| *known == word);
    let (word, name, by) = by.ok_or_else(|| {
        let words: Vec<&str> = BY.iter().map(|(word, ..)| *word).collect();
        UsageError(format!("by: write one of {}", words.join(", ")))
    })?;
    let basis = match query.one("basis") {
        None | Some("own") => Basis::Own,
        Some("sale") => Basis::Sale,
        Some(_) => return Err(UsageError("basis: write own or sale".to_owned())),
    };
    Ok((word, name, *by, basis))
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    query: Fields,
) -> Result<Response, Refused> {
    let app = &admin.app;
    let range = Range::read(&query, "365d", app.clock.now(), app.ledger.report_zone())?;
    let (word, by_name, by, basis) = asked(&query)?;
    let question = Question {
        basis,
        ..range.question(by)
    };
    let plain = session.caller.role == Role::Operator;
    let report = ops::report::report(&app.ledger, question, Some(LINES_MOST), plain).await?;
    let tables = report.totals.iter().map(|total| {
        let lines = report
            .items
            .iter()
            .filter(|line| line.currency == total.currency);
        Table {
            currency: total.currency,
            rows: lines.map(|line| row(line, &range)).collect(),
            total: Some(row(total, &range)),
        }
    });
    let tables = tables.collect();
    let sale = basis == Basis::Sale;
    let basis_word = if sale { "sale" } else { "own" };
    let here = |by: &str, basis: &str| range.address("/report", &[("by", by), ("basis", basis)]);
    let to = range.to.to_string();
    let mut json = vec![
        ("by", word.to_owned()),
        ("to", to),
        ("basis", basis_word.to_owned()),
    ];
    json.extend(range.from.map(|day| ("from", day.to_string())));
    json.push(("zone", range.zone_name.clone()));
    let json = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(json)
        .finish();
    page(&ReportPage {
        groupings: BY
            .iter()
            .map(|(it, name, _)| (here(it, basis_word), *name, *it == word))
            .collect(),
        bases: [
            (here(word, "own"), "Reversals on their own day", !sale),
            (here(word, "sale"), "Reversals on the day of the sale", sale),
        ],
        by: word,
        by_name,
        tables,
        any_left_off: report.left_off > 0,
        left_off: words::count(i64::try_from(report.left_off).unwrap_or(i64::MAX)),
        json,
        frame: Frame::new(&session, "report", "Report"),
        range,
    })
}

/// The same lines as a file, all of them.
pub(super) async fn csv(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    query: Fields,
) -> Result<Response, Refused> {
    let app = &admin.app;
    let text = |name: &str| query.one(name).map(str::to_owned);
    let asked = ReportText {
        by: text("by"),
        from: text("from"),
        to: text("to"),
        zone: text("zone"),
        basis: text("basis"),
        limit: None,
    };
    let (question, _) = asked.read(app.clock.now(), app.ledger.report_zone())?;
    let plain = session.caller.role == Role::Operator;
    let report = ops::report::report(&app.ledger, question, None, plain).await?;
    let file = report_csv::csv(&report);
    let file = file.map_err(|_| Problem::unavailable("the file cannot be written", 60))?;
    let head = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"report.csv\""),
    ];
    Ok((head, file).into_response())
}

fn row(line: &Line, range: &Range) -> Row {
    let show = |minor| words::amount(line.currency, minor);
    let unattributed = "unattributed".to_owned();
    let (name, address, beside) = match &line.group {
        None => ("All".to_owned(), None, String::new()),
        Some(Group::Partner {
            partner_key: Some(key),
            ..
        }) => {
            let address = range.address("/customers", &[("partner", key)]);
            let name = line.partner_name.as_ref().unwrap_or(key);
            (name.clone(), Some(address), String::new())
        }
        Some(Group::Customer {
            customer_key: Some(key),
            partner_key,
            ..
        }) => {
            let address = format!("/payments?customer={}", words::part(key));
            (
                key.clone(),
                Some(address),
                line.partner_name
                    .clone()
                    .or_else(|| partner_key.clone())
                    .unwrap_or_default(),
            )
        }
        Some(
            Group::Partner {
                attributed: true, ..
            }
            | Group::Customer {
                attributed: true, ..
            },
        ) => ("partner not known".to_owned(), None, String::new()),
        Some(Group::Partner { .. } | Group::Customer { .. }) => (
            unattributed,
            Some("/unattributed".to_owned()),
            String::new(),
        ),
        Some(Group::Source { source }) => {
            let address = format!("/payments?source={}", words::part(source));
            (source.clone(), Some(address), String::new())
        }
        Some(Group::Day { day }) => {
            let address = format!("/payments?since={day}&until={}", day.plus(1));
            // Lists of payments are by UTC; a day of another zone is another one.
            let address = (range.zone_name == "UTC").then_some(address);
            (day.to_string(), address, String::new())
        }
        Some(Group::Month { month }) => (words::month(*month), None, String::new()),
    };
    Row {
        name,
        address,
        beside,
        gross: show(line.gross),
        reversed: show(line.reversed),
        net: show(line.net),
        commission: line.commission.map_or_else(|| "\u{2013}".to_owned(), show),
        unattributed: show(line.unattributed),
        ignored: show(line.ignored),
        payments: words::count(line.payments),
        reversals: words::count(line.reversals),
    }
}
