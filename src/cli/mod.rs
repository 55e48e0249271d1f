//! The command line: what people type, and exit codes.
//!
//! Data goes to standard output, talk to standard error. What a command does
//! is in `ops`, which the HTTP API shares; here are arguments and tables.

mod args;
mod check;
mod copy;
mod import;
mod link;
mod mirror;
mod reconcile;
mod report;
mod show;
mod verbs;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser as _};
use serde::Serialize;

use crate::app::{App, AppError};
use crate::config::{Config, ConfigError, Env};
use crate::import::run::ImportError;
use crate::ledger::LedgerError;
use crate::ledger::mirror::Extent;
use crate::metrics::Metrics;
use crate::ops::UsageError;
use crate::provider;
use crate::reconcile::Then;
use crate::serve::Service;
use crate::time::Clock;
use args::{Args, Command};
pub(crate) use show::table;

/// Done.
pub const DONE: u8 = 0;
/// Failed.
pub const FAILED: u8 = 1;
/// Wrong usage or configuration.
pub const USAGE: u8 = 2;
/// Ran well and found something to tell.
pub const FOUND: u8 = 3;

/// Runs the program with the process's arguments; answers the exit code.
///
/// # Errors
/// What went wrong; [`exit_code`] knows its code.
pub fn run(env: &Env) -> anyhow::Result<u8> {
    let args = Args::parse();
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("the TLS provider was installed before");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(dispatch(args, env));
    runtime.shutdown_background();
    code
}

/// The exit code of an error.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let refused = error.downcast_ref::<ImportError>();
    let usage = error.is::<ConfigError>()
        || matches!(refused, Some(ImportError::Refused(_)))
        || error.is::<UsageError>()
        || matches!(error.downcast_ref::<AppError>(), Some(AppError::Config(_)));
    if usage { USAGE } else { FAILED }
}

async fn dispatch(args: Args, env: &Env) -> anyhow::Result<u8> {
    let talk = Talk { json: args.json };
    let file = args.config.as_deref();
    match args.command {
        Command::Serve => serve(file, env).await,
        Command::Check { offline } => check::check(&config(file, env, true)?, offline, talk).await,
        Command::Reconcile { since, fix, adopt } => {
            let then = match (fix, adopt) {
                (_, true) => Then::Adopt,
                (true, _) => Then::Fix,
                _ => Then::Tell,
            };
            reconcile::run(config(file, env, true)?, since.as_deref(), then, talk).await
        }
        Command::Mirror { full } => {
            let extent = match full {
                true => Extent::All,
                false => Extent::New,
            };
            mirror::run(config(file, env, true)?, extent, talk).await
        }
        Command::Sandbox(sandbox) => verbs::sandbox(sandbox, env).await,
        Command::Copy(asked) => copy::run(asked, talk).await,
        Command::Demo { once } => crate::demo::run(once).await,
        Command::Completions { shell } => {
            let mut command = Args::command();
            clap_complete::generate(shell, &mut command, "tributary", &mut std::io::stdout());
            Ok(DONE)
        }
        on_the_ledger => {
            let app = App::open(config(file, env, false)?, Clock::Machine, false)?;
            let code = verbs::run(&app, on_the_ledger, talk).await;
            app.ledger.close().await;
            code
        }
    }
}

/// Reads the configuration; the secrets only where a command needs them.
fn config(file: Option<&Path>, env: &Env, secrets: bool) -> Result<Arc<Config>, ConfigError> {
    let config = match secrets {
        true => Config::load(file, env, provider::NAMES)?,
        false => Config::read(file, env, provider::NAMES)?,
    };
    Ok(Arc::new(config))
}

async fn serve(file: Option<&Path>, env: &Env) -> anyhow::Result<u8> {
    crate::log::start(env)?;
    let config = config(file, env, true)?;
    let metrics = Metrics::install()?;
    let service = Service::start(config, Clock::Machine, Some(metrics)).await?;
    service.run().await?;
    Ok(DONE)
}

/// How a command talks.
#[derive(Clone, Copy)]
struct Talk {
    json: bool,
}

impl Talk {
    /// Data for programs.
    fn json(self, value: &impl Serialize) -> anyhow::Result<()> {
        print(&serde_json::to_string_pretty(value)?)
    }
}

/// Data on standard output, and the end of its line.
fn print(text: &str) -> anyhow::Result<()> {
    write(format!("{text}\n").as_bytes())
}

/// Data on standard output. A reader who has gone away is no error.
fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Talk on standard error.
fn say(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The columns of the terminal, where standard output is one.
fn width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}

/// Why a ledger's error ends a command.
fn explain_error(error: LedgerError) -> anyhow::Error {
    AppError::Ledger(error).into()
}
