//! The commands that work on a ledger, and the sandbox.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;

use super::args::{Command, Filters, Sandbox as SandboxArgs, Selection};
use super::{DONE, FAILED, Talk, explain_error, link, report, say, show};
use crate::app::App;
use crate::config::Env;
use crate::ledger::{Decision, Statement, Word};
use crate::ops::{self, UsageError, Whom};
use crate::sandbox::{Duplicates, Sandbox, Settings};
use crate::time::Clock;

pub(super) async fn run(app: &App, command: Command, talk: Talk) -> anyhow::Result<u8> {
    match command {
        Command::Payments(filters) => payments(app, &filters, talk).await,
        Command::Report(asked) => report::run(app, asked, talk).await,
        Command::Explain { source, id, body } if body => show_body(app, &source, &id).await,
        Command::Explain { source, id, .. } => {
            let story = ops::story(&app.ledger, &source, &id, true)
                .await
                .map_err(explain_error)?;
            match talk.json {
                true => talk.json(&story)?,
                false => show::story(&story)?,
            }
            Ok(DONE)
        }
        Command::Export { narrow, customer } => super::import::export(app, &narrow, customer).await,
        Command::Import(args) => super::import::run(app, &args, talk).await,
        Command::Link(args) => link::run(app, args, talk).await,
        Command::Backup { file } => back_up(app, &file, talk).await,
        Command::Unlink {
            source,
            kind,
            external_id,
        } => {
            let word = word(app, "");
            let payments = app
                .ledger
                .unlink(&source, &kind, &external_id, word)
                .await
                .map_err(explain_error)?;
            say(&format!(
                "unlinked; {payments} payments were looked at again"
            ));
            Ok(DONE)
        }
        Command::Refund {
            source,
            payment_id,
            refund_id,
            amount,
        } => {
            let statement = Statement::Refund { refund_id, amount };
            state(app, &source, &payment_id, statement, talk).await
        }
        Command::Attach {
            source,
            reversal_id,
            payment_id,
        } => {
            state(
                app,
                &source,
                &payment_id,
                Statement::Attach { reversal_id },
                talk,
            )
            .await
        }
        other => decision(app, other, talk).await,
    }
}

async fn back_up(app: &App, file: &Path, talk: Talk) -> anyhow::Result<u8> {
    app.ledger.back_up(file).await.map_err(explain_error)?;
    let bytes = std::fs::metadata(file)?.len();
    match talk.json {
        true => talk.json(&serde_json::json!({"file": file, "bytes": bytes}))?,
        false => say(&format!(
            "{} holds the whole ledger ({bytes} bytes); restored, it takes webhooks and forwards \
             nothing until \"tributary reconcile --adopt\"",
            file.display()
        )),
    }
    Ok(DONE)
}

/// The commands that decide about payments.
async fn decision(app: &App, command: Command, talk: Talk) -> anyhow::Result<u8> {
    match command {
        Command::Retry {
            selection,
            customer,
        } => decide(app, &selection, customer, Decision::Retry, "", talk).await,
        Command::Skip {
            selection,
            customer,
            reason,
            leave,
        } => {
            if reason.trim().is_empty() {
                return Err(UsageError("--reason: say why".to_owned()).into());
            }
            decide(
                app,
                &selection,
                customer,
                Decision::Skip { leave },
                &reason,
                talk,
            )
            .await
        }
        Command::Release {
            selection,
            accept,
            policy,
            customer,
            of_customer,
            reason,
        } => {
            let decision = match (accept, policy, customer) {
                (true, None, None) => Decision::Accept,
                (false, Some(policy), None) => Decision::Policy {
                    policy: ops::policy(&policy)?,
                },
                (false, None, Some(customer)) => Decision::Customer { customer },
                _ => {
                    let forms = "release takes one of --accept, --policy P and --customer K";
                    return Err(UsageError(forms.to_owned()).into());
                }
            };
            decide(app, &selection, of_customer, decision, &reason, talk).await
        }
        _ => Ok(FAILED),
    }
}
/// Who speaks on the command line: the person whose shell it is, as the
/// machine names them.
pub(super) fn word(app: &App, why: &str) -> Word {
    Word {
        who: "command line".to_owned(),
        why: why.trim().to_owned(),
        at: app.clock.now(),
    }
}

async fn payments(app: &App, filters: &Filters, talk: Talk) -> anyhow::Result<u8> {
    let mut text = filters.narrow.text(filters.customer.clone());
    text.cursor.clone_from(&filters.cursor);
    text.limit.clone_from(&filters.limit);
    text.q.clone_from(&filters.search);
    text.provider.clone_from(&filters.provider);
    let (filter, limit) = text.read(app.clock.now(), true)?;
    let list = ops::payments(&app.ledger, filter, limit, true)
        .await
        .map_err(explain_error)?;
    if talk.json {
        talk.json(&list)?;
        return Ok(DONE);
    }
    show::payments(&list.items)?;
    if list.cut {
        say("more begin like this than were looked at; write more of it");
    }
    if let Some(cursor) = list.next_cursor {
        say(&format!("there are more: --cursor {cursor}"));
    }
    Ok(DONE)
}

async fn state(
    app: &App,
    source: &str,
    payment_id: &str,
    statement: Statement,
    talk: Talk,
) -> anyhow::Result<u8> {
    let decided = app
        .ledger
        .state(source, payment_id, statement, word(app, ""))
        .await
        .map_err(explain_error)?;
    match talk.json {
        true => talk.json(&decided)?,
        false => super::print(&format!(
            "{source} {payment_id} is {}",
            decided.after.word()
        ))?,
    }
    Ok(DONE)
}

async fn decide(
    app: &App,
    selection: &Selection,
    customer: Option<String>,
    decision: Decision,
    why: &str,
    talk: Talk,
) -> anyhow::Result<u8> {
    let text = selection.narrow.text(customer);
    let whom = match (&selection.one_source, &selection.payment_id) {
        (Some(source), Some(payment_id)) if text.is_empty() && !selection.all => Whom::One {
            source: source.clone(),
            payment_id: payment_id.clone(),
        },
        (None, None) if selection.all || !text.is_empty() => {
            Whom::Many(text.read(app.clock.now(), true)?.0)
        }
        _ => {
            let forms = "say which payments: SOURCE ID, a filter such as --state, or --all";
            return Err(UsageError(forms.to_owned()).into());
        }
    };
    let one = matches!(whom, Whom::One { .. });
    let tally = ops::decide(
        &app.ledger,
        whom,
        decision,
        word(app, why),
        selection.dry_run,
    )
    .await
    .map_err(explain_error)?;
    match talk.json {
        true => talk.json(&tally)?,
        false => show::tally(&tally, selection.dry_run)?,
    }
    Ok(if one && tally.refused > 0 {
        FAILED
    } else {
        DONE
    })
}

/// Prints what a provider sent. A terminal is not told to do anything by it.
async fn show_body(app: &App, source: &str, id: &str) -> anyhow::Result<u8> {
    let body = app.ledger.body(source, id).await.map_err(explain_error)?;
    let Some(body) = body else {
        say("this delivery is kept without its body");
        return Ok(FAILED);
    };
    if !std::io::stdout().is_terminal() {
        return super::write(&body).map(|()| DONE);
    }
    let mut text = String::new();
    for letter in String::from_utf8_lossy(&body).chars() {
        match letter.is_control() && !['\n', '\t'].contains(&letter) {
            true => text.extend(letter.escape_default()),
            false => text.push(letter),
        }
    }
    super::print(&text).map(|()| DONE)
}

pub(super) async fn sandbox(args: SandboxArgs, env: &Env) -> anyhow::Result<u8> {
    crate::log::start(env)?;
    let clock = Clock::Machine;
    let mut settings = Settings::new(Arc::new(move || clock.now().ms()));
    settings.duplicates = match args.duplicates.as_str() {
        "second-row" => Duplicates::SecondRow,
        "conflict" => Duplicates::Conflict409,
        "refused" => Duplicates::Refused400,
        "same-row" => Duplicates::SameRow,
        _ => {
            let words = "--duplicates: write second-row, conflict, refused or same-row";
            return Err(UsageError(words.to_owned()).into());
        }
    };
    settings.auto_customers = args.auto_customers;
    settings.faults = args.faults;
    settings.seed = args.seed;
    let listener = crate::http::listen::bind(args.listen).await?;
    super::print(&format!("sandbox: http://{}", listener.local_addr()?))?;
    let interrupted = async {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok()?;
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        Some(())
    };
    crate::sandbox::serve(listener, Sandbox::new(settings), interrupted).await;
    Ok(DONE)
}
