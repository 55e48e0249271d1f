//! `check`: says what is wrong before a delivery finds it out.

use std::sync::Arc;

use super::mirror::about_currency;
use super::{DONE, FAILED, Talk, print, say};
use crate::app::{self, App};
use crate::config::{self, Config, Mode};
use crate::destination::{Destination, Outcome, Who};
use crate::ledger::copied_sentence;
use crate::ledger::mirror::MirrorFigures;
use crate::provider;
use crate::time::Clock;

pub(super) async fn check(config: &Arc<Config>, offline: bool, talk: Talk) -> anyhow::Result<u8> {
    app::terms(config)?;
    let clock = Clock::Machine;
    let mut failed = false;
    let mut findings = Vec::new();
    let app = App::open(Arc::clone(config), clock.clone(), false)?;
    findings.push(format!("the ledger {} can be opened", config.ledger.url));
    if !offline {
        for destination in app.destinations()? {
            match who(&destination).await {
                Ok(who) if who.proven => findings.push(format!(
                    "the destination \"{}\" knows our keys",
                    destination.name()
                )),
                Ok(_) => findings.push(format!(
                    "the destination \"{}\" answers; whether it knows our keys could not be told",
                    destination.name()
                )),
                Err(outcome) => {
                    failed = true;
                    findings.push(format!(
                        "FAILED: the destination \"{}\" did not let us in: {}",
                        destination.name(),
                        outcome.name().replace('_', " ")
                    ));
                }
            }
        }
    }
    let mut warnings = warnings(config);
    for (name, destination) in &config.destinations {
        if let Some(at) = app.ledger.copied_at(name).await? {
            warnings.push(format!("destinations.{name}: {}", copied_sentence(at)));
        }
        let figures = app.ledger.mirror_figures(name).await?;
        findings.push(about_mirror(name, destination, &figures));
        if let Some(warning) = about_currency(&figures) {
            warnings.push(format!("destinations.{name}.{warning}"));
        }
    }
    app.ledger.close().await;
    if talk.json {
        talk.json(&serde_json::json!({
            "ok": !failed, "findings": findings, "warnings": warnings,
            "configuration": config.effective(),
        }))?;
    } else {
        print(&config.effective())?;
        findings.iter().for_each(|finding| say(finding));
        warnings
            .iter()
            .for_each(|warning| say(&format!("warning: {warning}")));
    }
    Ok(if failed { FAILED } else { DONE })
}

/// Asks within the rate that all share.
async fn who(destination: &Destination) -> Result<Who, Outcome> {
    destination.permit().await?;
    destination.who().await
}

/// How well the destination's customers, partners and rewards are known.
fn about_mirror(name: &str, set: &config::Destination, figures: &MirrorFigures) -> String {
    let every = match set.mirror_every_minutes {
        0 => "serve does not read them (mirror_every_minutes = 0)".to_owned(),
        minutes => format!("serve reads them every {minutes} minutes"),
    };
    match figures.read_at {
        _ if !set.v2_available => format!(
            "the customers, partners and rewards of the destination \"{name}\" cannot be read: \
             without v2 it has no lists"
        ),
        None => format!(
            "the customers, partners and rewards of the destination \"{name}\" were never read to \
             the end; {every}, and \"tributary mirror\" does"
        ),
        Some(at) => format!(
            "the customers, partners and rewards of the destination \"{name}\" were last read at \
             {at}; {every}"
        ),
    }
}

/// What is allowed and may still surprise.
fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let live = config
        .destinations
        .values()
        .any(|destination| destination.mode == Mode::Live);
    if live {
        warnings.push(
            "disconnect the destination's own payment integration first: its rows have keys that \
             we cannot know, and the same money would be paid twice"
                .to_owned(),
        );
        warnings.push(
            "what a negative transaction does to a commission is not documented: prove it with \
             one live row before you rely on it"
                .to_owned(),
        );
    }
    warnings.extend(about_sources(config));
    if !config.http.public.ip().is_loopback() {
        warnings.push(
            "the public listener speaks plain HTTP beyond this machine: put a proxy with HTTPS in \
             front of it"
                .to_owned(),
        );
    }
    if config.http.tokens.is_empty() {
        warnings.push("no tokens are configured: the API answers nobody".to_owned());
    }
    warnings
}

/// What is to be known about the sources that take deliveries.
fn about_sources(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let active: Vec<_> = config
        .sources
        .iter()
        .filter(|(_, source)| !source.retired)
        .collect();
    for destination in config.destinations.keys() {
        let into: Vec<&str> = active
            .iter()
            .filter(|(_, source)| source.destination == *destination)
            .map(|(name, _)| name.as_str())
            .collect();
        if into.len() > 1 {
            warnings.push(format!(
                "the sources {} pay into one destination: if two of them report the same money \
                 (two endpoints of one account, or a billing system on top of a payment provider), \
                 keep one source per money",
                into.join(", ")
            ));
        }
    }
    let secure: Vec<&str> = active
        .iter()
        .filter(|(_, source)| provider::HTTPS_ONLY.contains(&source.provider.as_str()))
        .map(|(name, _)| name.as_str())
        .collect();
    if !secure.is_empty() {
        warnings.push(format!(
            "the providers of {} deliver to https:// URLs only, and this program speaks plain \
             HTTP: a proxy with HTTPS has to stand in front of {} (README, HTTPS)",
            secure.join(", "),
            config.http.public
        ));
    }
    for (name, source) in &active {
        if source.api.is_none()
            && provider::build(&source.provider, source.settings.clone())
                .is_ok_and(|it| it.api().is_some())
        {
            warnings.push(format!(
                "sources.{name}.api.key is not set: where a webhook says too little, the payment \
                 waits and says so"
            ));
        }
    }
    warnings
}
