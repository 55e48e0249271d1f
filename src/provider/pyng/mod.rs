//! Pyng: payments told by "Push Transaction Status" and by the completion of a
//! checkout session.
//!
//! Source: Pyng's documentation, "Push Transaction Status", "Pull Transaction
//! Status", "Authentication" and the draft "Checkout Session Completion
//! Webhook". The draft leaves open what is signed and how; what is assumed is a
//! setting. Refunds are not read, because no webhook tells them. The words of a
//! transaction's status are documented nowhere, so they are a setting too.

mod answer;
mod proof;
mod webhook;

use serde::Deserialize;

use super::ask::{Api, Auth, Kind};
use super::{Document, Genuine, NotGenuine, Provider, Request, Secret, SettingsError, Unreadable};
use crate::call::segment;
use crate::config::is_loopback;
use crate::money::{Currency, Minor};
use crate::movement::{Alias, Authority, Basis, Class, Fact, Reading, rank};
use crate::time::{SECOND_MS, Time};
use proof::Template;

/// The name in the configuration.
pub const NAME: &str = "pyng";

/// The events that are looked into; every other one is ignored with a reason.
pub const EVENTS: &[&str] = &["session.Completed", "transaction-status"];

/// Where the customer key is looked for. The order's number itself is not among
/// them, because it names an order and no customer.
const LOOKUP: &[&str] = &["link:order"];

/// What can be asked for.
const INTENT: &str = "payment_intent";

/// Where a token for the API comes from.
const TOKEN_PATH: &str = "/checkout/oauth2/token";

/// Decimal places of a currency whose hundredths are cents.
const CENT_PLACES: u32 = 2;

/// The settings of a Pyng source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    scheme: Scheme,
    #[serde(default = "aud")]
    currency: String,
    #[serde(default = "successes")]
    success_statuses: Vec<String>,
    #[serde(default)]
    site_id: Option<String>,
    #[serde(default)]
    api_scope: Option<String>,
    #[serde(default = "timed")]
    signed_string: String,
    #[serde(default)]
    allow_untimed: bool,
    #[serde(default = "tolerance")]
    tolerance_seconds: u32,
    #[serde(default)]
    jwks_url: Option<String>,
}

fn aud() -> String {
    "AUD".to_owned()
}

/// Words that can only mean that the money is there. Pyng documents none.
fn successes() -> Vec<String> {
    ["Completed", "Succeeded", "Settled"]
        .map(str::to_owned)
        .to_vec()
}

fn timed() -> String {
    "{timestamp}.{body}".to_owned()
}

fn tolerance() -> u32 {
    300
}

/// The longest tolerance, in seconds: a day. Beyond it a replay is as good as
/// never refused.
const TOLERANCE_MOST_SECONDS: u32 = 86_400;

/// Which of Pyng's two webhooks comes to the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scheme {
    /// "Push Transaction Status", signed with a shared secret.
    #[default]
    Push,
    /// The draft of the checkout session's completion, signed with Pyng's key.
    Session,
}

/// One source's view of Pyng.
#[derive(Clone, Debug)]
pub struct Pyng {
    scheme: Scheme,
    currency: Currency,
    success_statuses: Vec<String>,
    site: Option<String>,
    api_scope: Option<String>,
    signed: Template,
    tolerance_ms: i64,
    jwks_url: Option<String>,
}

impl Pyng {
    /// From a source's settings; `config.example.toml` explains each.
    ///
    /// # Errors
    /// Names the key at fault.
    pub fn new(settings: toml::Table) -> Result<Pyng, SettingsError> {
        let settings: Settings = super::settings(settings)?;
        let currency = settings.currency.parse::<Currency>().ok();
        let currency = currency.filter(|currency| currency.exponent() == CENT_PLACES);
        let wrong = SettingsError::new;
        let signed = Template::read(&settings.signed_string, settings.allow_untimed)
            .map_err(|why| wrong("signed_string", why))?;
        if !(1..=TOLERANCE_MOST_SECONDS).contains(&settings.tolerance_seconds) {
            return Err(wrong("tolerance_seconds", "must be from 1 to 86400"));
        }
        if let Some(url) = &settings.jwks_url {
            check_url(url).map_err(|why| wrong("jwks_url", why))?;
            if settings.scheme == Scheme::Push {
                return Err(wrong(
                    "jwks_url",
                    "is of use with scheme = \"session\" only",
                ));
            }
        }
        let site = match &settings.site_id {
            None => None,
            Some(site) => {
                Some(segment(site).ok_or_else(|| wrong("site_id", "cannot stand in a path"))?)
            }
        };
        Ok(Pyng {
            scheme: settings.scheme,
            currency: currency.ok_or_else(|| {
                let why = "must be the code of a currency of two decimal places: Pyng states cents";
                wrong("currency", why)
            })?,
            success_statuses: settings.success_statuses,
            site,
            api_scope: settings.api_scope,
            signed,
            tolerance_ms: i64::from(settings.tolerance_seconds) * SECOND_MS,
            jwks_url: settings.jwks_url,
        })
    }

    /// Whether a transaction of this status is paid.
    fn is_success(&self, status: &str) -> bool {
        let mut words = self.success_statuses.iter();
        words.any(|word| word.eq_ignore_ascii_case(status))
    }

    /// The capture of an intent, or of a session that names none.
    fn capture(&self, id: &str, amount: Minor, at: Time) -> Fact {
        Fact {
            class: Class::Capture,
            id: id.to_owned(),
            basis: Basis::Each,
            rank: rank::CAPTURED,
            version: 0,
            authority: Authority::Webhook,
            amount,
            currency: self.currency,
            at,
            partial_capture: false,
            product_key: None,
            category_key: None,
        }
    }
}

/// Keys are fetched over TLS, or from this machine.
fn check_url(url: &str) -> Result<(), &'static str> {
    let uri: http::Uri = url.parse().map_err(|_| "must be a URL")?;
    let authority = uri.authority().ok_or("must be a URL with a host")?;
    if authority.as_str().contains('@') {
        return Err("must not hold a user");
    }
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_loopback(authority.host()) => Ok(()),
        _ => Err("must begin with https:// (http:// only for a loopback address)"),
    }
}

impl Provider for Pyng {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secrets: &[Secret],
        now: Time,
    ) -> Result<Genuine, NotGenuine> {
        match self.scheme {
            Scheme::Push => proof::push(request, secrets),
            Scheme::Session => {
                proof::session(request, secrets, &self.signed, (now, self.tolerance_ms))
            }
        }
    }

    fn parse(&self, document: &Document<'_>) -> Result<Reading, Unreadable> {
        let text = std::str::from_utf8(document.body)
            .map_err(|_| Unreadable::because("the body is not UTF-8"))?;
        // The derived readers also take an array for an object, member by member.
        if !text.trim_start().starts_with('{') {
            return Err(Unreadable::because("the body is not a JSON object"));
        }
        match (&document.kept.asked, self.scheme) {
            (Some(asked), _) => answer::read(self, asked, text),
            (None, Scheme::Push) => webhook::read_push(self, text),
            (None, Scheme::Session) => webhook::read_session(self, text),
        }
    }

    fn lookup(&self) -> &'static [&'static str] {
        LOOKUP
    }

    /// Asked only where the site is configured: its id stands in every path.
    fn api(&self) -> Option<Api> {
        let site = self.site.as_ref()?;
        let path = format!("/checkout/{site}/transaction-status?paymentIntentId={{id}}");
        Some(Api {
            base_url: None,
            auth: Auth::ClientCredentials {
                path: TOKEN_PATH.to_owned(),
                scope: self.api_scope.clone(),
            },
            headers: Vec::new(),
            account_header: None,
            kinds: vec![Kind::at(INTENT, path)],
        })
    }

    fn key_set(&self) -> Option<&str> {
        self.jwks_url.as_deref()
    }
}

/// Reads a JSON document, naming a field of the wrong type by its path.
fn decode<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Unreadable> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        match error.into_inner().is_data() && path != "." {
            true => Unreadable::field(&path, "is not of the type that Pyng documents"),
            false => Unreadable::because("the body is not JSON of the documented shape"),
        }
    })
}

fn name_payment(reading: &mut Reading, payment: &str, kind: &str, id: &str, money: bool) {
    reading.aliases.push(Alias {
        payment_id: payment.to_owned(),
        kind: kind.to_owned(),
        id: id.to_owned(),
        money,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_be_used_is_named() {
        let key = |text: &str| {
            let table: toml::Table = text.parse().unwrap();
            Pyng::new(table).err().map(|error| error.key)
        };
        for fine in [
            "",
            "scheme = \"session\"\njwks_url = \"https://keys.pyng.example/jwks\"",
            "scheme = \"session\"\njwks_url = \"http://127.0.0.1:9/jwks\"",
            "signed_string = \"{kid}.{timestamp}.{body}\"",
            "signed_string = \"{body}\"\nallow_untimed = true",
            "currency = \"NZD\"\nsite_id = \"site 1\"",
        ] {
            assert_eq!(key(fine), None, "{fine}");
        }
        for (wrong, at) in [
            ("scheme = \"pull\"", "scheme"),
            ("currency = \"JPY\"", "currency"),
            ("currency = \"dollars\"", "currency"),
            ("site_id = \"..\"", "site_id"),
            ("tolerance_seconds = 0", "tolerance_seconds"),
            ("signed_string = \"{body}\"", "signed_string"),
            ("signed_string = \"{timestamp}\"", "signed_string"),
            (
                "signed_string = \"{timestamp}.{url}.{body}\"",
                "signed_string",
            ),
            ("jwks_url = \"https://keys.pyng.example/jwks\"", "jwks_url"),
            (
                "scheme = \"session\"\njwks_url = \"http://keys.pyng.example\"",
                "jwks_url",
            ),
            (
                "scheme = \"session\"\njwks_url = \"https://u@keys.pyng.example\"",
                "jwks_url",
            ),
            ("scheme = \"session\"\njwks_url = \"keys\"", "jwks_url"),
        ] {
            assert_eq!(key(wrong).as_deref(), Some(at), "{wrong}");
        }
    }
}
