//! A report as a table: which columns tell its lines apart, and the file that the
//! command and the page hand out.

use crate::import::guard::guarded;
use crate::money::{Currency, Minor, decimal};
use crate::report::{Basis, By, Group, Line, Report};

/// The names of the columns before the money.
#[must_use]
pub fn keys(by: By) -> &'static [&'static str] {
    match by {
        By::Partner => &["partner_key", "partner_name"],
        By::Customer => &["destination", "customer_key", "partner_key", "partner_name"],
        By::Source => &["source"],
        By::Day => &["day"],
        By::Month => &["month"],
    }
}

/// What stands in them; `nobody` and `unknown` are written where there is no key.
#[must_use]
pub fn cells(line: &Line, group: &Group, nobody: &str, unknown: &str) -> Vec<String> {
    let key = |key: &Option<String>, attributed: bool| match (key, attributed) {
        (Some(key), _) => key.clone(),
        (None, true) => unknown.to_owned(),
        (None, false) => nobody.to_owned(),
    };
    let name = || line.partner_name.clone().unwrap_or_default();
    match group {
        Group::Partner {
            partner_key,
            attributed,
        } => vec![key(partner_key, *attributed), name()],
        Group::Customer {
            destination,
            customer_key,
            partner_key,
            attributed,
        } => vec![
            destination.clone().unwrap_or_default(),
            key(customer_key, *attributed),
            partner_key.clone().unwrap_or_else(|| unknown.to_owned()),
            name(),
        ],
        Group::Source { source } => vec![source.clone()],
        Group::Day { day } => vec![day.to_string()],
        Group::Month { month } => vec![month.to_string()],
    }
}

/// The columns of money in a file: minor units as the API has them, then what a
/// spreadsheet adds up.
const FILED: [&str; 15] = [
    "currency",
    "gross",
    "reversed",
    "net",
    "unattributed",
    "ignored",
    "commission",
    "payments",
    "reversals",
    "gross_decimal",
    "reversed_decimal",
    "net_decimal",
    "commission_decimal",
    "zone",
    "basis",
];

/// Every line, and no totals: they would be counted twice by who adds a column up.
///
/// # Errors
/// None in practice: it is written to memory.
pub fn csv(report: &Report) -> Result<String, csv::Error> {
    let mut file = csv::Writer::from_writer(Vec::new());
    let keys = keys(report.by);
    file.write_record(keys.iter().chain(&FILED))?;
    for line in &report.items {
        let group = line.group.as_ref();
        let cells = group.map_or_else(Vec::new, |group| cells(line, group, "", ""));
        let mut row: Vec<String> = cells
            .iter()
            .map(|cell| guarded(cell).into_owned())
            .collect();
        row.extend(filed(line, report));
        file.write_record(row)?;
    }
    let bytes = file.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn filed(line: &Line, report: &Report) -> [String; 15] {
    let places = |minor: Minor| decimal(minor, Currency::exponent(&line.currency));
    let basis = match report.basis {
        Basis::Own => "own",
        Basis::Sale => "sale",
    };
    [
        line.currency.to_string(),
        line.gross.to_string(),
        line.reversed.to_string(),
        line.net.to_string(),
        line.unattributed.to_string(),
        line.ignored.to_string(),
        line.commission.map(|it| it.to_string()).unwrap_or_default(),
        line.payments.to_string(),
        line.reversals.to_string(),
        places(line.gross),
        places(line.reversed),
        places(line.net),
        line.commission.map(places).unwrap_or_default(),
        report.zone.clone(),
        basis.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_a_formula() {
        for (text, written) in [
            ("acme", "acme"),
            ("=1+1", "'=1+1"),
            ("-acme", "'-acme"),
            ("@acme", "'@acme"),
            ("'=1", "''=1"),
            ("o'neill", "o'neill"),
        ] {
            assert_eq!(guarded(text), written);
        }
    }
}
