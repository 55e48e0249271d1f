//! One payment: its story as `explain` tells it, and what a person may do about it.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};

use super::form::{Fields, Sent};
use super::payments::{Row, address};
use super::session::Session;
use super::{Frame, Refused, Told, page, words};
use crate::config::Role;
use crate::http::api::Admin;
use crate::http::payments::{DecisionBody, decide_one};
use crate::http::problem::Problem;
use crate::ledger::book::State as Standing;
use crate::ledger::story::Story;
use crate::ledger::{Decision, NewLink};
use crate::lookup::CameTo;
use crate::ops;

/// How soon the page of a payment that is on its way is looked at again, in
/// seconds.
const AGAIN_S: u32 = 2;

#[derive(Template)]
#[template(path = "payment.html")]
struct PaymentPage {
    frame: Frame,
    place: String,
    id: String,
    story: Story,
    row: Option<Row>,
    events: Vec<EventRow>,
    rules: Vec<RuleRow>,
    transactions: Vec<TransactionRow>,
    /// What a link would name, where a rule asks for one.
    to_link: Option<(String, String)>,
    can: Can,
    again_s: u32,
}

/// What may be done with a payment as it stands.
#[derive(Default)]
struct Can {
    retry: bool,
    skip: bool,
    release: bool,
    customer: bool,
    link: bool,
}

impl Can {
    fn anything(&self) -> bool {
        let Can {
            retry,
            skip,
            release,
            customer,
            link,
        } = *self;
        retry || skip || release || customer || link
    }
}

struct EventRow {
    at: String,
    at_text: String,
    kind: &'static str,
    text: String,
    after: Option<String>,
}

struct RuleRow {
    text: String,
    found: bool,
}

struct TransactionRow {
    key: String,
    amount: String,
    customer: String,
    state: &'static str,
    note: Option<String>,
}

/// What was done, by the word in the address: never a text out of it.
fn done(word: &str) -> Option<&'static str> {
    match word {
        "retry" => Some("It is tried again."),
        "skip" => Some("It is skipped: nothing is forwarded for it."),
        "release" => Some("It is released."),
        "link" => Some("The link is saved; every payment that waited for it goes on."),
        _ => None,
    }
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    Path((source, id)): Path<(String, String)>,
    query: Fields,
) -> Result<Response, Refused> {
    let told = query.one("done").and_then(done).map(|text| Told {
        well: true,
        text: text.to_owned(),
    });
    story_page(&admin, &session, (&source, &id), told).await
}

async fn story_page(
    admin: &Admin,
    session: &Session,
    (source, id): (&str, &str),
    told: Option<Told>,
) -> Result<Response, Refused> {
    let plain = session.caller.role == Role::Operator;
    let story = ops::story(&admin.app.ledger, source, id, plain).await?;
    // A delivery's id leads to its payment, which has a page of its own.
    let id = story
        .payment
        .as_ref()
        .map_or(id, |it| &it.payment_id)
        .to_owned();
    let mut frame = Frame::new(session, "payments", format!("{source} {id}"));
    frame.told = told;
    let can = can(&story, &frame);
    // What was refused is an answer to a form: looked at again, it would be sent again.
    let refused = frame.told.as_ref().is_some_and(|told| !told.well);
    let moves = !refused && story.payment.as_ref().is_some_and(|it| it.state == "due");
    let events = story.events.iter().map(|event| EventRow {
        at: event.at.clone(),
        at_text: words::moment(&event.at),
        kind: event.kind,
        text: event.text.clone(),
        after: event.position.clone(),
    });
    let rules = story.lookup.iter().map(|tried| RuleRow {
        text: tried.sentence(),
        found: matches!(tried.came_to, CameTo::Found(_)),
    });
    let transactions = story.transactions.iter().map(|transaction| {
        let row = &transaction.row;
        TransactionRow {
            key: transaction.key.clone(),
            amount: words::money(row.currency, row.amount),
            customer: row.customer.value.clone(),
            state: row.state.words(),
            note: row.note.clone(),
        }
    });
    page(&PaymentPage {
        place: address(source, &id),
        row: story.payment.as_ref().map(Row::of),
        events: events.collect(),
        rules: rules.collect(),
        transactions: transactions.collect(),
        to_link: to_link(&story),
        again_s: if moves { AGAIN_S } else { 0 },
        can,
        frame,
        id,
        story,
    })
}

fn can(story: &Story, frame: &Frame) -> Can {
    let Some(payment) = story.payment.as_ref().filter(|_| frame.operates) else {
        return Can::default();
    };
    let moves = |decision: &Decision| {
        let states = ops::states_for(decision);
        states.iter().any(|state| state.word() == payment.state)
    };
    let customer = String::new();
    Can {
        retry: moves(&Decision::Retry),
        skip: moves(&Decision::Skip { leave: false }),
        release: moves(&Decision::Accept),
        customer: moves(&Decision::Customer { customer }),
        link: payment.state == Standing::Unattributed.word() && to_link(story).is_some(),
    }
}

/// The kind and the id that the first rule without a link asks for.
fn to_link(story: &Story) -> Option<(String, String)> {
    let open = story.lookup.iter();
    let mut open = open.filter(|tried| tried.came_to == CameTo::NotLinked);
    open.find_map(|tried| {
        let rule: crate::lookup::Rule = tried.rule.parse().ok()?;
        let (kind, id) = rule.asks_link(tried.saw.as_deref()?)?;
        Some((kind.to_owned(), id))
    })
}

pub(super) async fn decide(
    State(admin): State<Arc<Admin>>,
    Path((source, payment_id, word)): Path<(String, String, String)>,
    sent: Sent,
) -> Result<Response, Refused> {
    let Sent { session, fields } = sent;
    let result = match word.as_str() {
        "link" => link(&admin, &session, &source, &fields).await,
        _ => decision(&admin, &session, (&source, &payment_id), &word, &fields).await,
    };
    match result {
        Ok(()) => {
            let place = address(&source, &payment_id);
            Ok(Redirect::to(&format!("{place}?done={}", words::part(&word))).into_response())
        }
        Err(problem) => {
            let told = Told {
                well: false,
                text: format!("Not done: {}", problem.detail()),
            };
            let of = (source.as_str(), payment_id.as_str());
            let mut response = story_page(&admin, &session, of, Some(told)).await?;
            *response.status_mut() = problem.status();
            Ok(response)
        }
    }
}

async fn decision(
    admin: &Admin,
    session: &Session,
    (source, payment_id): (&str, &str),
    word: &str,
    fields: &Fields,
) -> Result<(), Problem> {
    let text = |name: &str| fields.one(name).map(str::to_owned);
    let body = DecisionBody {
        reason: text("reason").unwrap_or_default(),
        leave: fields.has("leave"),
        accept: fields.has("accept"),
        policy: text("policy"),
        customer: text("customer"),
    };
    let of = (source, payment_id);
    decide_one(admin, &session.caller, of, (word, &body)).await?;
    Ok(())
}

async fn link(
    admin: &Admin,
    session: &Session,
    source: &str,
    fields: &Fields,
) -> Result<(), Problem> {
    let needed = |name: &str| {
        let text = fields.one(name).map(str::to_owned);
        text.ok_or_else(|| Problem::unprocessable(format!("\"{name}\" is empty")))
    };
    let id = (needed("kind")?, needed("external_id")?);
    let link = NewLink::new(source.to_owned(), id, needed("customer_key")?);
    let said = admin.word(&session.caller, fields.one("reason").unwrap_or_default());
    ops::link(&admin.app.ledger, link, said).await?;
    admin.app.wake(source);
    Ok(())
}
