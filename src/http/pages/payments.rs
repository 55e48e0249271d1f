//! The list of payments: filtered, and paged by key.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::form::Fields;
use super::session::Session;
use super::{Frame, Refused, page, words};
use crate::config::Role;
use crate::http::api::Admin;
use crate::ledger::book::STATES;
use crate::ledger::story::PaymentView;
use crate::ops::{self, FilterText};

/// The filter's fields, as the API names them.
const FIELDS: [&str; 6] = ["q", "state", "source", "customer", "since", "until"];

#[derive(Template)]
#[template(path = "payments.html")]
struct PaymentsPage {
    frame: Frame,
    states: Vec<&'static str>,
    sources: Vec<String>,
    asked: FilterText,
    rows: Vec<Row>,
    /// Where the next page is.
    older: Option<String>,
    /// Where the page before is.
    newer: Option<String>,
    /// All of it as a file.
    file: String,
    /// Whether more begin like what was searched for than were looked at.
    cut: bool,
}

/// One payment in a list.
pub(super) struct Row {
    pub(super) address: String,
    pub(super) at: String,
    pub(super) at_text: String,
    pub(super) source: String,
    pub(super) payment_id: String,
    pub(super) customer: Option<String>,
    pub(super) gross: String,
    pub(super) reversed: Option<String>,
    pub(super) net: String,
    pub(super) forwarded: String,
    pub(super) state: &'static str,
    pub(super) reason: Option<String>,
    pub(super) test: bool,
}

impl Row {
    pub(super) fn of(view: &PaymentView) -> Row {
        let reversed = view.reversed.filter(|reversed| *reversed != 0);
        Row {
            address: address(&view.source, &view.payment_id),
            at: view.occurred_at.clone(),
            at_text: words::moment(&view.occurred_at),
            source: view.source.clone(),
            payment_id: view.payment_id.clone(),
            customer: view.customer_key.clone(),
            gross: words::maybe(view.currency, view.gross),
            reversed: reversed.map(|it| words::maybe(view.currency, Some(it))),
            net: words::maybe(view.currency, view.net),
            forwarded: words::maybe(view.currency, Some(view.forwarded)),
            state: view.state,
            reason: view.reason.clone(),
            test: view.live == Some(false),
        }
    }
}

/// Where a payment's page is.
pub(super) fn address(source: &str, payment_id: &str) -> String {
    format!(
        "/payments/{}/{}",
        words::part(source),
        words::part(payment_id)
    )
}

/// The filter of an address.
fn asked(query: &Fields) -> FilterText {
    let text = |name: &str| query.one(name).map(str::to_owned);
    FilterText {
        q: text("q"),
        state: text("state"),
        source: text("source"),
        provider: text("provider"),
        customer_key: text("customer").or_else(|| text("customer_key")),
        since: text("since"),
        until: text("until"),
        cursor: text("cursor"),
        limit: text("limit"),
    }
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    query: Fields,
) -> Result<Response, Refused> {
    let app = &admin.app;
    let asked = asked(&query);
    let plain = session.caller.role == Role::Operator;
    let (filter, limit) = asked.read(app.clock.now(), plain)?;
    let found = ops::payments(&app.ledger, filter, limit, plain).await?;
    let keep = |place: &str, cursor: Option<String>| {
        let mut text = form_urlencoded::Serializer::new(String::new());
        for name in FIELDS {
            if let Some(value) = query.one(name) {
                text.append_pair(name, value);
            }
        }
        if let Some(cursor) = cursor {
            text.append_pair("cursor", &cursor);
        }
        format!("{place}?{}", text.finish())
    };
    page(&PaymentsPage {
        frame: Frame::new(&session, "payments", "Payments"),
        states: STATES.iter().map(|state| state.word()).collect(),
        sources: app.sources.keys().cloned().collect(),
        rows: found.items.iter().map(Row::of).collect(),
        older: found
            .next_cursor
            .map(|cursor| keep("/payments", Some(cursor))),
        newer: found
            .previous_cursor
            .map(|cursor| keep("/payments", Some(cursor))),
        file: keep("/payments.csv", None),
        cut: found.cut,
        asked,
    })
}
