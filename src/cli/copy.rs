//! `copy`: a ledger to another place. URLs may hold passwords, so nothing of them is
//! printed but hosts, ports and names.

use std::io::IsTerminal as _;

use indicatif::ProgressBar;

use super::args::Copy;
use super::{DONE, Talk, explain_error, say};
use crate::import::progress::thousands;
use crate::ledger::LedgerError;
use crate::ledger::copying::{self, Came, Copied, Order, Stage, Then};
use crate::ops::UsageError;
use crate::time::Clock;

pub(super) async fn run(args: Copy, talk: Talk) -> anyhow::Result<u8> {
    if args.give_up {
        let work = move || copying::give_up(&args.from);
        let name = aside(work).await.map_err(explain_error)?;
        match talk.json {
            true => talk.json(&serde_json::json!({"from": name, "came": "given_up"}))?,
            false => say(&format!(
                "{name} is in use again; remove the unfinished copy, which can never be opened"
            )),
        }
        return Ok(DONE);
    }
    let Some(to) = args.to else {
        return Err(UsageError("--to: say where the copy is made".to_owned()).into());
    };
    let order = Order {
        from: args.from,
        to,
        then: match args.keep_source {
            true => Then::Keep,
            false => Then::Close,
        },
        clock: Clock::Machine,
    };
    let work = move || {
        let (mut shown, mut closed) = (Shown::new(), false);
        let copied = copying::copy(&order, &mut |stage| {
            closed |= stage == Stage::Closed;
            shown.stage(stage);
        });
        shown.end();
        if closed && copied.is_err() {
            say(
                "the ledger stays closed: the same command finishes the copy, and \
                 \"tributary copy --from URL --give-up\" goes on without it",
            );
        }
        copied
    };
    let copied = aside(work).await.map_err(explain_error)?;
    match talk.json {
        true => talk.json(&copied)?,
        false => tell(&copied)?,
    }
    Ok(DONE)
}

/// On a thread that may wait.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|_| Err(LedgerError::Unavailable("the copy was cut off".to_owned())))
}

fn tell(copied: &Copied) -> anyhow::Result<()> {
    let rows = |it: u64| thousands(i64::try_from(it).unwrap_or(i64::MAX));
    if let Some(digest) = &copied.digest {
        for table in copied.tables.iter().filter(|table| table.rows > 0) {
            super::print(&format!("{:<26} {:>14}", table.table, rows(table.rows)))?;
        }
        super::print(&format!("digest of both: {digest}"))?;
    }
    let Copied { from, to, .. } = copied;
    say(&match copied.came {
        Came::Moved => format!(
            "the ledger is at {to} now: write that as ledger.url. {from} is closed for good"
        ),
        Came::MovedBefore => format!("{from} was moved to {to} before; nothing was done"),
        Came::Copied => format!(
            "{to} holds the ledger as it was; it takes webhooks and forwards nothing until \
             \"tributary reconcile --adopt\""
        ),
    });
    Ok(())
}

/// How far it is: a line that changes, on a terminal.
struct Shown(Option<ProgressBar>);

impl Shown {
    fn new() -> Shown {
        let terminal = std::io::stderr().is_terminal();
        Shown(terminal.then(ProgressBar::new_spinner))
    }

    fn stage(&mut self, stage: Stage) {
        let Some(bar) = &self.0 else {
            return;
        };
        bar.tick();
        match stage {
            Stage::Closed => bar.set_message("the ledger is closed"),
            Stage::Copied { table, rows } => {
                let rows = thousands(i64::try_from(rows).unwrap_or(i64::MAX));
                bar.set_message(format!("{table}: {rows} rows"));
            }
            Stage::Compared { table } => bar.set_message(format!("compares {table}")),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
