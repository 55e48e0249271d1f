//! `mirror`: reads the destination's customers, rewards and partners, and says
//! what was new.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{DONE, FAILED, Talk, say};
use crate::app::App;
use crate::circuit::Alone;
use crate::config::Config;
use crate::ledger::mirror::{Extent, MirrorFigures};
use crate::mirror::{Mirrored, mirror};
use crate::time::Clock;

pub(super) async fn run(config: Arc<Config>, extent: Extent, talk: Talk) -> anyhow::Result<u8> {
    let clock = Clock::Machine;
    let app = App::open(config, clock.clone(), false)?;
    let answer = all(&app, &clock, extent, talk).await;
    app.ledger.close().await;
    answer
}

async fn all(app: &App, clock: &Clock, extent: Extent, talk: Talk) -> anyhow::Result<u8> {
    let (mut code, mut told) = (DONE, Vec::new());
    for destination in app.destinations()? {
        let name = destination.name();
        let set = app.config.destinations.get(name);
        let door = Alone::new(&app.ledger, &destination, clock).await?;
        let asked = (extent, set.and_then(|set| set.reward_currency));
        let (whole, why, done) = match mirror(&app.ledger, &destination, asked, &door).await {
            Ok(done) => (done.is_whole(), stopped(&done), done),
            Err(error) => (false, Some(error.to_string()), Mirrored::default()),
        };
        if !whole {
            code = FAILED;
        }
        let figures = app.ledger.mirror_figures(name).await?;
        match talk.json {
            true => told.push(shown(name, (whole, &why), &done, &figures)),
            false => lines(name, why.as_deref(), &done, &figures),
        }
    }
    if talk.json {
        talk.json(&json!({ "complete": code == DONE, "destinations": told }))?;
    }
    Ok(code)
}

/// Why a round that failed in nothing came to no end.
fn stopped(done: &Mirrored) -> Option<String> {
    let why = "the destination asked to be left alone for longer than this command waits; it goes \
               on there";
    done.stopped.then(|| why.to_owned())
}

fn shown(
    name: &str,
    (whole, why): (bool, &Option<String>),
    done: &Mirrored,
    figures: &MirrorFigures,
) -> Value {
    json!({
        "destination": name,
        "complete": whole,
        "why": why,
        "read": done,
        "read_at": figures.read_at.map(|at| at.to_string()),
        "full_read_at": figures.full_at.map(|at| at.to_string()),
        "rewards_without_currency": figures.without_currency,
    })
}

fn lines(name: &str, why: Option<&str>, done: &Mirrored, figures: &MirrorFigures) {
    for (list, told) in &done.lists {
        let list = list.word();
        let unreadable = match told.unreadable {
            0 => String::new(),
            rows => format!("; {rows} could not be read"),
        };
        let refused = match &told.refused {
            None => String::new(),
            Some(why) => format!("; then the destination refused: {why}"),
        };
        say(&format!(
            "the destination \"{name}\" listed {} {list} that may be new, {} are{unreadable}{refused}",
            told.rows, told.changed
        ));
    }
    if done.payments > 0 {
        say(&format!(
            "{} payments that waited for a customer were looked at again",
            done.payments
        ));
    }
    if let Some(why) = why {
        say(why);
    }
    match about_currency(figures) {
        Some(warning) => say(&format!("warning: destinations.{name}.{warning}")),
        None if why.is_none() && done.lists.is_empty() => {
            say(&format!(
                "the destination \"{name}\": nothing is to be read"
            ));
        }
        None => {}
    }
}

/// What is to be said about rewards whose currency nobody says.
pub(super) fn about_currency(figures: &MirrorFigures) -> Option<String> {
    (figures.without_currency > 0).then(|| {
        format!(
            "reward_currency is not set: {} rewards name no currency, also not by their \
             transaction, and count for nothing in reports",
            figures.without_currency
        )
    })
}
