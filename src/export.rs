//! Payments as CSV in our own columns, one row for each fact as it was stated.
//!
//! What it writes imports back to the same books. Decisions of people, links and
//! what the destination holds are not in it: that is what a backup is for.

use std::collections::BTreeSet;
use std::io::Write;

use crate::import::guard::guarded;
use crate::ledger::export::{ExportColumns, Exported, Named};
use crate::ledger::{Filter, Ledger, LedgerError};
use crate::lookup::{IMPORTED_CUSTOMER, mask_email};
use crate::movement::{Authority, Basis, Class, Fact, rank};

/// The columns that every export has; those of clues and aliases follow.
const COLUMNS: [&str; 19] = [
    "payment_id",
    "kind",
    "reversal_id",
    "status",
    "basis",
    "live",
    "account",
    "customer_key",
    "amount",
    "currency",
    "occurred_at",
    "product_key",
    "category_key",
    "rank",
    "version",
    "authority",
    "partial_capture",
    "reference_kind",
    "reference_id",
];
/// Whose version the clues of a row have.
const CLUE_VERSION: &str = "clue_version";

/// Why an export ended.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The ledger's.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Where it is written to.
    #[error("the export cannot be written: {0}")]
    Write(String),
    /// Nobody reads on.
    #[error("nobody reads the export any more")]
    Closed,
}

impl From<csv::Error> for ExportError {
    fn from(error: csv::Error) -> ExportError {
        match error.into_kind() {
            csv::ErrorKind::Io(error) => error.into(),
            other => ExportError::Write(format!("{other:?}")),
        }
    }
}

impl From<std::io::Error> for ExportError {
    fn from(error: std::io::Error) -> ExportError {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => ExportError::Closed,
            _ => ExportError::Write(error.to_string()),
        }
    }
}

/// What was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exports {
    /// Payments, and references without one.
    pub payments: u64,
    /// Rows.
    pub rows: u64,
    /// Payments of which no money was stated: there is no row that could say it.
    pub left_out: u64,
}

/// Writes the payments that `filter` means.
///
/// # Errors
/// As [`ExportError`] says; what was written before it stands.
pub async fn export<W: Write>(
    ledger: &Ledger,
    filter: Filter,
    to: W,
) -> Result<Exports, ExportError> {
    let mut columns = ledger.export_columns(filter.clone()).await?;
    columns.clues.retain(|field| field != IMPORTED_CUSTOMER);
    let mut writer = csv::Writer::from_writer(to);
    write_head(&mut writer, &columns)?;
    let (mut exports, mut after) = (Exports::default(), 0);
    loop {
        let page = ledger.export(filter.clone(), after).await?;
        for payment in &page.payments {
            match payment.facts.len() {
                0 => exports.left_out += 1,
                _ => {
                    exports.payments += 1;
                    exports.rows += write_payment(&mut writer, &columns, payment)?;
                }
            }
        }
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    writer.flush()?;
    Ok(exports)
}

/// A list as CSV, read a piece at a time: what is shown, in its order.
pub struct Shown {
    ledger: Ledger,
    filter: Filter,
    plain: bool,
    columns: ExportColumns,
    /// The head is still to be written.
    begins: bool,
    ended: bool,
}

impl Shown {
    /// Looks for the columns that the payments of `filter` need. Without `plain`
    /// email addresses are masked, and what comes of it does not import back to the
    /// same books.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn new(ledger: Ledger, filter: Filter, plain: bool) -> Result<Shown, LedgerError> {
        let (mut clues, mut aliases) = (BTreeSet::new(), BTreeSet::new());
        let mut page = filter.clone();
        loop {
            let (columns, next) = ledger.columns_shown(page.clone()).await?;
            clues.extend(columns.clues);
            aliases.extend(columns.aliases);
            match next {
                Some(cursor) => page.cursor = Some(cursor),
                None => break,
            }
        }
        clues.remove(IMPORTED_CUSTOMER);
        Ok(Shown {
            ledger,
            filter,
            plain,
            columns: ExportColumns {
                clues: clues.into_iter().collect(),
                aliases: aliases.into_iter().collect(),
            },
            begins: true,
            ended: false,
        })
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The ledger's; what was read before it is not all.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ExportError> {
        if self.ended {
            return Ok(None);
        }
        let (payments, next) = self.ledger.export_shown(self.filter.clone()).await?;
        self.ended = next.is_none();
        self.filter.cursor = next;
        let mut piece = Vec::new();
        let mut writer = csv::Writer::from_writer(&mut piece);
        if std::mem::take(&mut self.begins) {
            write_head(&mut writer, &self.columns)?;
        }
        for mut payment in payments {
            if !self.plain {
                mask(&mut payment);
            }
            write_payment(&mut writer, &self.columns, &payment)?;
        }
        writer.flush()?;
        drop(writer);
        Ok(Some(piece))
    }
}

/// Hides every email address of a payment.
fn mask(payment: &mut Exported) {
    payment.customer_key = payment.customer_key.as_deref().map(mask_email);
    for (_, value) in &mut payment.clues {
        *value = mask_email(value);
    }
}

fn write_head<W: Write>(
    writer: &mut csv::Writer<W>,
    columns: &ExportColumns,
) -> Result<(), ExportError> {
    let mut head: Vec<String> = COLUMNS.map(str::to_owned).to_vec();
    head.push(CLUE_VERSION.to_owned());
    let clues = columns.clues.iter().map(|field| format!("clue.{field}"));
    head.extend(clues);
    let aliases = columns.aliases.iter().map(|(kind, money)| match money {
        true => format!("money_alias.{kind}"),
        false => format!("alias.{kind}"),
    });
    head.extend(aliases);
    Ok(writer.write_record(head)?)
}

/// A row for each fact. Clues stand in the first; a payment with more ids of one
/// kind than facts has its last fact once more, which changes nothing.
fn write_payment<W: Write>(
    writer: &mut csv::Writer<W>,
    columns: &ExportColumns,
    payment: &Exported,
) -> Result<u64, ExportError> {
    let ids: Vec<Vec<&str>> = columns
        .aliases
        .iter()
        .map(|(kind, money)| {
            let of = payment.aliases.iter();
            of.filter(|(k, m, _)| k == kind && m == money)
                .map(|(_, _, id)| id.as_str())
                .collect()
        })
        .collect();
    let most = ids.iter().map(Vec::len).max().unwrap_or_default();
    let rows = most.max(payment.facts.len());
    let Some(last) = payment.facts.last() else {
        return Ok(0);
    };
    for index in 0..rows {
        let fact = payment.facts.get(index).unwrap_or(last);
        let mut cells = fact_cells(payment, fact);
        let clue_version = payment.clue_version.filter(|_| index == 0);
        cells.push(clue_version.map_or(String::new(), |it| it.to_string()));
        for field in &columns.clues {
            let clue = payment.clues.iter().find(|(name, _)| name == field);
            let value = clue.filter(|_| index == 0).map(|(_, value)| value.clone());
            cells.push(value.unwrap_or_default());
        }
        for of_kind in &ids {
            cells.push(of_kind.get(index).copied().unwrap_or_default().to_owned());
        }
        writer.write_record(cells.iter().map(|cell| guarded(cell).into_owned()))?;
    }
    Ok(u64::try_from(rows).unwrap_or(u64::MAX))
}

/// The cells of [`COLUMNS`].
fn fact_cells(payment: &Exported, fact: &Fact) -> Vec<String> {
    let (payment_id, reference_kind, reference_id) = match &payment.named {
        Named::Payment(id) => (id.as_str(), "", ""),
        Named::Reference(kind, id) => ("", kind.as_str(), id.as_str()),
    };
    let (kind, status) = words(fact);
    let flag = |flag: bool| if flag { "true" } else { "false" };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    vec![
        payment_id.to_owned(),
        kind.to_owned(),
        fact.id.clone(),
        status.to_owned(),
        match fact.basis {
            Basis::Each => "each",
            Basis::Total => "total",
        }
        .to_owned(),
        payment.live.map_or("", flag).to_owned(),
        payment.account.clone(),
        text(&payment.customer_key),
        fact.amount.to_string(),
        fact.currency.to_string(),
        fact.at.to_string(),
        text(&fact.product_key),
        text(&fact.category_key),
        fact.rank.to_string(),
        fact.version.to_string(),
        match fact.authority {
            Authority::Csv => "csv",
            Authority::Webhook => "webhook",
            Authority::Api => "api",
        }
        .to_owned(),
        flag(fact.partial_capture).to_owned(),
        reference_kind.to_owned(),
        reference_id.to_owned(),
    ]
}

/// The kind of a row and its status.
fn words(fact: &Fact) -> (&'static str, &'static str) {
    match (fact.class, fact.rank) {
        (Class::Capture, rank::PENDING) => ("payment", "pending"),
        (Class::Capture, rank::FAILED) => ("payment", "failed"),
        (Class::Capture, _) => ("payment", "captured"),
        (Class::Refund, rank::ANNOUNCED) => ("refund", "announced"),
        (Class::Refund, rank::LIVE) => ("refund", "live"),
        (Class::Refund, _) => ("refund", "undone"),
        (Class::Void, _) => ("void", "live"),
        (Class::DisputeTaken, _) => ("dispute", "taken"),
        (Class::DisputeReturned, _) => ("dispute", "returned"),
        (Class::Alert, _) => ("alert", "live"),
    }
}
