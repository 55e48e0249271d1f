//! Customers and partners: what each brought, what went back, what partners get for
//! it, and how it goes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::chart;
use super::form::Fields;
use super::range::Range;
use super::session::Session;
use super::{Frame, Refused, page, words};
use crate::config::Role;
use crate::day::{Day, Month};
use crate::http::api::Admin;
use crate::http::problem::Problem;
use crate::ledger::Trends;
use crate::lookup::mask_email;
use crate::money::{Currency, Minor};
use crate::report::{By, Group, Line, Lines, Most, Only};

/// Names of one currency on a page; a search finds the others.
const NAMES_MOST: usize = 100;

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    frame: Frame,
    range: Range,
    place: &'static str,
    title: &'static str,
    by_customer: bool,
    search: String,
    partner: String,
    tables: Vec<Table>,
}

/// The names of one currency.
struct Table {
    currency: Currency,
    rows: Vec<Row>,
    left_off: Option<String>,
}

struct Row {
    name: String,
    key: Option<String>,
    address: Option<String>,
    partner: Option<(String, String)>,
    gross: String,
    reversed: String,
    net: String,
    commission: String,
    payments: String,
    trend: String,
}

pub(super) async fn customers(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    query: Fields,
) -> Result<Response, Refused> {
    show(&admin, &session, query, By::Customer).await
}

pub(super) async fn partners(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    query: Fields,
) -> Result<Response, Refused> {
    show(&admin, &session, query, By::Partner).await
}

async fn show(
    admin: &Admin,
    session: &Session,
    query: Fields,
    by: By,
) -> Result<Response, Refused> {
    let app = &admin.app;
    let ledger = &app.ledger;
    let range = Range::read(&query, "90d", app.clock.now(), ledger.report_zone())?;
    let (search, partner) = (query.one("q"), query.one("partner"));
    let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let plain = session.caller.role == Role::Operator;
    let lines = Lines {
        only: Only {
            partner: partner.and_then(said),
            text: search.map(str::to_lowercase).as_deref().and_then(said),
            masked: !plain,
        },
        most: Most::Each(NAMES_MOST),
    };
    let mut reports = ledger.reports(range.question(by), vec![by], lines).await?;
    let Some(report) = reports.pop() else {
        return Err(Refused(Problem::unavailable("there is no report", 1)));
    };
    // Keys are masked only once they have found their trend.
    let mut shown: BTreeMap<Currency, Vec<&Line>> = BTreeMap::new();
    for line in &report.items {
        shown.entry(line.currency).or_default().push(line);
    }
    let keys = report.items.iter();
    let keys = keys.filter_map(|line| key(line).map(str::to_owned));
    let first = range.from.or_else(|| Day::from_number(FIRST_DAY));
    let trends = match first {
        Some(first) => ledger.trends(by, (first, range.to), keys.collect()).await?,
        None => Trends::new(),
    };
    let tables = shown.into_iter().map(|(currency, lines)| Table {
        currency,
        rows: lines
            .into_iter()
            .map(|line| row(line, &range, &trends, plain))
            .collect(),
        left_off: report
            .left_off_of
            .get(&currency)
            .map(|left_off| words::count(i64::try_from(*left_off).unwrap_or(i64::MAX))),
    });
    let mut tables: Vec<Table> = tables.collect();
    // The currency with most sales first.
    let sales = |table: &Table| {
        report
            .totals
            .iter()
            .find(|it| it.currency == table.currency)
    };
    tables.sort_by_key(|table| Reverse(sales(table).map_or(0, |line| line.payments)));
    let (here, place, title) = match by {
        By::Partner => ("partners", "/partners", "Partners"),
        _ => ("customers", "/customers", "Customers"),
    };
    page(&PeoplePage {
        frame: Frame::new(session, here, title),
        place,
        title,
        by_customer: by == By::Customer,
        search: search.unwrap_or_default().to_owned(),
        partner: partner.unwrap_or_default().to_owned(),
        tables,
        range,
    })
}

/// Days that have a bar each in a trend.
const DAYS_MOST: usize = 45;

/// Days of a week.
const WEEK: usize = 7;

/// The first of January 1970, before which nothing is known.
const FIRST_DAY: i64 = 19_700_101;

/// The key of whom a line is about.
fn key(line: &Line) -> Option<&str> {
    match &line.group {
        Some(Group::Customer { customer_key, .. }) => customer_key.as_deref(),
        Some(Group::Partner { partner_key, .. }) => partner_key.as_deref(),
        _ => None,
    }
}

fn row(line: &Line, range: &Range, trends: &Trends, plain: bool) -> Row {
    let show = |minor: Minor| words::amount(line.currency, minor);
    let hide = |text: &str| match plain {
        true => text.to_owned(),
        false => mask_email(text),
    };
    let own = key(line);
    let by_partner = matches!(line.group, Some(Group::Partner { .. }));
    let attributed = matches!(
        line.group,
        Some(
            Group::Partner {
                attributed: true,
                ..
            } | Group::Customer {
                attributed: true,
                ..
            }
        )
    );
    let name = match (own, &line.partner_name) {
        (Some(_), Some(name)) if by_partner => name.clone(),
        (Some(key), _) => hide(key),
        (None, _) if attributed => "partner not known".to_owned(),
        (None, _) => "unattributed".to_owned(),
    };
    let address = match (own, by_partner) {
        (Some(key), true) => Some(range.address("/customers", &[("partner", key)])),
        (Some(key), false) => Some(format!("/payments?customer={}", words::part(key))),
        (None, _) => (!attributed).then(|| "/unattributed".to_owned()),
    };
    let partner = match &line.group {
        Some(Group::Customer {
            partner_key: Some(key),
            ..
        }) => {
            let name = line.partner_name.clone().unwrap_or_else(|| hide(key));
            Some((name, range.address("/customers", &[("partner", key)])))
        }
        _ => None,
    };
    let trend = own.and_then(|key| trends.get(&(key.to_owned(), line.currency)));
    Row {
        key: own
            .filter(|_| by_partner && line.partner_name.is_some())
            .map(hide),
        name,
        address,
        partner,
        gross: show(line.gross),
        reversed: show(line.reversed),
        net: show(line.net),
        commission: line.commission.map_or_else(|| "\u{2013}".to_owned(), show),
        payments: words::count(line.payments),
        trend: trend.map_or(String::new(), |days| chart::trend(&values(range, days))),
    }
}

/// A value for each day or month of the range.
fn values(range: &Range, days: &BTreeMap<Day, Minor>) -> Vec<Minor> {
    if let Some(all) = range.days() {
        let value = |day: &Day| days.get(day).copied().unwrap_or(0);
        // More bars than this are too thin to be seen; then each is a week's.
        let each = if all.len() > DAYS_MOST { WEEK } else { 1 };
        let weeks = all.rchunks(each).rev();
        return weeks.map(|week| week.iter().map(value).sum()).collect();
    }
    let mut months: BTreeMap<Month, Minor> = BTreeMap::new();
    for (day, net) in days {
        *months.entry(day.month()).or_default() += net;
    }
    let all = range.months(months.keys().next().copied());
    let value = |month| months.get(&month).copied().unwrap_or(0);
    all.into_iter().map(value).collect()
}
