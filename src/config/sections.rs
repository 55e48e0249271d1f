//! The sections of the configuration as types: every key, its default and its
//! range.
//!
//! What spans several sections is checked where they are put together, and a
//! provider's own settings by the provider.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

use super::read::{self, address, flag, list, number};
use super::{ConfigError, Network, SecretRef};
use crate::day::Zone;
use crate::destination::Api;
use crate::lookup::Rule;
use crate::money::Currency;
use crate::plan::Policy;
use crate::time::Time;

/// The highest `requests_per_second`: far above any known limit, low enough
/// that a slip of the finger cannot flood a destination.
const RATE_MAX: u32 = 1_000;
/// The highest `burst`, in requests.
const BURST_MAX: u32 = 1_000;
/// The highest `max_in_flight`, in requests.
const IN_FLIGHT_MAX: u32 = 256;
/// The longest `timeout_seconds`: a claim's lease has to outlast a call twice.
const TIMEOUT_MAX_S: u32 = 120;
/// The longest `retry_for_hours`: 90 days, after which nobody waits any more.
const RETRY_MAX_HOURS: u32 = 2_160;
/// The longest `confirm_after_seconds`: one day.
const CONFIRM_MAX_S: u32 = 86_400;
/// The highest `requests_per_minute` to a provider's API: a hundred a second.
const ASKED_A_MINUTE_MAX: u32 = 6_000;
/// The highest `import_most_mib`: a TiB, which nobody sends in one request.
const IMPORT_MAX_MIB: u32 = 1_048_576;
/// The longest `mirror_every_minutes`: a week.
const MIRROR_MAX_MINUTES: u32 = 10_080;
/// The longest name of a token, in bytes: it stands in log lines.
const TOKEN_NAME_MAX: usize = 64;

/// `[http]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Webhooks and health.
    #[serde(default = "local::<8080>", deserialize_with = "address")]
    pub public: SocketAddr,
    /// Page, API and metrics.
    #[serde(default = "local::<8081>", deserialize_with = "address")]
    pub admin: SocketAddr,
    /// Who may use the admin listener.
    #[serde(default, deserialize_with = "list")]
    pub tokens: Vec<Token>,
    /// Proxies of our own, whose `X-Forwarded-For` says who sent a request.
    #[serde(default, deserialize_with = "list")]
    pub trusted_proxies: Vec<Network>,
    /// Where payments go that the merchant's own back end states; needed only
    /// where there are several destinations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_destination: Option<String>,
    /// The largest file that the API takes for an import, in MiB.
    #[serde(
        default = "of::<1024>",
        deserialize_with = "number::<_, 1, IMPORT_MAX_MIB>"
    )]
    pub import_most_mib: u32,
    /// Where such files are kept until they are recorded, if not beside the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import_folder: Option<PathBuf>,
}

/// `[[http.tokens]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "a table with name, role and token")]
pub struct Token {
    /// Who calls; it stands beside what was done.
    #[serde(deserialize_with = "token_name")]
    pub name: String,
    /// What the caller may do.
    pub role: Role,
    /// The token itself.
    pub token: SecretRef,
}

/// What the holder of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Operator,
    /// Reads.
    Viewer,
    /// Writes and reads links and states payments.
    Linker,
}

/// `[destinations.NAME]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// Which form of the transactions API.
    #[serde(default)]
    pub api: Api,
    /// Scheme, host and an optional path, without a slash at its end.
    #[serde(default = "base_url_default", deserialize_with = "base_url")]
    pub base_url: String,
    /// The API's public key.
    pub public_key: SecretRef,
    /// The API's secret key.
    pub secret_key: SecretRef,
    /// Which events are forwarded.
    #[serde(default)]
    pub mode: Mode,
    /// Calls a second, all kinds together.
    #[serde(default = "of::<2>", deserialize_with = "number::<_, 1, RATE_MAX>")]
    pub requests_per_second: u32,
    /// Calls that may come at once after a rest.
    #[serde(default = "of::<5>", deserialize_with = "number::<_, 1, BURST_MAX>")]
    pub burst: u32,
    /// Calls open at a time.
    #[serde(
        default = "of::<2>",
        deserialize_with = "number::<_, 1, IN_FLIGHT_MAX>"
    )]
    pub max_in_flight: u32,
    /// The time limit of one call, in seconds.
    #[serde(
        default = "of::<20>",
        deserialize_with = "number::<_, 1, TIMEOUT_MAX_S>"
    )]
    pub timeout_seconds: u32,
    /// What a partial refund becomes.
    #[serde(default)]
    pub partial_refunds: Policy,
    /// How long a payment is tried again, in hours.
    #[serde(
        default = "of::<72>",
        deserialize_with = "number::<_, 1, RETRY_MAX_HOURS>"
    )]
    pub retry_for_hours: u32,
    /// How long "not found" on a read-back is not yet believed, in seconds.
    #[serde(
        default = "of::<900>",
        deserialize_with = "number::<_, 0, CONFIRM_MAX_S>"
    )]
    pub confirm_after_seconds: u32,
    /// Whether the account can list and delete by the API's second version.
    #[serde(default = "yes", deserialize_with = "flag")]
    pub v2_available: bool,
    /// Whether the provider's customer id is written back to a customer that
    /// has none.
    #[serde(default = "yes", deserialize_with = "flag")]
    pub provider_key: bool,
    /// How often `serve` reads the destination's customers, partners and rewards,
    /// in minutes; never by itself where it is 0.
    #[serde(
        default = "of::<15>",
        deserialize_with = "number::<_, 0, MIRROR_MAX_MINUTES>"
    )]
    pub mirror_every_minutes: u32,
    /// Whether a payment may be for the one customer with the payer's address.
    #[serde(default, deserialize_with = "flag")]
    pub resolve_by_email: bool,
    /// The currency of rewards that name none.
    #[serde(
        default,
        deserialize_with = "currency",
        skip_serializing_if = "Option::is_none"
    )]
    pub reward_currency: Option<Currency>,
}

/// Which events a destination takes; those of the other mode are recorded and
/// ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Events about real money.
    #[default]
    Live,
    /// Events about play money.
    Test,
}

/// `[sources.NAME]`
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Which provider's webhooks these are.
    #[serde(deserialize_with = "word")]
    pub provider: String,
    /// The name of the destination.
    #[serde(deserialize_with = "word")]
    pub destination: String,
    /// What deliveries are verified with; one is enough, two while they change.
    #[serde(default, deserialize_with = "list")]
    pub secrets: Vec<SecretRef>,
    /// Where deliveries may come from, in addition to what proves them;
    /// everywhere where none is named.
    #[serde(default, deserialize_with = "list")]
    pub allow_from: Vec<Network>,
    /// Payments before it are recorded and not forwarded.
    #[serde(
        default,
        deserialize_with = "read::time",
        serialize_with = "time_as_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub forward_from: Option<Time>,
    /// How the customer is found, in order; without it the provider's own way.
    #[serde(
        default,
        deserialize_with = "rules",
        skip_serializing_if = "Option::is_none"
    )]
    pub customer_key: Option<Vec<Rule>>,
    /// Another policy than the destination's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial_refunds: Option<Policy>,
    /// Whether the account is closed: its history stays, its URL is gone.
    #[serde(default, deserialize_with = "flag")]
    pub retired: bool,
    /// How the provider's API is asked what its webhooks do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ProviderApi>,
    /// What is said about files of old payments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportColumns>,
    /// The provider's own settings, not yet read.
    #[serde(skip)]
    pub settings: Table,
    #[serde(skip)]
    pub(super) name: String,
}

impl Source {
    /// The provider's own settings as the provider's type; secrets among them
    /// are [`SecretRef`] there and resolved in [`super::Secrets::setting`].
    ///
    /// # Errors
    /// The first setting that is unknown, missing or wrong, by its full name.
    pub fn read_settings<T: serde::de::DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let key = format!("sources.{}", self.name);
        read::section(&key, Value::Table(self.settings.clone()))
    }
}

/// `[sources.NAME.api]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderApi {
    /// Scheme, host and an optional path; without it the provider's own, where
    /// it documents one.
    #[serde(
        default,
        deserialize_with = "own_base_url",
        skip_serializing_if = "Option::is_none"
    )]
    pub base_url: Option<String>,
    /// The key, or `user:password` where the provider's API has both.
    pub key: SecretRef,
    /// Questions a minute.
    #[serde(
        default = "of::<60>",
        deserialize_with = "number::<_, 1, ASKED_A_MINUTE_MAX>"
    )]
    pub requests_per_minute: u32,
}

/// `[sources.NAME.import]`: what `import` is told where the person says nothing.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ImportColumns {
    /// The file's format, where its header does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Which column is which field, for files of no known format.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub map: BTreeMap<String, String>,
    /// The zone of times that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What stands between two cells, or `tab`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// How decimals are written: `auto`, `point` or `comma`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal: Option<String>,
    /// The currency of rows that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

/// Shows the names of settings and not what they hold: nobody has checked yet
/// that no secret is among them.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("provider", &self.provider)
            .field("destination", &self.destination)
            .field("secrets", &self.secrets)
            .field("allow_from", &self.allow_from)
            .field("forward_from", &self.forward_from)
            .field("customer_key", &self.customer_key)
            .field("partial_refunds", &self.partial_refunds)
            .field("retired", &self.retired)
            .field("api", &self.api)
            .field("import", &self.import)
            .field("settings", &self.settings.keys().collect::<Vec<_>>())
            .finish()
    }
}

fn local<const PORT: u16>() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT)
}

fn of<const N: u32>() -> u32 {
    N
}

fn yes() -> bool {
    true
}

fn base_url_default() -> String {
    "https://api.partnerstack.com".to_owned()
}

fn word<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    match Value::deserialize(d)? {
        Value::String(text) => Ok(text),
        _ => Err(D::Error::custom("must be a text")),
    }
}

fn currency<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Currency>, D::Error> {
    let code = word(d)?.parse();
    let code = code.map_err(|_| D::Error::custom("must be a currency code such as USD"))?;
    Ok(Some(code))
}

fn token_name<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let name = word(d)?;
    let fits = (1..=TOKEN_NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    fits.then_some(name).ok_or_else(|| {
        D::Error::custom(format!(
            "must have 1 to {TOKEN_NAME_MAX} characters, none of them a control character"
        ))
    })
}

fn rules<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<Rule>>, D::Error> {
    let rules: Vec<Rule> = list(d)?;
    match rules.is_empty() {
        true => Err(D::Error::custom("must hold at least one rule")),
        false => Ok(Some(rules)),
    }
}

fn own_base_url<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    base_url(d).map(Some)
}

fn base_url<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = word(d)?;
    let uri: ::http::Uri = text
        .parse()
        .map_err(|_| D::Error::custom("must be a URL such as https://api.partnerstack.com"))?;
    let (scheme, host) = (uri.scheme_str(), uri.host().unwrap_or_default());
    if uri.query().is_some() || uri.authority().is_none_or(|a| a.as_str().contains('@')) {
        return Err(D::Error::custom(
            "must be scheme, host and path only, without user or query",
        ));
    }
    match scheme {
        Some("https") => {}
        Some("http") if is_loopback(host) => {}
        _ => {
            return Err(D::Error::custom(
                "must begin with https:// (http:// only for a loopback address)",
            ));
        }
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Whether a host name can only mean this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

pub(super) fn zone<'de, D: Deserializer<'de>>(d: D) -> Result<Zone, D::Error> {
    Zone::parse(&word(d)?)
        .map_err(|_| D::Error::custom("must be UTC, +02:00 or a name such as \"Europe/Stockholm\""))
}

pub(super) fn zone_as_text<S: Serializer>(zone: &Zone, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(zone.name())
}

fn time_as_text<S: Serializer>(at: &Option<Time>, s: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => s.collect_str(at),
        None => s.serialize_none(),
    }
}
