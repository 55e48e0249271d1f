//! The calls of PartnerStack's API, v2 and the v1 post: URLs, bodies, and
//! reading an answer within a limit.
//!
//! What an answer means is decided in [`answer`]; nothing here
//! waits, repeats or takes a permit. Paths and fields are those of PartnerStack's
//! vendor API reference (docs.partnerstack.com/reference).

use std::net::IpAddr;

use reqwest::{Method, RequestBuilder, Response, Url, header};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Asked};
use super::handover::Letter;
use super::roster::{self, List, Roster};
use super::{
    Api, CustomerAnswer, Deadline, Destination, NewTransaction, Outcome, Page, Who, Window,
};
use crate::call;
use crate::plan::CustomerBy;
use crate::time::Time;

/// The largest single answer read, in bytes: a transaction or a customer takes
/// a few kilobytes, so more is not the API speaking.
const ANSWER_BYTES: usize = 64 * 1024;
/// The largest page read, in bytes: 250 rows of a full transaction stay under
/// two megabytes; four times that leaves room for fields to come.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Rows per page: the largest `limit` the reference allows.
const PAGE_ROWS: u32 = 250;
/// The most metadata entries: the two versions of the reference say 20 and 25.
const METADATA_ENTRIES: usize = 20;
/// The longest metadata name, in characters, by the reference.
const METADATA_NAME: usize = 30;
/// The longest metadata value, in characters, by the reference.
const METADATA_VALUE: usize = 100;

const DEADLINE: &str = "The deadline of the call had passed before anything was written.";
const CONNECT: &str = "No connection could be made.";
const KEPT: &str = "The call failed before anything was written.";
const TIMEOUT: &str = "No answer came within the time limit.";
const RESET: &str = "The connection broke before an answer came.";
const SEGMENT: &str = "A key of this call cannot stand in a URL.";
const NO_V2: &str = "This destination has no v2 API for this call.";

impl Destination {
    /// Posts a transaction once; see [`fits`](super::fits) for what to ask first.
    ///
    /// The body leaves only before `deadline`, which is checked on both clocks
    /// here and again directly before the bytes are handed to the connection.
    /// [`Outcome::NotSent`] is a proof that they were not.
    ///
    /// v1 documents neither `created_at` nor `metadata`, so a v1 post carries
    /// neither: the destination dates the row itself, at the time of the call.
    pub async fn post(&self, transaction: &NewTransaction, deadline: Deadline) -> Outcome {
        let Some((url, body)) = self.posting(transaction) else {
            return Outcome::NotSent { why: SEGMENT };
        };
        if deadline.passed(self.clock.read()) {
            return Outcome::NotSent { why: DEADLINE };
        }
        let (letter, receipt) = Letter::new(body, deadline, self.clock.clone());
        let sent = self
            .request(Method::POST, url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(reqwest::Body::wrap(letter))
            .send()
            .await;
        match sent {
            Ok(response) => {
                let answer = self.read(response, ANSWER_BYTES).await;
                answer::verdict(&answer, Asked::Post(transaction), &self.secrets())
            }
            Err(error) if receipt.seal() => unanswered(&error),
            Err(_) if deadline.passed(self.clock.read()) => Outcome::NotSent { why: DEADLINE },
            Err(error) if error.is_connect() => Outcome::NotSent { why: CONNECT },
            Err(_) => Outcome::NotSent { why: KEPT },
        }
    }

    /// Deletes the transaction with our `key`. Has no body to guard, so the
    /// deadline is checked before the call; a late delete can only hit the row it
    /// was meant for, as a key is never used again.
    pub async fn delete(&self, key: &str, deadline: Deadline) -> Outcome {
        let Some(path) = path("/api/v2/transactions/", key, "") else {
            return Outcome::NotSent { why: SEGMENT };
        };
        if deadline.passed(self.clock.read()) {
            return Outcome::NotSent { why: DEADLINE };
        }
        match self.v2(Method::DELETE, &path, None, ANSWER_BYTES).await {
            Ok(answer) => answer::verdict(&answer, Asked::Delete, &self.secrets()),
            Err(outcome) => outcome,
        }
    }

    /// One page of the transactions of `window`, oldest first, starting after the
    /// row with the key `after`.
    ///
    /// # Errors
    /// The outcome, where the answer is not a well-formed page. Never an empty
    /// page in its stead.
    pub async fn list(&self, window: Window, after: Option<&str>) -> Result<Page, Outcome> {
        let (from, to) = (window.from.ms(), window.to.ms());
        let narrowed = format!("&min_created={from}&max_created={to}");
        let answer = self.pages("transactions", &narrowed, after).await?;
        answer::page(&answer, after, &self.secrets())
    }

    /// One page of the account's customers, rewards or partnerships, oldest first,
    /// starting after the one with the key `after`. With `since` only what is new
    /// from then on: customers that changed, rewards that were made, because no
    /// filter by a change is known for those; all partnerships, for which none is.
    ///
    /// # Errors
    /// The outcome, where the answer is not a well-formed page.
    pub async fn roster(
        &self,
        list: List,
        since: Option<Time>,
        after: Option<&str>,
    ) -> Result<Roster, Outcome> {
        let (name, filter) = match list {
            List::Customers => ("customers", Some("min_updated")),
            List::Rewards => ("rewards", Some("min_created")),
            List::Partners => ("partnerships", None),
        };
        let narrowed = filter.zip(since.map(Time::ms));
        let narrowed = narrowed.map(|(filter, since)| format!("&{filter}={since}"));
        let narrowed = narrowed.unwrap_or_default();
        let answer = self.pages(name, &narrowed, after).await?;
        roster::read(list, &answer, after, &self.secrets())
    }

    /// A page of a list of v2, oldest first.
    async fn pages(
        &self,
        list: &str,
        narrowed: &str,
        after: Option<&str>,
    ) -> Result<Answer, Outcome> {
        let mut path = format!("/api/v2/{list}?limit={PAGE_ROWS}&order_by=created_at{narrowed}");
        if let Some(after) = after {
            path.push_str("&starting_after=");
            path.push_str(&call::encoded(after));
        }
        self.v2(Method::GET, &path, None, PAGE_BYTES).await
    }

    /// What the destination knows about an external customer key.
    ///
    /// # Errors
    /// The outcome, where the answer says neither that it is there nor that it
    /// is missing.
    pub async fn customer(&self, key: &str) -> Result<CustomerAnswer, Outcome> {
        let path = path("/api/v2/customers/", key, "").ok_or(Outcome::NotSent { why: SEGMENT })?;
        let answer = self.v2(Method::GET, &path, None, ANSWER_BYTES).await?;
        answer::customer(&answer, &self.secrets())
    }

    /// Writes the payment provider's id of a customer. Write it only where
    /// [`Destination::customer`] shows none: two provider customers of one key
    /// would flip it for ever. Repeating it changes nothing.
    pub async fn bind_provider_key(&self, customer_key: &str, provider_key: &str) -> Outcome {
        let Some(path) = path("/api/v2/customers/", customer_key, "") else {
            return Outcome::NotSent { why: SEGMENT };
        };
        let body = json!({ "provider_key": provider_key });
        match self
            .v2(Method::PATCH, &path, Some(&body), ANSWER_BYTES)
            .await
        {
            Ok(answer) => answer::verdict(&answer, Asked::Patch, &self.secrets()),
            Err(outcome) => outcome,
        }
    }

    /// A cheap GET that writes nothing: the check of the credentials, and the
    /// breaker's probe. Without v2 there is no documented GET, so the v1
    /// customers are asked for, and any answer but a refusal of the credentials
    /// or a failure will do.
    ///
    /// # Errors
    /// The outcome, where the destination could not be asked or turned us away.
    pub async fn who(&self) -> Result<Who, Outcome> {
        if self.settings.v2_available {
            let path = "/api/v2/transactions?limit=1";
            let answer = self.v2(Method::GET, path, None, ANSWER_BYTES).await?;
            answer::page(&answer, None, &self.secrets())?;
            return Ok(Who { proven: true });
        }
        let answer = self
            .call(Method::GET, "/v1/customers?limit=1", None, ANSWER_BYTES)
            .await?;
        answer::presence(&answer, &self.secrets())
    }

    async fn v2(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        cap: usize,
    ) -> Result<Answer, Outcome> {
        if !self.settings.v2_available {
            return Err(Outcome::NotSent { why: NO_V2 });
        }
        self.call(method, path, body, cap).await
    }

    /// Any call but a post.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        cap: usize,
    ) -> Result<Answer, Outcome> {
        let url = self.url(path).ok_or(Outcome::NotSent { why: SEGMENT })?;
        let mut request = self.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        match request.send().await {
            Ok(response) => Ok(self.read(response, cap).await),
            Err(error) if error.is_connect() => Err(Outcome::NotSent { why: CONNECT }),
            Err(error) if error.is_builder() => Err(Outcome::NotSent { why: KEPT }),
            Err(error) => Err(unanswered(&error)),
        }
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let settings = &self.settings;
        let password = settings.secret_key.expose_secret();
        self.client
            .request(method, url)
            .basic_auth(settings.public_key.expose_secret(), Some(password))
            .header(header::ACCEPT, "application/json")
    }

    /// Reads an answer to its end or to `cap` bytes.
    async fn read(&self, response: Response, cap: usize) -> Answer {
        Answer {
            status: response.status().as_u16(),
            retry_after: call::retry_after(response.headers(), self.clock.now()),
            content: call::read(response, cap).await,
        }
    }

    /// Where a post goes and what it says; `None` where the customer cannot
    /// stand in a URL.
    fn posting(&self, transaction: &NewTransaction) -> Option<(Url, Vec<u8>)> {
        let (path, body) = match self.settings.api {
            Api::V2 => ("/api/v2/transactions".to_owned(), v2_body(transaction)),
            Api::V1 => {
                let customer = &transaction.customer.value;
                (
                    path("/v1/customers/", customer, "/transactions")?,
                    common_body(transaction),
                )
            }
        };
        let bytes = serde_json::to_vec(&Value::Object(body)).ok()?;
        Some((self.url(&path)?, bytes))
    }

    fn url(&self, path: &str) -> Option<Url> {
        Url::parse(&format!("{}{path}", self.base)).ok()
    }

    fn secrets(&self) -> [&str; 3] {
        self.masks.each_ref().map(|mask| mask.expose_secret())
    }
}

/// A call that got no answer after it may have arrived.
fn unanswered(error: &reqwest::Error) -> Outcome {
    let why = if error.is_timeout() { TIMEOUT } else { RESET };
    Outcome::Unknown { why }
}

/// `base_url` without a trailing slash, and whether its host is this machine.
///
/// # Errors
/// What is wrong with it, without quoting it.
pub(super) fn base(text: &str) -> Result<(String, bool), &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password: use public_key and secret_key");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must end with the host or a path, without ? or #");
    }
    let base = url.as_str().trim_end_matches('/');
    if base.ends_with("/api/v2") || base.ends_with("/v1") {
        return Err("must stop before /api/v2 or /v1, which are added to it");
    }
    let host = url.host_str().unwrap_or("");
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => Ok((base.to_owned(), loopback)),
        "http" if loopback => Ok((base.to_owned(), loopback)),
        "http" => Err("must be https: http is only for this machine"),
        _ => Err("must be https"),
    }
}

/// `before`, then `segment` as one percent-encoded segment, then `after`. `None`
/// for a segment that a URL parser would resolve or drop.
fn path(before: &str, segment: &str, after: &str) -> Option<String> {
    let segment = call::segment(segment)?;
    Some(format!("{before}{segment}{after}"))
}

/// The fields that v1 and v2 share.
fn common_body(transaction: &NewTransaction) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("amount".to_owned(), json!(transaction.amount));
    body.insert("currency".to_owned(), json!(transaction.currency.code()));
    body.insert("key".to_owned(), json!(transaction.key));
    for (name, value) in [
        ("product_key", &transaction.product_key),
        ("category_key", &transaction.category_key),
    ] {
        if let Some(value) = value {
            body.insert(name.to_owned(), json!(value));
        }
    }
    body
}

fn v2_body(transaction: &NewTransaction) -> Map<String, Value> {
    let mut body = common_body(transaction);
    let customer = match transaction.customer.by {
        CustomerBy::Key => "customer_external_key",
        CustomerBy::Email => "customer_email",
    };
    body.insert(customer.to_owned(), json!(transaction.customer.value));
    let at = transaction.created_at.ms();
    body.insert("created_at".to_owned(), json!(at));
    let notes = metadata(&transaction.metadata);
    if !notes.is_empty() {
        body.insert("metadata".to_owned(), Value::Object(notes));
    }
    body
}

/// Notes cut to the destination's limits, always between characters. A sale is
/// worth more than the end of a note about it.
fn metadata(entries: &[(String, String)]) -> Map<String, Value> {
    let cut = |text: &str, length| text.chars().take(length).collect::<String>();
    let mut notes = Map::new();
    for (name, value) in entries.iter().filter(|(name, _)| !name.is_empty()) {
        if notes.len() == METADATA_ENTRIES {
            break;
        }
        let value = Value::String(cut(value, METADATA_VALUE));
        notes.entry(cut(name, METADATA_NAME)).or_insert(value);
    }
    notes
}
