//! The public keys that a provider publishes: fetched, kept, and fetched again
//! where a delivery names a key that is not among them.
//!
//! The URL is the configuration's. A set is taken whole or not at all: where it
//! cannot be had, the old one stays. Which key fits is decided in
//! `provider::sign`, and nothing of a delivery reaches a request made here.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::call::{self, Content};
use crate::provider::{NotGenuine, Secret};
use crate::time::SECOND_MS;

/// The largest set, in bytes. A key takes some hundred.
const SET_MOST_BYTES: usize = 64 * 1024;

/// How long an answer may take, in milliseconds.
const TIMEOUT_MS: i64 = 10 * SECOND_MS;

/// Between two fetches: a stranger who makes up names of keys must not make us
/// ask more often. A set that could not be had is as good as known that long.
const AT_LEAST_APART: Duration = Duration::from_secs(5 * 60);

/// A set is fetched again after this time, so that a key that was withdrawn is
/// forgotten.
const REFRESHED_EVERY: Duration = Duration::from_secs(60 * 60);

/// The published keys of one source.
pub struct KeySet {
    source: String,
    url: String,
    apart: Duration,
    held: RwLock<Option<Secret>>,
    missed: Notify,
}

/// What a set must be (RFC 7517, section 5).
#[derive(Deserialize)]
struct Published {
    keys: Vec<serde::de::IgnoredAny>,
}

impl KeySet {
    /// Nothing is fetched before [`KeySet::keep`].
    #[must_use]
    pub fn new(source: &str, url: &str) -> KeySet {
        KeySet {
            source: source.to_owned(),
            url: url.to_owned(),
            apart: AT_LEAST_APART,
            held: RwLock::default(),
            missed: Notify::new(),
        }
    }

    /// The secrets of the source with the published keys behind them.
    #[must_use]
    pub fn behind(&self, secrets: &[Secret]) -> Vec<Secret> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        secrets.iter().cloned().chain(held.clone()).collect()
    }

    /// A delivery was refused; where a newer set may know its key, one is
    /// fetched soon, and the provider's next try finds it.
    pub fn refused(&self, why: NotGenuine) {
        if matches!(why, NotGenuine::UnknownKey | NotGenuine::NoSecret) {
            self.missed.notify_one();
        }
    }

    /// Keeps the set until stopped.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let Ok(client) = call::client(TIMEOUT_MS, self.url.starts_with("http:")) else {
            tracing::error!(source = self.source, "its published keys cannot be fetched");
            return;
        };
        loop {
            let fetched = tokio::select! {
                () = stop.cancelled() => return,
                fetched = self.fetch(&client) => fetched,
            };
            match fetched {
                Ok(set) => {
                    let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
                    *held = Some(set);
                }
                Err(why) => {
                    tracing::warn!(
                        source = self.source,
                        why,
                        "its published keys were not read"
                    );
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.apart) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.missed.notified() => {}
                () = tokio::time::sleep(REFRESHED_EVERY.saturating_sub(self.apart)) => {}
            }
        }
    }

    async fn fetch(&self, client: &reqwest::Client) -> Result<Secret, &'static str> {
        let sent = client.get(&self.url).header("accept", "application/json");
        let response = sent.send().await.map_err(|_| "no answer came")?;
        if response.status().as_u16() != 200 {
            return Err("the answer was not 200");
        }
        let Content::Whole(bytes) = call::read(response, SET_MOST_BYTES).await else {
            return Err("the answer broke off or is longer than 64 KiB");
        };
        let text = String::from_utf8(bytes).map_err(|_| "the answer is not UTF-8")?;
        match serde_json::from_str::<Published>(&text) {
            Ok(set) if !set.keys.is_empty() => Ok(Secret::from(text)),
            _ => Err("the answer is no set of keys"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::response::Redirect;
    use axum::routing::get;
    use secrecy::ExposeSecret as _;

    use super::*;

    /// What the server answers, and how often it was asked.
    #[derive(Default)]
    struct Served {
        answer: Mutex<(u16, String)>,
        asked: Mutex<usize>,
    }

    impl Served {
        fn say(&self, status: u16, text: &str) {
            *self.answer.lock().unwrap() = (status, text.to_owned());
        }

        fn asked(&self) -> usize {
            *self.asked.lock().unwrap()
        }
    }

    /// A server on loopback, and a set that is kept from it.
    async fn kept(path: &str, apart: Duration) -> (Arc<Served>, Arc<KeySet>, CancellationToken) {
        let served = Arc::new(Served::default());
        served.say(200, SET);
        let answers = Arc::clone(&served);
        let routes = Router::new()
            .route(
                "/jwks",
                get(move || async move {
                    *answers.asked.lock().unwrap() += 1;
                    let (status, text) = answers.answer.lock().unwrap().clone();
                    (StatusCode::from_u16(status).unwrap(), text)
                }),
            )
            .route("/moved", get(|| async { Redirect::temporary("/jwks") }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{path}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let set = Arc::new(KeySet {
            apart,
            ..KeySet::new("pyng", &url)
        });
        let stop = CancellationToken::new();
        tokio::spawn(Arc::clone(&set).keep(stop.clone()));
        (served, set, stop)
    }

    const SET: &str = r#"{"keys":[{"kid":"one"}]}"#;
    const SOON: Duration = Duration::from_millis(20);

    async fn until(what: impl Fn() -> bool) {
        for _ in 0..500 {
            if what() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it did not happen in time");
    }

    fn last(set: &KeySet) -> Option<String> {
        let all = set.behind(&[Secret::from("configured")]);
        assert_eq!(all[0].expose_secret(), "configured");
        all.get(1).map(|text| text.expose_secret().to_owned())
    }

    #[tokio::test]
    async fn a_set_is_fetched_and_fetched_again_for_an_unknown_key() {
        let (served, set, stop) = kept("/jwks", SOON).await;
        until(|| last(&set).as_deref() == Some(SET)).await;
        let newer = r#"{"keys":[{"kid":"two"}]}"#;
        served.say(200, newer);
        tokio::time::sleep(SOON * 5).await;
        set.refused(NotGenuine::Mismatch);
        tokio::time::sleep(SOON * 5).await;
        assert_eq!(served.asked(), 1, "a known key asks for nothing");
        set.refused(NotGenuine::UnknownKey);
        until(|| last(&set).as_deref() == Some(newer)).await;
        // What is no set does not replace one.
        for (status, text) in [
            (500, SET),
            (200, "<html>"),
            (200, r#"{"keys":[]}"#),
            (200, &format!(r#"{{"keys":["{}"]}}"#, "x".repeat(70_000))),
        ] {
            served.say(status, text);
            let before = served.asked();
            set.refused(NotGenuine::UnknownKey);
            until(|| served.asked() > before).await;
        }
        tokio::time::sleep(SOON).await;
        assert_eq!(last(&set).as_deref(), Some(newer));
        stop.cancel();
    }

    #[tokio::test]
    async fn made_up_names_ask_once_in_a_while_only() {
        let (served, set, stop) = kept("/jwks", Duration::from_secs(60)).await;
        until(|| last(&set).is_some()).await;
        for _ in 0..50 {
            set.refused(NotGenuine::UnknownKey);
        }
        tokio::time::sleep(SOON * 5).await;
        assert_eq!(served.asked(), 1);
        stop.cancel();
    }

    #[tokio::test]
    async fn nobody_sends_us_elsewhere() {
        let (served, set, stop) = kept("/moved", SOON).await;
        tokio::time::sleep(SOON * 10).await;
        assert_eq!(served.asked(), 0);
        assert_eq!(last(&set), None);
        stop.cancel();
    }
}
