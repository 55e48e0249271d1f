//! Asking providers' APIs what their webhooks do not say.
//!
//! One [`Inquirer`] for each source that has credentials: it takes a question
//! from the ledger, keeps the rate, asks, reads the answer as any document of
//! the provider is read, and brings it back. A question that was cut off comes
//! round again, because asking changes nothing. URLs are built from the
//! configuration and the provider's own paths; redirects are not followed.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use metrics::counter;
use reqwest::{RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::app::Source;
use crate::call::{self, Content};
use crate::ledger::{Answer, Asking, Delivery, Ledger};
use crate::metrics::INQUIRIES;
use crate::movement::Scope;
use crate::provider::ask::{Api, Auth, Kind};
use crate::provider::{Document, Kept};
use crate::time::{Clock, SECOND_MS, Time};

/// The time limit of one question, in milliseconds.
const TIMEOUT_MS: i64 = 20 * SECOND_MS;

/// The largest answer read, in bytes: a list of a hundred refunds takes some
/// hundred thousand.
const ANSWER_MOST_BYTES: usize = 1024 * 1024;

/// The largest answer of a token endpoint, in bytes.
const TOKEN_MOST_BYTES: usize = 16 * 1024;

/// Between looks at the ledger while nothing is due: questions that a payment
/// raises come due by themselves.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After an error of the ledger.
const LEDGER_PAUSE: Duration = Duration::from_secs(5);

/// How long before its end a token is not used any more.
const TOKEN_SLACK_MS: i64 = 60 * SECOND_MS;

/// The longest that a token is used, in seconds, whatever it says of itself.
const TOKEN_MOST_S: i64 = 3_600;

/// How an API is reached.
pub struct Settings {
    /// The source's name.
    pub source: String,
    /// Scheme, host and an optional path, without a slash at its end.
    pub base_url: String,
    /// The key.
    pub key: SecretString,
    /// Questions a minute.
    pub requests_per_minute: NonZeroU32,
}

/// Asks the API of one source's provider.
pub struct Inquirer {
    settings: Settings,
    api: Api,
    sources: Arc<std::collections::BTreeMap<String, Source>>,
    ledger: Ledger,
    client: reqwest::Client,
    limiter: DefaultDirectRateLimiter,
    clock: Clock,
    token: Option<Token>,
}

/// A token of an OAuth server.
struct Token {
    text: SecretString,
    until: Time,
}

/// An answer of a token endpoint (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    expires_in: Option<i64>,
}

impl Inquirer {
    /// For a source whose provider has an API.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(
        settings: Settings,
        api: Api,
        sources: Arc<std::collections::BTreeMap<String, Source>>,
        ledger: Ledger,
        clock: Clock,
    ) -> Result<Inquirer, reqwest::Error> {
        let loopback = settings.base_url.starts_with("http:");
        Ok(Inquirer {
            client: call::client(TIMEOUT_MS, loopback)?,
            limiter: RateLimiter::direct(Quota::per_minute(settings.requests_per_minute)),
            settings,
            api,
            sources,
            ledger,
            clock,
            token: None,
        })
    }

    /// Asks what is due until stopped; `forward` is woken when an answer made a
    /// payment due.
    pub async fn run(mut self, forward: Arc<Notify>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.turn().await {
                Ok(Some(woke)) => {
                    if woke {
                        forward.notify_one();
                    }
                    continue;
                }
                Ok(None) => LOOK_EVERY,
                Err(error) => {
                    tracing::error!(source = self.settings.source, %error, "no inquiry was made");
                    LEDGER_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Asks one question, if one is due. Answers whether a payment became due.
    async fn turn(&mut self) -> Result<Option<bool>, crate::ledger::LedgerError> {
        let Some(mut asking) = self.ledger.ask(&self.settings.source).await? else {
            return Ok(None);
        };
        self.limiter.until_ready().await;
        asking.asked.at = self.clock.now();
        let answer = self.ask(&asking).await;
        let outcome = match &answer {
            Answer::Told(_) => "answered",
            Answer::Missing(_) => "missing",
            Answer::Later { .. } => "later",
            Answer::Never(_) => "never",
        };
        let source = self.settings.source.clone();
        counter!(INQUIRIES, "source" => source, "outcome" => outcome).increment(1);
        tracing::info!(
            source = self.settings.source,
            kind = asking.asked.kind,
            outcome,
            "a provider was asked"
        );
        Ok(Some(self.ledger.answer(asking, answer).await?))
    }

    async fn ask(&mut self, asking: &Asking) -> Answer {
        let kind = self
            .api
            .kinds
            .iter()
            .find(|it| it.kind == asking.asked.kind)
            .cloned();
        let Some(kind) = kind else {
            return Answer::Never("this version does not ask for such things".to_owned());
        };
        let request = match self.request(&kind, asking).await {
            Ok(request) => request,
            Err(answer) => return answer,
        };
        match request.send().await {
            Ok(response) => self.judge(asking, response).await,
            Err(error) => later(why_unsent(&error), None),
        }
    }

    async fn request(&mut self, kind: &Kind, asking: &Asking) -> Result<RequestBuilder, Answer> {
        let id = &asking.asked.id;
        let Some((path, body)) = kind.about(id) else {
            return Err(Answer::Never("its id cannot stand in a URL".to_owned()));
        };
        let url = format!("{}{path}", self.settings.base_url);
        let mut request = match body {
            None => self.client.get(url),
            Some(body) => {
                let json = "application/json";
                self.client
                    .post(url)
                    .header("content-type", json)
                    .body(body)
            }
        };
        if !self
            .api
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("accept"))
        {
            request = request.header("accept", "application/json");
        }
        for (name, value) in &self.api.headers {
            request = request.header(*name, value);
        }
        let account = asking.asked.scope.account.as_str();
        if let Some(header) = self.api.account_header.filter(|_| !account.is_empty()) {
            request = request.header(header, account);
        }
        self.prove(request).await
    }

    /// Adds the key as the provider wants it.
    async fn prove(&mut self, request: RequestBuilder) -> Result<RequestBuilder, Answer> {
        let key = self.settings.key.expose_secret();
        Ok(match &self.api.auth {
            Auth::Bearer => request.bearer_auth(key),
            Auth::BasicUser => request.basic_auth(key, Some("")),
            Auth::Basic => {
                let (user, password) = key.split_once(':').unwrap_or((key, ""));
                request.basic_auth(user, Some(password))
            }
            Auth::Header(name) => request.header(*name, key),
            Auth::ClientCredentials { path, scope } => {
                let (path, scope) = (path.clone(), scope.clone());
                let token = self.token(&path, scope.as_deref()).await?;
                request.bearer_auth(token)
            }
        })
    }

    /// A token that is still good, fetched where there is none.
    async fn token(&mut self, path: &str, scope: Option<&str>) -> Result<String, Answer> {
        let now = self.clock.now();
        if let Some(token) = self.token.as_ref().filter(|token| now < token.until) {
            return Ok(token.text.expose_secret().to_owned());
        }
        let key = self.settings.key.expose_secret();
        let (user, password) = key.split_once(':').unwrap_or((key, ""));
        let sent = self
            .client
            .post(format!("{}{path}", self.settings.base_url))
            .basic_auth(user, Some(password))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(grant(scope))
            .send()
            .await
            .map_err(|error| later(why_unsent(&error), None))?;
        let status = sent.status().as_u16();
        let granted = match call::read(sent, TOKEN_MOST_BYTES).await {
            Content::Whole(bytes) => serde_json::from_slice::<Granted>(&bytes).ok(),
            Content::Cut | Content::TooLong => None,
        };
        let Some(granted) = granted.filter(|_| status == 200) else {
            let why = format!(
                "its token endpoint answered {status}: check sources.{}.api.key",
                self.settings.source
            );
            return Err(later(why, None));
        };
        let seconds = granted
            .expires_in
            .unwrap_or(TOKEN_MOST_S)
            .clamp(0, TOKEN_MOST_S);
        self.token = Some(Token {
            text: granted.access_token.clone().into(),
            until: now.plus(seconds * SECOND_MS - TOKEN_SLACK_MS),
        });
        Ok(granted.access_token)
    }

    /// What an answer means for the question.
    async fn judge(&mut self, asking: &Asking, response: Response) -> Answer {
        let now = self.clock.now();
        let status = response.status().as_u16();
        let not_before = call::retry_after(response.headers(), now);
        let source = &self.settings.source;
        match status {
            200 => {}
            401 | 403 => {
                self.token = None;
                let why = format!("it refused our key ({status}): check sources.{source}.api.key");
                return later(why, not_before);
            }
            404 | 410 => return Answer::Missing(format!("it knows no such thing ({status})")),
            429 => return later("it asked to come later (429)".to_owned(), not_before),
            status => return later(format!("it answered {status}"), not_before),
        }
        match call::read(response, ANSWER_MOST_BYTES).await {
            Content::Whole(body) => self.told(asking, body, now),
            Content::Cut => later("its answer broke off".to_owned(), None),
            Content::TooLong => Answer::Never("its answer is longer than 1 MiB".to_owned()),
        }
    }

    /// An answer, read as a document of the provider.
    fn told(&self, asking: &Asking, body: Vec<u8>, now: Time) -> Answer {
        let Some(source) = self.sources.get(&asking.source) else {
            return Answer::Never("the configuration no longer names its source".to_owned());
        };
        let kept = Kept {
            asked: Some(asking.asked.clone()),
            ..Kept::default()
        };
        let mut reading = source.provider.parse(&Document {
            body: &body,
            kept: &kept,
        });
        if let Ok(reading) = &mut reading {
            // Each answer is a delivery of its own, and the same answer is not.
            let digest = hex::encode(Sha256::digest(&body));
            let (kind, id) = (&asking.asked.kind, &asking.asked.id);
            reading.delivery_id = Some(format!("{kind}:{id}:{}", &digest[..12]));
            // An answer that does not say where its ids live speaks of where it
            // was asked about.
            if reading.scope == Scope::default() {
                reading.scope = asking.asked.scope.clone();
            }
        }
        Answer::Told(Box::new(Delivery {
            source: asking.source.clone(),
            body: body.into(),
            received_at: now,
            secret: 0,
            kept,
            reading: reading.map_err(|unreadable| unreadable.to_string()),
        }))
    }
}

/// The form that asks for a token.
fn grant(scope: Option<&str>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = scope {
        form.append_pair("scope", scope);
    }
    form.finish()
}

fn later(why: String, not_before: Option<Time>) -> Answer {
    Answer::Later { why, not_before }
}

/// Why no answer came, without the URL: it may hold what the error must not.
fn why_unsent(error: &reqwest::Error) -> String {
    match (error.is_timeout(), error.is_connect()) {
        (true, _) => "it did not answer in time".to_owned(),
        (_, true) => "no connection could be made".to_owned(),
        _ => "the connection broke before it answered".to_owned(),
    }
}

#[cfg(test)]
mod tests;
