//! The first page: what the money comes to, day by day, and whether all is well.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::chart::{self, Bar};
use super::form::Fields;
use super::range::Range;
use super::session::Session;
use super::{Frame, Refused, page, words};
use crate::day::{Day, Month};
use crate::http::api::Admin;
use crate::http::report::{DestinationSummary, SourceSummary, Summary, summarize};
use crate::money::{Currency, Minor};
use crate::ops;
use crate::report::{By, Group, Line, Report};
use crate::time::{DAY_MS, SECOND_MS};

/// Names in a short list.
const FEW: usize = 5;

/// Lines without a name that may stand among those: of a partner whom nobody knows,
/// and of nobody's customers.
const NAMELESS: usize = 2;

/// A source that was silent for so long is marked, in milliseconds: most
/// merchants sell something every other day.
const SILENT_MS: i64 = 2 * DAY_MS;

/// A backlog of this age is marked, in seconds: an hour.
const OLD_BACKLOG_S: i64 = 60 * 60;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    range: Range,
    panels: Vec<Panel>,
    open: Vec<OpenState>,
    sources: Vec<SourceRow>,
    destinations: Vec<DestinationRow>,
}

/// The money of one currency.
struct Panel {
    currency: Currency,
    attributed: String,
    change: Option<String>,
    better: bool,
    gross: String,
    reversed: String,
    reversed_share: String,
    net: String,
    commission: Option<String>,
    unattributed: String,
    any_unattributed: bool,
    ignored: Option<String>,
    payments: String,
    wide: String,
    narrow: String,
    rows: Vec<BarRow>,
    by_month: bool,
    partners: Vec<Ranked>,
    customers: Vec<Ranked>,
}

/// A bar in figures.
struct BarRow {
    label: String,
    attributed: String,
    unattributed: String,
    reversed: String,
    net: String,
}

/// A name in a list of the largest.
struct Ranked {
    name: String,
    address: String,
    money: String,
    /// From 0 to 20: the length of its bar in twentieths of the largest.
    twentieths: i64,
}

/// Payments in a state that wants somebody.
struct OpenState {
    word: &'static str,
    count: String,
    means: &'static str,
    /// Whether a person has to do something.
    asks: bool,
}

struct SourceRow {
    name: String,
    provider: String,
    last: String,
    last_at: String,
    silent: bool,
    retired: bool,
    refused: String,
    any_refused: bool,
    refused_since: String,
}

struct DestinationRow {
    name: String,
    rate: String,
    backlog: String,
    old: bool,
    answered: String,
    answered_at: String,
    status: Option<String>,
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    query: Fields,
) -> Result<Response, Refused> {
    let app = &admin.app;
    let (ledger, now) = (&app.ledger, app.clock.now());
    let range = Range::read(&query, "30d", now, ledger.report_zone())?;
    let plain = session.caller.role == crate::config::Role::Operator;
    let by = if range.days().is_some() {
        By::Day
    } else {
        By::Month
    };
    let bars = ops::report::report(ledger, range.question(by), None, plain).await?;
    let before = match range.before() {
        Some(question) => {
            ops::report::report(ledger, question, None, plain)
                .await?
                .totals
        }
        None => Vec::new(),
    };
    let people = range.question(By::Partner);
    let (partners, customers) =
        ops::report::first_people(ledger, people, FEW + NAMELESS, plain).await?;
    let summary = summarize(app).await?;
    let panels = bars.totals.iter().map(|total| {
        let before = before.iter().find(|line| line.currency == total.currency);
        let panel = panel(total, before, (&range, &bars), (&partners, &customers));
        (total.payments, panel)
    });
    let mut panels: Vec<(i64, Panel)> = panels.collect();
    // The currency with most sales first.
    panels.sort_by_key(|(payments, _)| std::cmp::Reverse(*payments));
    page(&OverviewPage {
        panels: panels.into_iter().map(|(_, panel)| panel).collect(),
        open: open(&summary),
        sources: summary.sources.iter().map(source_row).collect(),
        destinations: summary.destinations.iter().map(destination_row).collect(),
        frame: Frame::new(&session, "overview", "Overview"),
        range,
    })
}

fn panel(
    total: &Line,
    before: Option<&Line>,
    (range, bars): (&Range, &Report),
    (partners, customers): (&Report, &Report),
) -> Panel {
    let currency = total.currency;
    let show = |minor: Minor| words::amount(currency, minor);
    let attributed = total.net - total.unattributed;
    let was = before.map(|line| line.net - line.unattributed);
    let drawn = buckets(range, bars, currency);
    let rows = drawn.iter().map(|(bar, line)| BarRow {
        label: bar.label.clone(),
        attributed: show(bar.attributed),
        unattributed: show(bar.unattributed),
        reversed: show(bar.reversed),
        net: show(line.map_or(0, |line| line.net)),
    });
    let rows = rows.collect();
    let drawn: Vec<Bar> = drawn.into_iter().map(|(bar, _)| bar).collect();
    Panel {
        attributed: show(attributed),
        change: was.and_then(|was| words::change(was, attributed)),
        better: was.is_some_and(|was| attributed >= was),
        gross: show(total.gross),
        reversed: show(total.reversed),
        reversed_share: words::share(total.reversed, total.gross),
        net: show(total.net),
        commission: total.commission.map(show),
        unattributed: show(total.unattributed),
        any_unattributed: total.unattributed != 0,
        ignored: (total.ignored != 0).then(|| show(total.ignored)),
        payments: words::counted(total.payments, "payment", "payments"),
        wide: chart::bars(&drawn, currency, chart::WIDE),
        narrow: chart::bars(&drawn, currency, chart::NARROW),
        rows,
        by_month: bars.by == By::Month,
        partners: ranked(partners, currency, range),
        customers: ranked(customers, currency, range),
        currency,
    }
}

/// A bar for every day or month, those without money too.
fn buckets<'a>(
    range: &Range,
    report: &'a Report,
    currency: Currency,
) -> Vec<(Bar, Option<&'a Line>)> {
    let lines = report.items.iter().filter(|line| line.currency == currency);
    let mut days: BTreeMap<Day, &Line> = BTreeMap::new();
    let mut months: BTreeMap<Month, &Line> = BTreeMap::new();
    for line in lines {
        match &line.group {
            Some(Group::Day { day }) => drop(days.insert(*day, line)),
            Some(Group::Month { month }) => drop(months.insert(*month, line)),
            _ => {}
        }
    }
    match range.days() {
        Some(all) => all
            .into_iter()
            .map(|day| bar(&words::day(day), days.get(&day).copied()))
            .collect(),
        None => range
            .months(months.keys().next().copied())
            .into_iter()
            .map(|month| bar(&words::month(month), months.get(&month).copied()))
            .collect(),
    }
}

/// What stands above the line is what was sold, by whether it has a partner's
/// customer; what went back stands below. Only the net is known apart by that, so
/// of a day's gross that part is nobody's which its net is, and no less than 0.
fn bar<'a>(label: &str, line: Option<&'a Line>) -> (Bar, Option<&'a Line>) {
    let mut bar = Bar {
        label: label.to_owned(),
        ..Bar::default()
    };
    if let Some(line) = line {
        bar.unattributed = line.unattributed.clamp(0, line.gross);
        bar.attributed = line.gross - bar.unattributed;
        bar.reversed = line.reversed;
    }
    (bar, line)
}

/// The largest names of a currency.
fn ranked(report: &Report, currency: Currency, range: &Range) -> Vec<Ranked> {
    let lines = report.items.iter().filter(|line| line.currency == currency);
    let named = lines.filter_map(|line| match &line.group {
        Some(Group::Customer {
            customer_key: Some(key),
            ..
        }) => {
            let address = format!("/payments?customer={}", words::part(key));
            Some((key.clone(), address, line.net))
        }
        Some(Group::Partner {
            partner_key: Some(key),
            ..
        }) => {
            let address = range.address("/customers", &[("partner", key)]);
            let name = line.partner_name.as_ref().unwrap_or(key);
            Some((name.clone(), address, line.net))
        }
        _ => None,
    });
    let few: Vec<_> = named.filter(|(.., net)| *net > 0).take(FEW).collect();
    let largest = few.first().map_or(1, |(.., net)| (*net).max(1));
    few.into_iter()
        .map(|(name, address, net)| Ranked {
            name,
            address,
            money: words::amount(currency, net),
            twentieths: i64::try_from(i128::from(net) * 20 / i128::from(largest)).unwrap_or(0),
        })
        .collect()
}

fn open(summary: &Summary) -> Vec<OpenState> {
    let states = summary.open.iter().filter(|open| open.payments > 0);
    states
        .map(|open| {
            let (asks, means) = match open.state {
                "held" => (true, "a person decides"),
                "failed" => (
                    true,
                    "refused by the destination; mend the cause, then retry",
                ),
                "unattributed" => (true, "nobody knows the customer yet"),
                "waiting" => (false, "the provider has more to say first"),
                _ => (false, "on the way to the destination"),
            };
            let more = if open.more { "+" } else { "" };
            OpenState {
                word: open.state,
                count: format!("{}{more}", words::count(open.payments)),
                means,
                asks,
            }
        })
        .collect()
}

fn source_row(source: &SourceSummary) -> SourceRow {
    let refused = &source.refused_signatures;
    let silence_ms = source.silence_seconds.saturating_mul(SECOND_MS);
    let lasting = words::lasting(silence_ms);
    SourceRow {
        name: source.source.clone(),
        provider: source.provider.clone(),
        last: match source.last_delivery {
            Some(_) => format!("{lasting} ago"),
            None => format!("never, for {lasting}"),
        },
        last_at: source
            .last_delivery
            .as_deref()
            .map(words::moment)
            .unwrap_or_default(),
        silent: silence_ms >= SILENT_MS,
        retired: source.retired,
        refused: words::count(i64::try_from(refused.count).unwrap_or(i64::MAX)),
        any_refused: refused.count > 0,
        refused_since: words::moment(&refused.since),
    }
}

fn destination_row(destination: &DestinationSummary) -> DestinationRow {
    let age = destination.backlog_age_seconds;
    DestinationRow {
        name: destination.destination.clone(),
        rate: match destination.requests_per_second {
            Some(rate) => format!(
                "{} in the last minute, at most {rate} a second",
                words::counted(destination.calls_last_minute, "call", "calls")
            ),
            None => "not configured any more".to_owned(),
        },
        backlog: match age {
            Some(seconds) => format!("oldest waits {}", words::lasting(seconds * SECOND_MS)),
            None => "nothing due".to_owned(),
        },
        old: age.is_some_and(|seconds| seconds >= OLD_BACKLOG_S),
        answered: match destination.answered_seconds {
            Some(seconds) => format!("{} ago", words::lasting(seconds * SECOND_MS)),
            None => "never".to_owned(),
        },
        answered_at: destination
            .last_answer
            .as_deref()
            .map(words::moment)
            .unwrap_or_default(),
        status: match (&destination.status, &destination.paused_until) {
            (Some(status), _) => Some(status.clone()),
            (None, Some(until)) => {
                Some(format!("asked for a pause until {}", words::moment(until)))
            }
            (None, None) => None,
        },
    }
}
