//! Pats (a label of Magnius): transactions, refunds and chargebacks.
//!
//! Source: the documentation of Pats' API, "Webhooks", "Webhook signature
//! verification" and "Using the API". A webhook says little: no currency, no
//! time, perhaps no amount, and a refund's does not say which payment it is of.
//! What is missing is asked of the API, or comes from the configuration. The
//! fields of the API's answers were seen in public client code only, and the
//! path of a chargeback follows those of the other objects.

mod answer;
mod webhook;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::ask::{Api, Auth, Kind};
use super::sign::public::{Algorithm, signed_by};
use super::sign::text_sent_once;
use super::{Document, Genuine, NotGenuine, Provider, Request, Secret, SettingsError, Unreadable};
use crate::money::{Currency, LARGEST_MINOR, Minor};
use crate::movement::{Alias, Authority, Basis, Class, Fact, Inquiry, Movement, Reading, Subject};
use crate::time::Time;

/// The name in the configuration.
pub const NAME: &str = "pats";

/// The events that are looked into; every other one is ignored with a reason.
pub const EVENTS: &[&str] = &[
    "chargeback.CANCELLED",
    "chargeback.IN_DISPUTE",
    "chargeback.LOST",
    "chargeback.OPEN",
    "chargeback.WON",
    "refund.CANCELLED",
    "refund.FAILED",
    "refund.PROCESSED",
    "transaction.CANCELLED",
    "transaction.FAILED",
    "transaction.SETTLEMENT_COMPLETED",
    "transaction.SETTLEMENT_REQUESTED",
];

/// Where the customer key is looked for. The reference itself is not among
/// them: it can be set in a browser, so a source has to ask for it.
const LOOKUP: &[&str] = &["link:reference", "link:subscription"];

/// The header with the signature.
const SIGNATURE_HEADER: &str = "x-signature";

/// Where the API is; the demo environment has a host of its own.
const BASE_URL: &str = "https://api.magnius.com/v1";

/// What can be asked for, and the kinds of references.
const TRANSACTION: &str = "transaction";
const REFUND: &str = "refund";
const CHARGEBACK: &str = "chargeback";

/// Decimal places of a currency whose hundredths are cents. Pats' webhooks
/// state "cents", its API the currency's own minor unit; of other currencies
/// only the API is believed.
const CENT_PLACES: u32 = 2;

/// What a chargeback takes that does not say how much: the whole payment. What
/// is given back is never more than what was taken.
const WHOLE: Minor = LARGEST_MINOR;

/// The settings of a Pats source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    currencies: BTreeMap<String, String>,
    #[serde(default)]
    payment_status: PaymentStatus,
    #[serde(default)]
    reverse_on: ReverseOn,
}

/// From which status on a transaction is a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PaymentStatus {
    #[default]
    SettlementCompleted,
    SettlementRequested,
}

/// From which status on a chargeback takes money back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReverseOn {
    #[default]
    Lost,
    Opened,
}

/// One source's view of Pats.
#[derive(Clone, Debug)]
pub struct Pats {
    currency: Option<Currency>,
    currencies: BTreeMap<String, Currency>,
    payment_status: PaymentStatus,
    reverse_on: ReverseOn,
}

impl Pats {
    /// From a source's settings: `currency`; `currencies`, by payment profile;
    /// `payment_status` (`settlement_completed` or `settlement_requested`);
    /// `reverse_on` (`lost` or `opened`).
    ///
    /// # Errors
    /// Names the key at fault.
    pub fn new(settings: toml::Table) -> Result<Pats, SettingsError> {
        let settings: Settings = super::settings(settings)?;
        let currency = |key: &str, code: String| {
            code.parse::<Currency>()
                .map_err(|_| SettingsError::new(key, "must be a three-letter currency code"))
        };
        let mut currencies = BTreeMap::new();
        for (profile, code) in settings.currencies {
            let key = format!("currencies.{profile}");
            currencies.insert(profile, currency(&key, code)?);
        }
        Ok(Pats {
            currency: settings
                .currency
                .map(|code| currency("currency", code))
                .transpose()?,
            currencies,
            payment_status: settings.payment_status,
            reverse_on: settings.reverse_on,
        })
    }

    /// The currency of a webhook's amount: the source's, unless the profiles
    /// differ, because a webhook names none.
    fn webhook_currency(&self) -> Option<Currency> {
        self.currency
            .filter(|currency| self.currencies.is_empty() && currency.exponent() == CENT_PLACES)
    }
}

impl Provider for Pats {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secrets: &[Secret],
        _now: Time,
    ) -> Result<Genuine, NotGenuine> {
        let text = text_sent_once(request.headers, SIGNATURE_HEADER)?;
        let text = text.ok_or(NotGenuine::Missing)?;
        let signature = (STANDARD.decode(text.trim()).ok())
            .filter(|bytes| !bytes.is_empty())
            .ok_or(NotGenuine::Malformed)?;
        // SHA-1 is Pats' choice: it signs with nothing else.
        let allowed = [Algorithm::RsaPkcs1Sha1];
        signed_by(&[request.body], &signature, None, &allowed, secrets)
    }

    fn parse(&self, document: &Document<'_>) -> Result<Reading, Unreadable> {
        let text = std::str::from_utf8(document.body)
            .map_err(|_| Unreadable::because("the body is not UTF-8"))?;
        // The derived readers also take an array for an object, member by member.
        if !text.trim_start().starts_with('{') {
            return Err(Unreadable::because("the body is not a JSON object"));
        }
        match &document.kept.asked {
            Some(asked) => answer::read(self, asked, text),
            None => webhook::read(self, text),
        }
    }

    fn lookup(&self) -> &'static [&'static str] {
        LOOKUP
    }

    fn api(&self) -> Option<Api> {
        Some(Api {
            base_url: Some(BASE_URL),
            auth: Auth::Header("apiKey"),
            headers: Vec::new(),
            account_header: None,
            kinds: vec![
                Kind::at(TRANSACTION, "/transaction/{id}"),
                Kind::at(REFUND, "/refund/{id}"),
                Kind::at(CHARGEBACK, "/chargeback/{id}"),
            ],
        })
    }

    fn key_set(&self) -> Option<&str> {
        None
    }
}

/// Reads a JSON document, naming a field of the wrong type by its path.
fn decode<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Unreadable> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        match error.into_inner().is_data() && path != "." {
            true => Unreadable::field(&path, "is not of the type that Pats documents"),
            false => Unreadable::because("the body is not JSON of the documented shape"),
        }
    })
}

/// A fact, but for what a refund or a chargeback changes of it. `at` is the
/// time of arrival where nothing says another.
fn fact(class: Class, rank: u8, id: &str, amount: Minor, currency: Currency) -> Fact {
    Fact {
        class,
        id: id.to_owned(),
        basis: Basis::Each,
        rank,
        version: 0,
        authority: Authority::Webhook,
        amount,
        currency,
        at: Time::UNKNOWN,
        partial_capture: false,
        product_key: None,
        category_key: None,
    }
}

fn state(reading: &mut Reading, about: &Subject, fact: Fact) {
    reading.movements.push(Movement {
        about: about.clone(),
        fact,
    });
}

fn name_payment(reading: &mut Reading, payment: &str, kind: &str, id: &str, money: bool) {
    reading.aliases.push(Alias {
        payment_id: payment.to_owned(),
        kind: kind.to_owned(),
        id: id.to_owned(),
        money,
    });
}

fn inquire(reading: &mut Reading, kind: &str, id: &str, about: &Subject) {
    reading.inquiries.push(Inquiry {
        kind: kind.to_owned(),
        id: id.to_owned(),
        about: Some(about.clone()),
    });
}

/// A reversal by its own id: the webhook does not name the payment.
fn reversal(kind: &str, id: &str) -> Subject {
    Subject::Reference {
        kind: kind.to_owned(),
        id: id.to_owned(),
    }
}
