//! The command `link`: one link or a file of them, made or only tried.

use std::path::Path;

use super::args::Link;
use super::verbs::word;
use super::{DONE, FAILED, FOUND, Talk, explain_error, say, show};
use crate::app::App;
use crate::ledger::NewLink;
use crate::ops::{self, LinkDryRun, UsageError};

pub(super) async fn run(app: &App, args: Link, talk: Talk) -> anyhow::Result<u8> {
    if let Some(file) = &args.csv {
        return link_file(app, &args, file, talk).await;
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
    if args.dry_run {
        let tried = dry_run(app, vec![link], talk).await?;
        return Ok(if tried.refused.is_empty() {
            DONE
        } else {
            FAILED
        });
    }
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
async fn link_file(app: &App, args: &Link, file: &Path, talk: Talk) -> anyhow::Result<u8> {
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
    let mut to_try = Vec::new();
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
            Ok(line) => match link_of(args, line) {
                Ok(link) if args.dry_run => {
                    to_try.push(link);
                    Ok(())
                }
                Ok(link) => ops::link(&app.ledger, link, word(app, ""))
                    .await
                    .map(|_| ())
                    .map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            },
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
    if args.dry_run {
        bad += dry_run(app, to_try, talk).await?.refused.len();
        say(&format!("{bad} of the lines would be rejected"));
    } else {
        say(&format!("{done} links stand, {bad} lines were rejected"));
    }
    Ok(if bad > 0 { FOUND } else { DONE })
}

fn link_of(args: &Link, line: LinkLine) -> Result<NewLink, UsageError> {
    let amount = ops::amount(line.amount, line.currency.as_deref())?;
    Ok(new_link(
        args,
        line.kind,
        line.external_id,
        line.customer_key,
        amount,
    ))
}

/// Shows what links would do.
async fn dry_run(app: &App, links: Vec<NewLink>, talk: Talk) -> anyhow::Result<LinkDryRun> {
    let tried = ops::link_dry_run(&app.ledger, links, word(app, ""))
        .await
        .map_err(explain_error)?;
    match talk.json {
        true => talk.json(&tried)?,
        false => show::what_if(&tried)?,
    }
    Ok(tried)
}
