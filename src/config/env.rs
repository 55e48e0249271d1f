//! The process environment: the only place in the program that reads it, and
//! the overlay of `TRIBUTARY__SECTION__KEY` over what the file says.
//!
//! It does not judge values; the sections they land in do.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use toml::{Table, Value};

use super::ConfigError;

/// What a variable that overrides a key begins with.
const PREFIX: &str = "TRIBUTARY__";

/// The environment variables as they were when the program started.
///
/// `Debug` tells how many there are and never what they hold.
#[derive(Clone, Default)]
pub struct Env(pub(super) Arc<BTreeMap<String, String>>);

impl Env {
    /// The variables of this process. One that is not UTF-8 counts as not set.
    #[must_use]
    pub fn process() -> Env {
        Env(Arc::new(
            std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        ))
    }

    /// An environment made up for a test.
    #[must_use]
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Env {
        Env(Arc::new(
            variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        ))
    }

    /// The value of a variable; an empty one counts as not set.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|v| !v.is_empty())
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Env({} variables)", self.0.len())
    }
}

/// Which variable set which key, so that an error about the key can name the
/// variable.
pub(super) type Overrides = Vec<(String, String)>;

/// Lays every `TRIBUTARY__…` variable over `root`.
pub(super) fn overlay(root: &mut Table, env: &Env) -> Result<Overrides, ConfigError> {
    let mut done = Overrides::new();
    // In the map's order a section comes before the keys inside it.
    for (name, text) in env.0.iter() {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let levels: Vec<&str> = rest.split("__").collect();
        if levels.iter().any(|level| level.is_empty()) {
            return Err(ConfigError::at(
                name,
                "names no key: write TRIBUTARY__SECTION__KEY",
            ));
        }
        let key = put(root, &levels, value_of(name, text)?)
            .ok_or_else(|| ConfigError::at(name, "goes below a key that holds no table"))?;
        done.push((key, name.clone()));
    }
    Ok(done)
}

/// A text stays a text, and the key's own type reads it; only an array or a
/// table has to be written as TOML.
fn value_of(name: &str, text: &str) -> Result<Value, ConfigError> {
    if !text.starts_with(['[', '{']) {
        return Ok(Value::String(text.to_owned()));
    }
    // The parser's own words may quote the text, which may hold a secret.
    text.parse()
        .map_err(|_| ConfigError::at(name, "begins like a TOML array or table and is not one"))
}

/// Sets the key and gives its full name; `None` where the way there is blocked.
fn put(root: &mut Table, levels: &[&str], value: Value) -> Option<String> {
    let (last, way) = levels.split_last()?;
    let mut key = String::new();
    let mut here = root;
    let mut rest = way.iter();
    while let Some(level) = rest.next() {
        let name = known_as(here, level);
        join(&mut key, &name);
        match here
            .entry(name)
            .or_insert_with(|| Value::Table(Table::new()))
        {
            Value::Table(table) => here = table,
            Value::Array(items) => {
                let index: usize = rest.next()?.parse().ok()?;
                key.push_str(&format!("[{index}]"));
                here = items.get_mut(index)?.as_table_mut()?;
            }
            _ => return None,
        }
    }
    let name = known_as(here, last);
    join(&mut key, &name);
    here.insert(name, value);
    Some(key)
}

fn join(key: &mut String, name: &str) {
    if !key.is_empty() {
        key.push('.');
    }
    key.push_str(name);
}

/// A variable's name cannot hold a dash or small letters, so an existing name
/// that differs only in those is the one that is meant.
fn known_as(table: &Table, level: &str) -> String {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let wanted = plain(level);
    table
        .keys()
        .find(|name| plain(name) == wanted)
        .cloned()
        .unwrap_or_else(|| level.to_lowercase())
}
