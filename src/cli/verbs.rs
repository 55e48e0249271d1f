//! The commands that work on a ledger, and the sandbox.

use std::path::Path;
use std::sync::Arc;

use super::args::{Command, Filters, Link, Sandbox as SandboxArgs, Selection};
use super::{DONE, FAILED, FOUND, Talk, explain_error, report, say, show};
use crate::app::App;
use crate::config::Env;
use crate::ledger::{Decision, NewLink, Statement, Word};
use crate::ops::{self, UsageError, Whom};
use crate::sandbox::{Duplicates, Sandbox, Settings};
use crate::time::Clock;

pub(super) async fn run(app: &App, command: Command, talk: Talk) -> anyhow::Result<u8> {
    match command {
        Command::Payments(filters) => payments(app, &filters, talk).await,
        Command::Report(asked) => report::run(app, asked, talk).await,
        Command::Explain { source, id } => {
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
        Command::Link(link) => self::link(app, link, talk).await,
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
    let (filter, limit) = text.read(app.clock.now())?;
    let page = ops::payments(&app.ledger, filter, limit, true)
        .await
        .map_err(explain_error)?;
    let next = page.next_cursor.map(|cursor| cursor.to_string());
    if talk.json {
        talk.json(&serde_json::json!({"items": page.items, "next_cursor": next}))?;
        return Ok(DONE);
    }
    show::payments(&page.items)?;
    if let Some(cursor) = next {
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
            Whom::Many(text.read(app.clock.now())?.0)
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

async fn link(app: &App, args: Link, talk: Talk) -> anyhow::Result<u8> {
    if let Some(file) = &args.csv {
        return link_file(app, &args, file).await;
    }
    let (Some(kind), Some(external_id), Some(customer_key)) = (
        args.kind.clone(),
        args.external_id.clone(),
        args.customer_key.clone(),
    ) else {
        return Err(
            UsageError("link takes SOURCE KIND EXTERNAL_ID CUSTOMER_KEY".to_owned()).into(),
        );
    };
    let amount = ops::amount(args.amount, args.currency.as_deref())?;
    let link = new_link(&args, kind, external_id, customer_key, amount);
    let (view, changed, payments) = ops::link(&app.ledger, link, word(app, ""))
        .await
        .map_err(explain_error)?;
    match talk.json {
        true => {
            talk.json(&serde_json::json!({"link": view, "changed": changed, "payments": payments}))?
        }
        false => say(&format!(
            "{}; {payments} payments were looked at again",
            if changed {
                "linked"
            } else {
                "it was linked so before"
            }
        )),
    }
    Ok(DONE)
}

fn new_link(
    args: &Link,
    kind: String,
    external_id: String,
    customer_key: String,
    amount: Option<(crate::money::Minor, crate::money::Currency)>,
) -> NewLink {
    NewLink {
        source: args.source.clone(),
        kind,
        external_id,
        customer_key: customer_key.trim().to_owned(),
        amount,
        replace: args.replace || args.move_forwarded,
        move_forwarded: args.move_forwarded,
    }
}

/// The columns that a file of links must have.
const LINK_COLUMNS: [&str; 3] = ["kind", "external_id", "customer_key"];

/// One line of a file of links.
#[derive(serde::Deserialize)]
struct LinkLine {
    kind: String,
    external_id: String,
    customer_key: String,
    amount: Option<i64>,
    currency: Option<String>,
}

/// How far the lines of a file were counted. The reader's own count is of the
/// place where it began to look, before line ends and empty lines.
#[derive(Default)]
struct Place {
    byte: usize,
    line_ends: usize,
}

impl Place {
    /// The line, from 1, of the record that was looked for from byte `from`.
    fn line_of(&mut self, bytes: &[u8], from: Option<u64>) -> usize {
        let from = from.and_then(|from| usize::try_from(from).ok());
        let from = from.unwrap_or(self.byte).clamp(self.byte, bytes.len());
        let ends = bytes[from..].iter().take_while(|b| b"\r\n".contains(b));
        let starts = from + ends.count();
        let passed = &bytes[self.byte..starts];
        self.line_ends += passed.iter().filter(|b| **b == b'\n').count();
        self.byte = starts;
        self.line_ends + 1
    }
}

/// Bad lines never stop good ones; each is named with its line and reason.
async fn link_file(app: &App, args: &Link, file: &Path) -> anyhow::Result<u8> {
    let bytes =
        std::fs::read(file).map_err(|error| UsageError(format!("{}: {error}", file.display())))?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(bytes.as_slice());
    let head = reader
        .headers()
        .map_err(|error| UsageError(format!("{}: {error}", file.display())))?
        .clone();
    // A wrong head would make every line wrong: it stops the file.
    let missing = LINK_COLUMNS
        .iter()
        .find(|column| !head.iter().any(|it| it == **column));
    if let Some(column) = missing {
        let why = format!("{}: there is no column {column}", file.display());
        return Err(UsageError(why).into());
    }
    let (mut done, mut bad) = (0_usize, 0_usize);
    let mut place = Place::default();
    for record in reader.records() {
        let (at, line) = match record {
            Ok(record) => (
                record.position().map(csv::Position::byte),
                record.deserialize::<LinkLine>(Some(&head)),
            ),
            Err(error) => (error.position().map(csv::Position::byte), Err(error)),
        };
        let at = place.line_of(&bytes, at);
        let result = match line {
            Ok(line) => link_line(app, args, line).await,
            Err(error) => Err(error.to_string()),
        };
        match result {
            Ok(()) => done += 1,
            Err(why) => {
                bad += 1;
                say(&format!("line {at}: {why}"));
            }
        }
    }
    say(&format!("{done} links stand, {bad} lines were rejected"));
    Ok(if bad > 0 { FOUND } else { DONE })
}

async fn link_line(app: &App, args: &Link, line: LinkLine) -> Result<(), String> {
    let amount =
        ops::amount(line.amount, line.currency.as_deref()).map_err(|error| error.to_string())?;
    let link = new_link(args, line.kind, line.external_id, line.customer_key, amount);
    let linked = ops::link(&app.ledger, link, word(app, "")).await;
    linked.map(|_| ()).map_err(|error| error.to_string())
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
