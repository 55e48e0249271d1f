//! `import`: a file's rows into the ledger, or what they would change.
//!
//! The sums are data and go to standard output; counts, warnings and progress are
//! talk.

use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::args::{Import, Narrow};
use super::{DONE, FAILED, FOUND, Talk, explain_error, say, show, verbs};
use crate::app::App;
use crate::export::ExportError;
use crate::import::progress::{Progress, span, thousands};
use crate::import::report::Report;
use crate::import::run::{self, Came, Watch};
use crate::import::settings::{self, Said};
use crate::ledger::rows::{RowTold, RowsFrom};
use crate::ops::UsageError;
use crate::time::{Clock, SECOND_MS};

/// The name of standard input beside facts.
const STANDARD_INPUT: &str = "standard input";

pub(super) async fn run(app: &App, args: &Import, talk: Talk) -> anyhow::Result<u8> {
    let said = Said {
        format: args.format.clone(),
        map: args.map.clone(),
        zone: args.zone.clone(),
        currency: args.currency.clone(),
    };
    let options = settings::options(&app.config, &args.source, &said)
        .map_err(|refused| UsageError(refused.0))?;
    let (file, name, length) = open(args)?;
    let report = args.report.as_deref().map(|path| {
        let cannot = |why| UsageError(format!("--report: {}: {why}", path.display()));
        Report::create(path).map_err(cannot)
    });
    let from = RowsFrom {
        source: args.source.clone(),
        file: name.clone(),
        no_forward: args.no_forward,
        word: verbs::word(app, "import --no-forward"),
    };
    let clock = Clock::Machine;
    let mut watch = OnTerminal {
        report: report.transpose()?,
        progress: Progress::new(
            length,
            std::io::stderr().is_terminal(),
            clock.read().boot_ms,
        ),
        clock,
    };
    let stop = stopped_by_hand();
    let came = match args.dry_run {
        false => run::run(&app.ledger, file, (options, from), stop, &mut watch).await,
        true => {
            say("dry run: a copy of the ledger takes the file, and nothing of it is kept");
            let copy = app.ledger.scratch().await.map_err(explain_error)?;
            let came = run::run(&copy.ledger, file, (options, from), stop, &mut watch).await;
            copy.ledger.close().await;
            came
        }
    };
    watch.progress.end();
    let came = came?;
    if let Some(report) = watch.report {
        report.finish().map_err(anyhow::Error::msg)?;
    }
    match talk.json {
        true => talk.json(&crate::import::view::view(
            app,
            args.dry_run,
            &name,
            &args.source,
            &came,
        ))?,
        false => {
            show::changes(&came.changes, args.dry_run)?;
            tell(app, args, &name, &came);
        }
    }
    Ok(match () {
        () if came.broken.is_some() || came.stopped => FAILED,
        () if came.rejected > 0 => FOUND,
        () => DONE,
    })
}

/// `export`: payments as CSV on standard output.
pub(super) async fn export(
    app: &App,
    narrow: &Narrow,
    customer: Option<String>,
) -> anyhow::Result<u8> {
    let (mut filter, _) = narrow.text(customer).read(app.clock.now(), true)?;
    if filter.source.is_none() {
        let mut names = app.config.sources.keys();
        filter.source = match (names.next(), names.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => {
                let why = "--source: there are several, and a file is imported into one";
                return Err(UsageError(why.to_owned()).into());
            }
        };
    }
    let out = std::io::BufWriter::new(std::io::stdout().lock());
    match crate::export::export(&app.ledger, filter, out).await {
        Ok(done) => {
            let number = |count: u64| thousands(i64::try_from(count).unwrap_or(i64::MAX));
            say(&format!(
                "{} payments in {} rows",
                number(done.payments),
                number(done.rows)
            ));
            if done.left_out > 0 {
                say(&format!(
                    "{} of which no money was stated are not in it",
                    number(done.left_out)
                ));
            }
            Ok(DONE)
        }
        // A reader who has gone away is no error.
        Err(ExportError::Closed) => Ok(DONE),
        Err(error) => Err(error.into()),
    }
}

/// A file, its name beside facts, and its length where it has one.
type Opened = (Box<dyn Read + Send>, String, Option<u64>);

fn open(args: &Import) -> Result<Opened, UsageError> {
    let path = &args.file;
    if path.as_os_str() == "-" {
        return Ok((Box::new(std::io::stdin()), STANDARD_INPUT.to_owned(), None));
    }
    let cannot = |error: std::io::Error| UsageError(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if about.is_dir() {
        return Err(UsageError(format!("{} is a folder", path.display())));
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    let name: String = name.to_string_lossy().chars().collect();
    Ok((
        Box::new(file),
        run::file_name(&name),
        about.is_file().then_some(about.len()),
    ))
}

/// Set by the first Ctrl-C: what was begun is committed and told.
fn stopped_by_hand() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&stop);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            set.store(true, Ordering::Relaxed);
        }
    });
    stop
}

struct OnTerminal {
    report: Option<Report>,
    progress: Progress,
    clock: Clock,
}

impl Watch for OnTerminal {
    fn row(&mut self, told: &RowTold) -> Result<(), String> {
        match &mut self.report {
            Some(report) => report.row(told),
            None => Ok(()),
        }
    }

    fn came(&mut self, came: &Came) {
        if let Some(line) = self.progress.came(came, self.clock.read().boot_ms) {
            say(&line);
        }
    }
}

/// What came of it, in sentences.
fn tell(app: &App, args: &Import, name: &str, came: &Came) {
    let number = |count: u64| thousands(i64::try_from(count).unwrap_or(i64::MAX));
    say(&format!(
        "{name} ({}): {} rows: {} imported ({} of them unattributed), {} already known, \
         {} ignored, {} rejected",
        came.format.word(),
        number(came.rows),
        number(came.imported),
        number(came.unattributed),
        number(came.known),
        number(came.ignored),
        number(came.rejected),
    ));
    for told in came.unattributed_first.iter().chain(&came.rejected_first) {
        let why = told.reason.as_deref().unwrap_or_default();
        say(&format!(
            "line {}: {}: {why}",
            told.line,
            told.outcome.word()
        ));
    }
    let shown = came.unattributed_first.len() + came.rejected_first.len();
    let more = came.unattributed + came.rejected > u64::try_from(shown).unwrap_or(u64::MAX);
    if more && args.report.is_none() {
        say("there are more such lines: --report OUT.csv names all of them");
    }
    if let Some(why) = &came.broken {
        say(&format!("the file could not be read to its end: {why}"));
    }
    if came.stopped {
        say("stopped; what is told above stands, and the same command goes on from there");
    }
    forwarding(app, args, came);
}

/// What will be paid by it, and how long that takes.
fn forwarding(app: &App, args: &Import, came: &Came) {
    if came.due <= 0 {
        return;
    }
    let (per_second, destination) = run::rate(app, &args.source);
    let takes = span(came.due.saturating_mul(SECOND_MS) / i64::from(per_second));
    let would = if args.dry_run { "would" } else { "will" };
    say(&format!(
        "warning: {} payments {would} be forwarded to \"{destination}\". PartnerStack pays \
         backfilled transactions by today's rules and puts them on its next invoices; where \
         that is not wanted, import with --no-forward",
        thousands(came.due),
    ));
    say(&format!(
        "at {per_second} requests a second the forwarding takes {takes}, behind live payments"
    ));
}
