//! Paysafe: settlements, scheduled payments, refunds, bank returns.
//!
//! Source: Paysafe's developer pages (see `notice`), its official plugin for
//! WooCommerce for the names of events, and the models of its SDKs. A payment
//! here is one settlement: what is only authorised is no money. Two things are
//! documented nowhere, so settings say them: the names of chargeback events,
//! and how a refund, which names no payment, is tied to one.

mod notice;
mod read;

use serde::Deserialize;

use self::notice::Notice;
use super::ask::{Api, Auth, Kind};
use super::sign::{self, KeyEncoding};
use super::{Document, Genuine, NotGenuine, Provider, Request, Secret, SettingsError, Unreadable};
use crate::lookup::Pattern;
use crate::money::Currency;
use crate::movement::{Reading, Scope, rank};
use crate::time::Time;

/// The name in the configuration.
pub const NAME: &str = "paysafe";

/// The events that are looked into; every other one is ignored with a reason.
pub const EVENTS: &[&str] = &[
    "AP_PAYMENT_COMPLETED",
    "PAYMENT_COMPLETED",
    "PAYMENT_RETURNED_COMPLETED",
    "PAYMENT_RETURN_COMPLETED",
    "REFUND_CANCELLED",
    "REFUND_COMPLETED",
    "REFUND_ERRORED",
    "REFUND_FAILED",
    notice::SCHEDULED,
    "SETTLEMENT_CANCELLED",
    "SETTLEMENT_CLEARED",
    "SETTLEMENT_COMPLETED",
    "SETTLEMENT_FAILED",
];

/// Where the customer key is looked for. Links go first, so that a merchant's
/// word beats a reference that only happens to look like a key.
const LOOKUP: &[&str] = &["link:merchantRefNum", "link:subscription", "merchantRefNum"];

/// The header with the signature.
const HEADER: &str = "signature";

/// The settings of a Paysafe source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    hmac_key_encoding: KeyEncoding,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    count_unsettled: bool,
    #[serde(default)]
    wait_for_cleared: bool,
    #[serde(default)]
    refund_reference_pattern: Option<String>,
    #[serde(default)]
    chargeback_events: Vec<String>,
}

/// One source's view of Paysafe.
#[derive(Clone, Debug)]
pub struct Paysafe {
    encoding: KeyEncoding,
    currency: Option<Currency>,
    count_unsettled: bool,
    wait_for_cleared: bool,
    refund_reference: Option<Pattern>,
    chargeback_events: Vec<String>,
}

impl Paysafe {
    /// From a source's settings: `hmac_key_encoding`, `currency`,
    /// `count_unsettled`, `wait_for_cleared`, `refund_reference_pattern` and
    /// `chargeback_events`; `config.example.toml` describes them.
    ///
    /// # Errors
    /// Names the key at fault.
    pub fn new(settings: toml::Table) -> Result<Paysafe, SettingsError> {
        let settings: Settings = super::settings(settings)?;
        let currency = match settings.currency {
            None => None,
            Some(code) => Some(code.parse::<Currency>().map_err(|_| {
                SettingsError::new("currency", "must be a three-letter currency code")
            })?),
        };
        let refund_reference = match settings.refund_reference_pattern {
            None => None,
            Some(text) => Some(Pattern::new(&text).ok_or_else(|| {
                SettingsError::new("refund_reference_pattern", "must be a regular expression")
            })?),
        };
        Ok(Paysafe {
            encoding: settings.hmac_key_encoding,
            currency,
            count_unsettled: settings.count_unsettled,
            wait_for_cleared: settings.wait_for_cleared,
            refund_reference,
            chargeback_events: settings.chargeback_events,
        })
    }

    /// Whether the merchant says that this event is a chargeback.
    fn is_chargeback(&self, notice: &Notice<'_>) -> bool {
        self.chargeback_events
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&notice.event))
    }
}

impl Provider for Paysafe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secrets: &[Secret],
        _now: Time,
    ) -> Result<Genuine, NotGenuine> {
        let text = sign::text_sent_once(request.headers, HEADER)?.ok_or(NotGenuine::Missing)?;
        let tag = sign::tag_from_base64(text).ok_or(NotGenuine::Malformed)?;
        sign::hmac_sha256_keyed(self.encoding, &[request.body], &[tag], secrets)
    }

    fn parse(&self, document: &Document<'_>) -> Result<Reading, Unreadable> {
        let body = std::str::from_utf8(document.body)
            .map_err(|_| Unreadable::because("the body is not UTF-8"))?;
        if let Some(asked) = &document.kept.asked {
            return self.read_answer(asked, body);
        }
        let notice = Notice::read(body)?;
        let mut reading = Reading {
            delivery_id: notice.delivery_id(),
            event: notice.event.clone(),
            scope: Scope {
                live: notice.test.then_some(false),
                account: String::new(),
            },
            ..Reading::default()
        };
        if let Some(scheduled) = notice.scheduled()? {
            self.read_scheduled(&notice, &scheduled, &mut reading)?;
            return Ok(reading);
        }
        if self.is_chargeback(&notice) {
            self.read_chargeback(&notice, &mut reading)?;
            return Ok(reading);
        }
        match notice.topic.as_str() {
            "PAYMENT_COMPLETED" => self.read_payment(&notice, &mut reading)?,
            "SETTLEMENT_COMPLETED" | "SETTLEMENT_CLEARED" if notice.legacy => {
                reading.ignored =
                    Some("in the older API AP_PAYMENT_COMPLETED tells of the money".to_owned());
            }
            "SETTLEMENT_COMPLETED" => self.read_settlement(&notice, false, &mut reading)?,
            "SETTLEMENT_CLEARED" => self.read_settlement(&notice, true, &mut reading)?,
            "SETTLEMENT_CANCELLED" | "SETTLEMENT_FAILED" => {
                self.read_unsettled(&notice, &mut reading)?;
            }
            "PAYMENT_RETURN_COMPLETED" | "PAYMENT_RETURNED_COMPLETED" => {
                self.read_return(&notice, &mut reading)?;
            }
            "REFUND_COMPLETED" => self.read_refund(&notice, rank::LIVE, &mut reading)?,
            "REFUND_CANCELLED" | "REFUND_ERRORED" | "REFUND_FAILED" => {
                self.read_refund(&notice, rank::UNDONE, &mut reading)?;
            }
            other => reading.ignored = Some(foreign(other).to_owned()),
        }
        Ok(reading)
    }

    fn lookup(&self) -> &'static [&'static str] {
        LOOKUP
    }

    fn api(&self) -> Option<Api> {
        Some(Api {
            base_url: Some("https://api.paysafe.com"),
            auth: Auth::Basic,
            headers: Vec::new(),
            account_header: None,
            kinds: vec![Kind::at(read::PAYMENT, "/paymenthub/v1/payments/{id}")],
        })
    }

    fn key_set(&self) -> Option<&str> {
        None
    }
}

/// Why an event is not looked into.
fn foreign(topic: &str) -> &'static str {
    if topic.contains("CHARGEBACK") || topic.contains("DISPUTE") {
        return "this looks like a chargeback, and Paysafe documents no names of such events: \
                if it takes the money back, add the name to `chargeback_events`";
    }
    match topic {
        "TEST" => "this is Paysafe's test of the connection",
        "REFUND_PENDING" => "the refund is under way; REFUND_COMPLETED tells of the money",
        "SETTLEMENT_RECEIVED" | "SETTLEMENT_PENDING" | "SETTLEMENT_PROCESSING" => {
            "the settlement is under way; SETTLEMENT_COMPLETED tells of the money"
        }
        "PAYMENT_RECEIVED" | "PAYMENT_PROCESSING" | "PAYMENT_PENDING" | "PAYMENT_HELD" => {
            "the payment is under way; PAYMENT_COMPLETED or SETTLEMENT_COMPLETED tells of the money"
        }
        "PAYMENT_FAILED" | "PAYMENT_CANCELLED" | "PAYMENT_EXPIRED" | "PAYMENT_ERRORED" => {
            "no money was taken, so there is nothing to count and nothing to give back"
        }
        _ if topic.starts_with("PAYMENT_HANDLE_") => {
            "a payment handle is no payment; the payment made with it has events of its own"
        }
        _ if topic.starts_with("SA_CREDIT_") => "a payout is no payment of a customer's",
        _ => "events of this type say nothing about payments and refunds",
    }
}

#[cfg(test)]
mod tests;
