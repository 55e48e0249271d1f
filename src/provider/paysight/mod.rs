//! Paysight: charges, refunds, chargebacks and alerts, in batches.
//!
//! Source: Paysight's pages "Webhooks" and "Tracking Sessions". It signs
//! nothing, so a token in the path or a password proves where a request comes
//! from, and `confirm` has its API say it again. Which kind of event it is
//! stands in the URL alone. Chargebacks that Paysight could not match to a sale
//! are not read: the matched ones come as transactions.

mod element;

use serde::Deserialize;
use serde_json::value::RawValue;

use self::element::{Element, Outcome, TRANSACTION};
use super::ask::{Api, Auth, Kind};
use super::{
    Asked, Document, Genuine, NotGenuine, Provider, Request, Secret, SettingsError, Unreadable,
    checks, sign,
};
use crate::movement::{Authority, Reading};
use crate::time::{MINUTE_MS, Time};

/// The name in the configuration.
pub const NAME: &str = "paysight";

/// The events that are looked into, by the end of their URL; every other one is
/// ignored with a reason.
pub const EVENTS: &[&str] = &["new-transaction", "updated-transaction"];

/// Where the customer key is looked for. The partner's session as it stands is
/// not among them: a browser chooses it, so a source has to ask for it.
const LOOKUP: &[&str] = &["link:session", "link:paysight_session"];

/// Elements in one body. Paysight states no number; ours keeps one delivery
/// from taking the ledger for long.
const ELEMENTS_MOST: usize = 1_000;

/// Reasons that are told of one delivery.
const REASONS_MOST: usize = 5;

/// The farthest any clock is from UTC, in minutes.
const OFFSET_MOST: i64 = 14 * 60;

/// The settings of a Paysight source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    alerts: bool,
    #[serde(default)]
    confirm: bool,
    #[serde(default)]
    utc_offset_minutes: i64,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    user_email: Option<String>,
}

/// One source's view of Paysight.
#[derive(Clone, Debug)]
pub struct Paysight {
    alerts: bool,
    confirm: bool,
    utc_offset_ms: i64,
    headers: Vec<(&'static str, String)>,
}

impl Paysight {
    /// From a source's settings: `alerts`, `confirm`, `utc_offset_minutes`,
    /// `client_id` and `user_email`; `config.example.toml` describes them.
    ///
    /// # Errors
    /// Names the key at fault.
    pub fn new(settings: toml::Table) -> Result<Paysight, SettingsError> {
        let settings: Settings = super::settings(settings)?;
        let offset = settings.utc_offset_minutes;
        if !(-OFFSET_MOST..=OFFSET_MOST).contains(&offset) {
            let why = "must be between -840 and 840";
            return Err(SettingsError::new("utc_offset_minutes", why));
        }
        let named = [
            ("client_id", "ClientId", settings.client_id),
            ("user_email", "UserEmail", settings.user_email),
        ];
        let mut headers = Vec::new();
        for (key, header, value) in named {
            let Some(value) = value else {
                continue;
            };
            if http::HeaderValue::from_str(&value).is_err() {
                return Err(SettingsError::new(key, "cannot be a header's value"));
            }
            headers.push((header, value));
        }
        Ok(Paysight {
            alerts: settings.alerts,
            confirm: settings.confirm,
            utc_offset_ms: offset * MINUTE_MS,
            headers,
        })
    }
}

impl Provider for Paysight {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secrets: &[Secret],
        _now: Time,
    ) -> Result<Genuine, NotGenuine> {
        sign::carried(request, secrets)
    }

    fn parse(&self, document: &Document<'_>) -> Result<Reading, Unreadable> {
        let body = std::str::from_utf8(document.body)
            .map_err(|_| Unreadable::because("the body is not UTF-8"))?;
        if let Some(asked) = &document.kept.asked {
            return self.read_answer(asked, body);
        }
        let rest = document.kept.rest.as_deref().unwrap_or(TRANSACTION);
        let rest = rest.to_ascii_lowercase().replace('_', "-");
        match rest.trim_matches('/') {
            event @ (TRANSACTION | "new-transaction" | "updated-transaction") => {
                self.read_batch(event, body)
            }
            event @ ("new-subscription" | "cancelled-subscription") => Ok(Reading::ignored(
                event,
                "a subscription is no money; its charges are transactions of their own",
            )),
            event @ ("chargeback-alert" | "chargeback") => Ok(Reading::ignored(
                event,
                "this is a raw record that Paysight has not matched to a sale; \
                 the matched ones come as transactions",
            )),
            _ => Ok(Reading::ignored(
                "other",
                "the URL's end is none that is read: use /new-transaction or /updated-transaction",
            )),
        }
    }

    fn lookup(&self) -> &'static [&'static str] {
        LOOKUP
    }

    fn api(&self) -> Option<Api> {
        Some(Api {
            base_url: None,
            auth: Auth::Header("authorization"),
            headers: self.headers.clone(),
            account_header: None,
            kinds: vec![Kind {
                body: Some(r#"{"transactionIds":["{id}"]}"#),
                ..Kind::at(TRANSACTION, "/api/transactions/search")
            }],
        })
    }

    fn key_set(&self) -> Option<&str> {
        None
    }
}

/// The forms of a body.
#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    raw_payload: Option<&'a RawValue>,
}

/// The elements of a body: an array, one bare object, or an array under
/// `raw_payload`.
fn elements(body: &str) -> Result<Vec<&RawValue>, Unreadable> {
    let text = body.trim_start();
    if text.starts_with('[') {
        return list("the body", body);
    }
    let wrapped: Wrapped<'_> = checks::object("", body)?;
    match wrapped.raw_payload {
        Some(list_of) => list("raw_payload", list_of.get()),
        None => {
            let whole = serde_json::from_str::<&RawValue>(body);
            let whole = whole.map_err(|_| Unreadable::because("the body is not JSON"))?;
            Ok(vec![whole])
        }
    }
}

fn list<'a>(field: &str, text: &'a str) -> Result<Vec<&'a RawValue>, Unreadable> {
    let all: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|_| Unreadable::field(field, "is no JSON array"))?;
    match all.len() <= ELEMENTS_MOST {
        true => Ok(all),
        false => Err(Unreadable::field(field, "holds more than 1000 elements")),
    }
}

impl Paysight {
    /// Reads every element by itself: one that cannot be read stops no other.
    fn read_batch(&self, event: &str, body: &str) -> Result<Reading, Unreadable> {
        let raws = elements(body)?;
        let single = raws.len() == 1;
        let mut batch = Batch::new(event, single);
        let mut read = Vec::new();
        for (index, raw) in raws.into_iter().enumerate() {
            match checks::object(&format!("[{index}]"), raw.get()) {
                Ok(element) => read.push((index, element)),
                Err(error) => batch.spoiled(index, error),
            }
        }
        // A reading has one scope. Where both kinds come together the sandbox's
        // are left out: they never are money.
        let all_sandbox = read
            .iter()
            .all(|(_, element): &(_, Element<'_>)| element.sandbox());
        if all_sandbox && !read.is_empty() {
            batch.reading.scope.live = Some(false);
        }
        for (index, element) in &read {
            if element.sandbox() && !all_sandbox {
                batch.left_out(*index, "it is of the sandbox");
                continue;
            }
            match self.read_element(element, Authority::Webhook, &mut batch.reading) {
                Ok(Outcome::Stated) => batch.stated = true,
                Ok(Outcome::LeftOut(why)) => batch.left_out(*index, why),
                Err(error) => {
                    let reason = format!("[{index}].{}", error.reason);
                    batch.spoiled(*index, Unreadable::because(&reason));
                }
            }
        }
        batch.close()
    }

    /// Reads what the API answers about one transaction.
    fn read_answer(&self, asked: &Asked, body: &str) -> Result<Reading, Unreadable> {
        let answer: Answer<'_> = checks::object("", body)?;
        let all = checks::needed("transactions", answer.transactions)?;
        let mut reading = Reading {
            event: asked.kind.clone(),
            scope: asked.scope.clone(),
            ..Reading::default()
        };
        for raw in list("transactions", all.get())? {
            let element: Element<'_> = checks::object("transactions", raw.get())?;
            if element.id()? != asked.id {
                continue;
            }
            if element.sandbox() {
                reading.scope.live = Some(false);
            }
            if let Outcome::LeftOut(why) =
                self.read_element(&element, Authority::Api, &mut reading)?
            {
                reading.ignored = Some(format!("the API says: {why}"));
            }
            return Ok(reading);
        }
        reading.ignored = Some("the API does not know this transaction".to_owned());
        Ok(reading)
    }
}

/// What the search API answers.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    transactions: Option<&'a RawValue>,
}

/// A batch while it is read.
struct Batch {
    reading: Reading,
    single: bool,
    stated: bool,
    spoiled: Option<(usize, Unreadable)>,
    reasons: Vec<(usize, String)>,
}

impl Batch {
    fn new(event: &str, single: bool) -> Batch {
        Batch {
            reading: Reading {
                event: event.to_owned(),
                ..Reading::default()
            },
            single,
            stated: false,
            spoiled: None,
            reasons: Vec::new(),
        }
    }

    fn left_out(&mut self, index: usize, why: &str) {
        let reason = match self.single {
            true => why.to_owned(),
            false => format!("[{index}] {why}"),
        };
        self.reasons.push((index, reason));
    }

    fn spoiled(&mut self, index: usize, error: Unreadable) {
        self.reasons.push((index, error.reason.clone()));
        let first = self
            .spoiled
            .as_ref()
            .is_none_or(|(other, _)| index < *other);
        if first {
            self.spoiled = Some((index, error));
        }
    }

    /// The reading: with what was left out of it, or only that.
    fn close(self) -> Result<Reading, Unreadable> {
        let Batch {
            mut reading,
            stated,
            spoiled,
            mut reasons,
            ..
        } = self;
        reasons.sort();
        let more = reasons.len().saturating_sub(REASONS_MOST);
        let told = reasons.into_iter().take(REASONS_MOST);
        let mut told: Vec<String> = told.map(|(_, reason)| reason).collect();
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        match (stated, spoiled) {
            (true, _) => reading.partly = (!told.is_empty()).then(|| told.join("; ")),
            (false, Some((_, error))) => return Err(error),
            (false, None) if told.is_empty() => {
                reading.ignored = Some("the batch is empty".to_owned());
            }
            (false, None) => reading.ignored = Some(told.join("; ")),
        }
        Ok(reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Kept;

    fn read(body: &str) -> Result<Reading, Unreadable> {
        let paysight = Paysight::new(toml::Table::new()).unwrap();
        let body = body.as_bytes();
        paysight.parse(&Document {
            body,
            kept: &Kept::default(),
        })
    }

    #[test]
    fn a_settings_error_names_the_key() {
        for (text, at) in [
            ("utc_offset_minutes = 900", "utc_offset_minutes"),
            ("client_id = \"a\\nb\"", "client_id"),
            ("alert = true", "alert"),
        ] {
            let table: toml::Table = text.parse().unwrap();
            let error = Paysight::new(table).unwrap_err();
            assert_eq!(error.key, at, "{text}");
        }
    }

    #[test]
    fn a_batch_has_an_end() {
        let element = r#"{"transactionId":"t","sent":"2026-06-02T08:00:00","status":"Approved",
            "currency":"USD","amount":1}"#;
        let many = |count: usize| format!("[{}]", vec![element; count].join(","));
        let all = read(&many(ELEMENTS_MOST)).unwrap();
        assert_eq!(all.movements.len(), ELEMENTS_MOST);
        assert!(read(&many(ELEMENTS_MOST + 1)).is_err());
    }

    #[test]
    fn few_reasons_are_told_of_many() {
        let reading = read(&format!("[{}]", ["null"; 9].join(",")));
        assert_eq!(reading.unwrap_err().reason, "[0]: is not a JSON object");
        let declined = r#"{"transactionId":"t","status":"Declined","currency":"USD","amount":1}"#;
        let reading = read(&format!("[{}]", [declined; 9].join(","))).unwrap();
        assert!(reading.ignored.unwrap().ends_with("; and 4 more"));
    }
    #[test]
    fn an_alert_is_a_floor_and_real_refunds_add_up() {
        let table: toml::Table = "alerts = true".parse().unwrap();
        let paysight = Paysight::new(table).unwrap();
        let net = |reversals: &[(i64, &str)]| {
            let element = |id: String, application: i64, amount: &str| {
                format!(
                    r#"{{"transactionId":"{id}","originalTransactionId":"t","currency":"USD",
                    "sent":"2026-06-02T08:00:00","status":"Approved","success":true,
                    "applicationId":{application},"amount":{amount}}}"#
                )
            };
            let mut all = vec![element("t".to_owned(), 100, "50.00")];
            for (number, (application, amount)) in reversals.iter().enumerate() {
                all.insert(0, element(format!("r{number}"), *application, amount));
            }
            let body = format!("[{}]", all.join(","));
            let document = Document {
                body: body.as_bytes(),
                kept: &Kept::default(),
            };
            let reading = paysight.parse(&document).unwrap();
            let facts = reading.movements.into_iter().map(|movement| movement.fact);
            crate::position::position(&facts.collect::<Vec<_>>()).net()
        };
        assert_eq!(net(&[(200, "-10"), (200, "-10")]), Some(3_000));
        assert_eq!(net(&[(202, "-30"), (200, "-10")]), Some(2_000));
        assert_eq!(net(&[(202, "-50"), (201, "-50"), (200, "-50")]), Some(0));
    }
}
