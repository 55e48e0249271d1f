//! The log: one line per event on standard error, JSON for machines and
//! readable on a terminal.
//!
//! It is not a place for request bodies, secrets or addresses of payers: code
//! logs names and counts, and what libraries say below `info` is dropped
//! whatever the filter asks for, because an HTTP library's trace holds bodies
//! and `Authorization` headers.

use std::io::IsTerminal as _;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{ConfigError, Env};

/// The variable that says how much is logged: `debug`, or `info,tributary::forward=debug`.
const FILTER_VARIABLE: &str = "TRIBUTARY_LOG";
/// What is logged without it.
const FILTER_DEFAULT: &str = "info";
/// The variable by which people ask for no colour: <https://no-color.org>.
const NO_COLOUR_VARIABLE: &str = "NO_COLOR";

/// Starts logging for the whole process; `main` calls it once.
///
/// # Errors
/// A filter that cannot be read, by the variable's name, or a log that was
/// started before.
pub fn start(env: &Env) -> Result<(), ConfigError> {
    let filter = filter(env)?.and(filter_fn(is_ours_or_calm));
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer::<Registry>().with_writer(std::io::stderr);
    let layer = if terminal {
        let colour = env.text(NO_COLOUR_VARIABLE).is_none();
        lines.with_ansi(colour).with_filter(filter).boxed()
    } else {
        lines.json().flatten_event(true).with_filter(filter).boxed()
    };
    tracing_subscriber::registry()
        .with(layer)
        .try_init()
        .map_err(|_| ConfigError::at(FILTER_VARIABLE, "the log was started before"))
}

fn filter(env: &Env) -> Result<EnvFilter, ConfigError> {
    let text = env.text(FILTER_VARIABLE).unwrap_or(FILTER_DEFAULT);
    EnvFilter::builder().parse(text).map_err(|_| {
        ConfigError::at(
            FILTER_VARIABLE,
            "is no filter: write a level such as debug, or info,tributary::http=debug",
        )
    })
}

/// Whether an event is our own, or a library's that is not chatter.
fn is_ours_or_calm(event: &Metadata<'_>) -> bool {
    let ours = event
        .target()
        .strip_prefix("tributary")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    ours || *event.level() <= LevelFilter::INFO
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn libraries_stay_calm_and_we_may_talk() {
        let sink = Sink::default();
        let writer = sink.clone();
        let env = Env::of([("TRIBUTARY_LOG", "trace")]);
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .json()
            .flatten_event(true)
            .with_filter(filter(&env).unwrap().and(filter_fn(is_ours_or_calm)));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::trace!(target: "hyper::proto", "authorization: hush");
            tracing::trace!(target: "tributary_other", "hush");
            tracing::info!(target: "hyper::proto", "calm");
            tracing::trace!(target: "tributary::http", source = "stripe", "ours");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("hush"), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["source"], "stripe");
    }

    #[test]
    fn a_wrong_filter_names_the_variable() {
        let error = filter(&Env::of([("TRIBUTARY_LOG", "a=b=c")])).unwrap_err();
        assert_eq!(error.key(), "TRIBUTARY_LOG");
        assert!(filter(&Env::of([])).is_ok());
    }
}
