//! The configuration as it took effect, as TOML that loads again, for `check`.
//!
//! It shows where secrets are kept and never what they are; where somebody
//! wrote a secret in place of a name, stars.

use std::fmt::Write as _;

use serde::Serialize;
use toml::{Table, Value};

use super::{Config, SecretRef};

const STARS: &str = "********";

/// Parts of a name that tell that a provider's setting is no setting but a
/// secret.
const SECRET_NAMES: &[&str] = &["secret", "password", "token", "api_key", "private"];

impl Config {
    /// The configuration with every default filled in and every override
    /// applied; secrets are masked.
    #[must_use]
    pub fn effective(&self) -> String {
        let known = self.has_secrets();
        let mut text = format!("# {}\n", self.file.display());
        write_section(&mut text, "ledger", &table_of(&self.ledger), known);
        write_section(&mut text, "http", &table_of(&self.http), known);
        for (name, destination) in &self.destinations {
            let key = format!("destinations.{name}");
            write_section(&mut text, &key, &table_of(destination), known);
        }
        for (name, source) in &self.sources {
            let mut table = table_of(source);
            table.extend(
                source
                    .settings
                    .iter()
                    .map(|(key, value)| (key.clone(), masked(key, value))),
            );
            write_section(&mut text, &format!("sources.{name}"), &table, known);
        }
        text
    }
}

/// The sections hold only what TOML can say, so that this never comes out
/// empty; a test compares it with the file.
fn table_of(section: &impl Serialize) -> Table {
    Table::try_from(section).unwrap_or_default()
}

fn write_section(text: &mut String, name: &str, table: &Table, known: bool) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n[{name}]");
    for (key, value) in table {
        let mut shown = value.clone();
        let secret = hide_names(&mut shown, known);
        let note = match (secret, known) {
            (false, _) => "",
            (true, true) => "  # set",
            (true, false) => "  # not read",
        };
        let key = match key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        {
            true if !key.is_empty() => key.clone(),
            _ => Value::String(key.clone()).to_string(),
        };
        let _ = writeln!(text, "{key} = {shown}{note}");
    }
}

/// Whether there is a reference to a secret inside; one that was never found
/// and does not look like a name may be the secret itself.
fn hide_names(value: &mut Value, known: bool) -> bool {
    if let Ok(reference) = SecretRef::of(value) {
        if !known
            && !reference.looks_harmless()
            && let Some(table) = value.as_table_mut()
        {
            for (_, name) in table.iter_mut() {
                *name = Value::String(STARS.to_owned());
            }
        }
        return true;
    }
    let mut found = false;
    match value {
        Value::Array(items) => {
            for item in items {
                found |= hide_names(item, known);
            }
        }
        Value::Table(table) => {
            for (_, item) in table.iter_mut() {
                found |= hide_names(item, known);
            }
        }
        _ => {}
    }
    found
}

fn masked(key: &str, value: &Value) -> Value {
    match value {
        Value::String(_) if SECRET_NAMES.iter().any(|part| key.contains(part)) => {
            Value::String(STARS.to_owned())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| masked(key, item)).collect()),
        Value::Table(table) if SecretRef::of(value).is_err() => Value::Table(
            table
                .iter()
                .map(|(inner, item)| (inner.clone(), masked(inner, item)))
                .collect(),
        ),
        other => other.clone(),
    }
}
