//! Payments without a customer, by what they wait for: link one id or many, and
//! see before what it would do.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};

use super::form::{Fields, Sent};
use super::session::Session;
use super::{Frame, Refused, Told, page, words};
use crate::config::Role;
use crate::http::api::Admin;
use crate::http::problem::Problem;
use crate::ledger::NewLink;
use crate::ledger::unattributed::{AtStake, Group, Why};
use crate::ops::{self, LinkDryRun, UnattributedText};

/// Links saved at once: as many as a page of ids has.
const LINKS_MOST: usize = 200;

#[derive(Template)]
#[template(path = "unattributed.html")]
struct UnattributedPage {
    frame: Frame,
    groups: Vec<GroupRow>,
    /// Where the payments go on that were not looked at.
    more: Option<String>,
    looked_at: String,
}

/// Payments of one source that wait for the same sort of thing.
struct GroupRow {
    source: String,
    why: &'static str,
    rules: Vec<String>,
    payments: String,
    money: Vec<String>,
    since: String,
    list: String,
    /// Ids that a link would tie to a customer.
    ids: Vec<IdRow>,
    /// Customers that the destination does not know.
    customers: Vec<CustomerRow>,
    left_off: Option<String>,
    linkable: bool,
}

struct IdRow {
    kind: String,
    id: String,
    payments: String,
    money: Vec<String>,
}

struct CustomerRow {
    key: String,
    list: String,
    payments: String,
    money: Vec<String>,
}

#[derive(Template)]
#[template(path = "what_if.html")]
struct WhatIfPage {
    frame: Frame,
    source: String,
    links: Vec<(String, String, String)>,
    sums: Vec<SumRow>,
    refused: Vec<(String, String)>,
    payments: String,
    not_looked_at: Option<String>,
    nothing: bool,
}

struct SumRow {
    before: &'static str,
    after: &'static str,
    customer: Option<String>,
    payments: String,
    net: String,
}

fn stakes(stakes: &[AtStake]) -> Vec<String> {
    let show = |at: &AtStake| words::money(at.currency, at.net);
    stakes.iter().map(show).collect()
}

fn counted(payments: u64) -> String {
    let payments = i64::try_from(payments).unwrap_or(i64::MAX);
    words::counted(payments, "payment", "payments")
}

fn group(group: &Group, operates: bool) -> GroupRow {
    let why = match group.why {
        Why::NotLinked => "An id is not linked to a customer yet",
        Why::UnknownCustomer => "The destination does not know the customer",
        Why::NoValue => "Nothing in it names a customer",
        Why::NoRules => "The source has no rules for finding customers",
    };
    let told = |came_to: &str| came_to.replace('_', " ");
    let rules = group.rules.iter();
    let rules = rules.map(|rule| format!("{}: {}", rule.rule, told(rule.came_to)));
    let list = format!(
        "/payments?state=unattributed&source={}",
        words::part(&group.source)
    );
    let waited = group.waited_for.iter();
    let ids = waited.clone().filter_map(|one| {
        Some(IdRow {
            kind: one.kind.clone()?,
            id: one.id.clone(),
            payments: counted(one.payments),
            money: stakes(&one.at_stake),
        })
    });
    let ids: Vec<IdRow> = ids.collect();
    let customers = waited.filter(|one| one.kind.is_none());
    let customers = customers.map(|one| CustomerRow {
        key: one.id.clone(),
        list: format!("/payments?customer={}", words::part(&one.id)),
        payments: counted(one.payments),
        money: stakes(&one.at_stake),
    });
    GroupRow {
        source: group.source.clone(),
        why,
        rules: rules.collect(),
        payments: counted(group.payments),
        money: stakes(&group.at_stake),
        since: words::moment(&group.oldest),
        list,
        linkable: operates && !ids.is_empty(),
        ids,
        customers: customers.collect(),
        left_off: (group.left_off > 0)
            .then(|| words::count(i64::try_from(group.left_off).unwrap_or(i64::MAX))),
    }
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    query: Fields,
) -> Result<Response, Refused> {
    let app = &admin.app;
    let text = |name: &str| query.one(name).map(str::to_owned);
    let asked = UnattributedText {
        source: text("source"),
        since: text("since"),
        until: text("until"),
        cursor: text("cursor"),
    };
    let filter = asked.read(app.clock.now())?;
    let plain = session.caller.role == Role::Operator;
    let list = ops::unattributed(&app.ledger, filter, plain).await?;
    let mut frame = Frame::new(&session, "unattributed", "Unattributed");
    frame.told = query.has("done").then(|| Told {
        well: true,
        text: "Saved. Every payment that waited for it goes on.".to_owned(),
    });
    page(&UnattributedPage {
        groups: list
            .items
            .iter()
            .map(|it| group(it, frame.operates))
            .collect(),
        more: list
            .next_cursor
            .map(|cursor| format!("/unattributed?cursor={}", words::part(&cursor))),
        looked_at: counted(list.looked_at),
        frame,
    })
}

/// The links of a form: fields named `key:KIND:ID`, of which the empty ones are
/// left out.
fn links(fields: &Fields, source: &str) -> Result<Vec<NewLink>, Problem> {
    let mut links = BTreeMap::new();
    for (name, customer_key) in fields.pairs() {
        let Some((kind, id)) = name
            .strip_prefix("key:")
            .and_then(|rest| rest.split_once(':'))
        else {
            continue;
        };
        links.insert((kind.to_owned(), id.to_owned()), customer_key.to_owned());
    }
    match links.len() {
        0 => Err(Problem::unprocessable("no customer key was written")),
        1..=LINKS_MOST => Ok(links
            .into_iter()
            .map(|(id, customer_key)| NewLink::new(source.to_owned(), id, customer_key))
            .collect()),
        _ => Err(Problem::unprocessable(format!(
            "link {LINKS_MOST} ids at most at once"
        ))),
    }
}

/// Shows what links would do, or saves them.
pub(super) async fn link(State(admin): State<Arc<Admin>>, sent: Sent) -> Result<Response, Refused> {
    let Sent { session, fields } = sent;
    let ledger = &admin.app.ledger;
    let source = fields.one("source").unwrap_or_default().to_owned();
    let links = links(&fields, &source)?;
    let word = admin.word(&session.caller, "");
    if !fields.has("save") {
        let tried = ops::link_dry_run(ledger, links.clone(), word).await?;
        return page(&what_if(&session, source, &links, &tried));
    }
    for link in links {
        ops::link(ledger, link, word.clone()).await?;
    }
    admin.app.wake(&source);
    Ok(Redirect::to("/unattributed?done=1").into_response())
}

fn what_if(session: &Session, source: String, links: &[NewLink], tried: &LinkDryRun) -> WhatIfPage {
    let sums = tried.sums.iter().map(|sum| SumRow {
        before: sum.before,
        after: sum.after,
        customer: sum.customer_key.clone(),
        payments: counted(sum.payments),
        net: words::maybe(sum.currency, sum.net),
    });
    let refused = tried.refused.iter();
    let many = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let links = links.iter().map(|link| {
        let NewLink {
            kind,
            external_id,
            customer_key,
            ..
        } = link.clone();
        (kind, external_id, customer_key)
    });
    WhatIfPage {
        frame: Frame::new(session, "unattributed", "What these links would do"),
        source,
        links: links.collect(),
        sums: sums.collect(),
        refused: refused
            .map(|it| (format!("{} {}", it.kind, it.external_id), it.why.clone()))
            .collect(),
        payments: words::counted(many(tried.payments), "payment", "payments"),
        not_looked_at: (tried.not_looked_at > 0).then(|| words::count(many(tried.not_looked_at))),
        nothing: tried.changed == 0,
    }
}
