//! `reconcile`: one line for each difference, and an exit code that says whether
//! there was one.

use std::sync::Arc;

use super::{DONE, FAILED, FOUND, Talk, print, say};
use crate::app::App;
use crate::config::Config;
use crate::ledger::Difference;
use crate::money::Currency;
use crate::ops;
use crate::reconcile::{Reconciled, Then, reconcile};
use crate::time::{Clock, Time};

pub(super) async fn run(
    config: Arc<Config>,
    since: Option<&str>,
    then: Then,
    talk: Talk,
) -> anyhow::Result<u8> {
    let clock = Clock::Machine;
    let since = match since {
        Some(text) => ops::moment("--since", text, clock.now())?,
        None => Time(0),
    };
    let app = App::open(config, clock.clone(), false)?;
    let answer = all(&app, &clock, (since, then), talk).await;
    app.ledger.close().await;
    answer
}

async fn all(
    app: &App,
    clock: &Clock,
    (since, then): (Time, Then),
    talk: Talk,
) -> anyhow::Result<u8> {
    let (mut code, mut told) = (DONE, Vec::new());
    for destination in app.destinations()? {
        let tell = |difference: &Difference| match talk.json {
            true => told.push(difference.clone()),
            // A reader who has gone away is no reason to stop correcting.
            false => drop(print(&line(difference))),
        };
        match reconcile(&app.ledger, &destination, clock, (since, then), tell).await {
            Ok(done) => {
                // What was adopted is no drift any more; what is not ours stays one.
                if done.differences > done.settled_by(then) {
                    code = code.max(FOUND);
                }
                say(&came_to(destination.name(), &done, then));
                if then == Then::Adopt {
                    say(&once_more(app, destination.name()));
                }
                sums(&done);
            }
            Err(error) => {
                say(&error.to_string());
                code = FAILED;
                break;
            }
        }
    }
    if talk.json {
        let clean = code == DONE;
        talk.json(&serde_json::json!({ "clean": clean, "items": told }))?;
    }
    Ok(code)
}

fn line(difference: &Difference) -> String {
    let show = |minor| match difference.currency {
        Some(currency) => currency.show(minor),
        None => minor.to_string(),
    };
    let payment = match (&difference.source, &difference.payment_id) {
        (Some(source), Some(payment)) => format!("  {source} {payment}"),
        _ => String::new(),
    };
    format!(
        "{:<8}  {}{payment}  ledger {}, destination {}: {}",
        difference.differs.word(),
        difference.key,
        show(difference.ledger),
        show(difference.destination),
        difference.why
    )
}

fn came_to(name: &str, done: &Reconciled, then: Then) -> String {
    let listed = done.listed;
    match (done.differences, then) {
        (_, Then::Adopt) => format!(
            "the destination \"{name}\" listed {listed} transactions; {} were read in that the \
             ledger did not know so, and it is called again from here on",
            done.corrected
        ),
        (0, _) => format!("the destination \"{name}\" agrees: {listed} transactions listed"),
        (some, Then::Tell) => format!(
            "the destination \"{name}\" listed {listed} transactions; {some} differ (--fix writes \
             down what it holds)"
        ),
        (some, Then::Fix) => format!(
            "the destination \"{name}\" listed {listed} transactions; {some} differ, {} were \
             written down: what we owe is due, what is missing is held for a person",
            done.corrected
        ),
    }
}

/// What was under way when the ledger was lost may be listed after the adoption.
fn once_more(app: &App, name: &str) -> String {
    let settings = app.config.destinations.get(name);
    let seconds = settings.map_or(0, |settings| settings.confirm_after_seconds);
    format!(
        "what the lost ledger did last may be listed later than this: run \"tributary reconcile\" \
         once more in {seconds} seconds"
    )
}

/// What the differences come to for each customer, never across currencies.
fn sums(done: &Reconciled) {
    for ((customer, currency), (ledger, there)) in &done.sums {
        let customer = match customer.as_str() {
            "" => "an unknown customer".to_owned(),
            customer => crate::lookup::mask_email(customer),
        };
        let show = |minor: i64| match currency.parse::<Currency>() {
            Ok(currency) => currency.show(minor),
            Err(_) => minor.to_string(),
        };
        say(&format!(
            "  {customer}: ledger {}, destination {}",
            show(*ledger),
            show(*there)
        ));
    }
}
