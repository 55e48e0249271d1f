//! What is said about a file: by the configuration of its source, and by the
//! person who imports it, whose word counts more.

use super::row::{Decimal, Format, Options, Refused, zone};
use crate::config::{Config, Mode, Source};
use crate::movement::Scope;
use crate::provider;

/// What the person says beside the file.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct Said {
    /// `--format`
    pub format: Option<String>,
    /// `--map column=field`, each.
    #[serde(default)]
    pub map: Vec<String>,
    /// `--zone`
    pub zone: Option<String>,
    /// `--currency`
    pub currency: Option<String>,
}

/// Providers whose webhooks always say whether they are about real money: a row
/// that does not say it is of the destination's mode, so that both name one place.
const SAY_LIVE: [&str; 2] = ["stripe", "recurly"];

/// The options of a file for the source called `name`.
///
/// # Errors
/// What cannot be used, by its name.
pub fn options(config: &Config, name: &str, said: &Said) -> Result<Options, Refused> {
    let Some(source) = config.sources.get(name) else {
        let names: Vec<&str> = config.sources.keys().map(String::as_str).collect();
        return Err(Refused(format!(
            "--source: the configuration has no source \"{name}\"; it has {}",
            names.join(", ")
        )));
    };
    let saved = source.import.clone().unwrap_or_default();
    let provider = provider::NAMES.iter().find(|it| **it == source.provider);
    let mut options = Options {
        source: name.to_owned(),
        provider: provider.copied().unwrap_or_default(),
        currency: said.currency.clone().or(saved.currency.clone()),
        scope: scope(config, source),
        ..Options::default()
    };
    if let Some(word) = said.format.as_deref().or(saved.format.as_deref()) {
        options.format = word.parse().map_err(|error| about("--format", error))?;
    }
    // A saved mapping is for files that have no format of their own.
    let open = matches!(said.format.as_deref(), None | Some("auto" | "mapped"));
    if open && said.map.is_empty() {
        options.map.clone_from(&saved.map);
    }
    for pair in &said.map {
        let Some((column, field)) = pair.rsplit_once('=') else {
            return Err(Refused(format!(
                "--map: write column=field, not \"{pair}\""
            )));
        };
        let (column, field) = (column.trim().to_owned(), field.trim().to_owned());
        options.map.insert(column, field);
    }
    if let Some(text) = said.zone.as_deref().or(saved.zone.as_deref()) {
        options.zone = Some(zone(text).map_err(|why| about("--zone", Refused(why)))?);
    }
    if let Some(word) = &saved.decimal {
        options.decimal = word.parse::<Decimal>()?;
    }
    options.delimiter = saved.delimiter.as_deref().and_then(delimiter);
    Ok(options)
}

fn about(flag: &str, error: Refused) -> Refused {
    Refused(format!("{flag}: {}", error.0))
}

fn scope(config: &Config, source: &Source) -> Scope {
    let mode = config.destinations.get(&source.destination);
    let live = mode.map(|destination| destination.mode == Mode::Live);
    Scope {
        live: live.filter(|_| SAY_LIVE.contains(&source.provider.as_str())),
        account: String::new(),
    }
}

/// The byte between two cells; `None` for a text that is none.
fn delimiter(text: &str) -> Option<u8> {
    match text {
        "tab" => Some(b'\t'),
        text => text.bytes().next().filter(|_| text.len() == 1),
    }
}

/// Checks the `import` section of a source, by key.
///
/// # Errors
/// The key and what is wrong with it.
pub fn check(saved: &crate::config::ImportColumns) -> Result<(), (&'static str, String)> {
    let told = |key, error: Refused| (key, error.0);
    if let Some(text) = &saved.format {
        text.parse::<Format>()
            .map_err(|error| told("format", error))?;
    }
    if let Some(text) = &saved.zone {
        zone(text).map_err(|why| ("zone", why))?;
    }
    if let Some(text) = &saved.decimal {
        text.parse::<Decimal>()
            .map_err(|error| told("decimal", error))?;
    }
    if let Some(text) = &saved.currency {
        let currency = text.parse::<crate::money::Currency>();
        currency.map_err(|error| ("currency", error.to_string()))?;
    }
    match saved.delimiter.as_deref().map(delimiter) {
        Some(None) => Err(("delimiter", "must be one character, or \"tab\"".to_owned())),
        _ => Ok(()),
    }
}
