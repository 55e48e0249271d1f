//! Where the ledger is: a `postgres://` URL, read once. It keeps the password to
//! itself: nothing that it prints or refuses holds a part of the URL that could be one.
//!
//! `sslmode` means what it means for libpq (manual, "SSL Support"), but for two
//! things: where the URL says none, a server elsewhere must prove who it is
//! (`verify-full`), and a file of root certificates is always used to prove it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::ledger::LedgerError;

/// How long one address may take to answer; a host may have several.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long sent bytes may stay unconfirmed before the connection counts as lost,
/// and how long a silent one stays unprobed. A network that is gone is noticed well
/// before people ask.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEPALIVE_RETRIES: u32 = 3;

/// What the server's list of connections calls us, where the URL says nothing else.
const APPLICATION_NAME: &str = "tributary";

/// A URL that cannot be read is not quoted: a password with a special character in
/// it may stand anywhere.
const MALFORMED: &str = "ledger.url cannot be read: write \
     postgres://USER:PASSWORD@HOST:PORT/DATABASE, with every special character of the \
     password as %XX";

/// Parameters of libpq that people may look for here in vain.
const UNKNOWN: [&str; 14] = [
    "gssencmode",
    "krbsrvname",
    "passfile",
    "replication",
    "requirepeer",
    "require_auth",
    "service",
    "sslcert",
    "sslcompression",
    "sslcrl",
    "sslkey",
    "sslpassword",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
];

/// How the server proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It does not have to: TLS keeps listeners out and nobody else.
    Anyone,
    /// By a certificate that this machine trusts, as it does for calls of the API.
    System,
    /// By a certificate of this file.
    Roots(PathBuf),
}

/// A URL that was read.
pub(super) struct Place {
    /// With the password; never printed.
    pub config: Config,
    /// How the server proves who it is, where TLS is spoken.
    pub trust: Trust,
    /// Hosts and database, for people.
    pub name: String,
}

impl fmt::Debug for Place {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.name)
    }
}

fn unusable(why: &str) -> LedgerError {
    LedgerError::Unusable(why.to_owned())
}

impl Place {
    /// Reads a URL.
    ///
    /// # Errors
    /// One line that quotes nothing of it.
    pub(super) fn read(url: &str) -> Result<Place, LedgerError> {
        let (before, query) = url.split_once('?').unwrap_or((url, ""));
        let mut others = Vec::new();
        let (mut mode, mut roots) = (None, None);
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "sslmode" => mode = Some(value.to_owned()),
                "sslrootcert" => {
                    let file = percent_decode_str(value).decode_utf8();
                    roots = Some(file.map_err(|_| unusable(MALFORMED))?.into_owned());
                }
                key if UNKNOWN.contains(&key) => {
                    return Err(LedgerError::Unusable(format!(
                        "ledger.url: the parameter {key} is not supported"
                    )));
                }
                _ => others.push(pair),
            }
        }
        let others = others.join("&");
        let mut config: Config = format!("{before}?{others}")
            .parse()
            .map_err(|_| unusable(MALFORMED))?;
        let is_url = before.starts_with("postgres://") || before.starts_with("postgresql://");
        let named = config.get_hosts().iter().all(is_name);
        if !is_url || config.get_hosts().is_empty() || !named {
            return Err(unusable(MALFORMED));
        }
        let trust = be_secure(&mut config, mode.as_deref(), roots)?;
        be_brief(&mut config);
        let name = told(&config);
        Ok(Place {
            config,
            trust,
            name,
        })
    }
}

/// Hosts and database of a URL, for people.
///
/// # Errors
/// As [`Place::read`].
pub(in crate::ledger) fn name_of(url: &str) -> Result<String, LedgerError> {
    Place::read(url).map(|place| place.name)
}

/// Whether a host can be one. What a password with "@" in it leaves behind is none.
fn is_name(host: &Host) -> bool {
    let Host::Tcp(name) = host else {
        return true;
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
    !name.is_empty() && name.chars().all(allowed)
}

/// Whether nobody else can be on the way to this host.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
    }
}

fn be_secure(
    config: &mut Config,
    mode: Option<&str>,
    roots: Option<String>,
) -> Result<Trust, LedgerError> {
    let here = config.get_hosts().iter().all(is_here);
    let sockets = config
        .get_hosts()
        .iter()
        .all(|host| matches!(host, Host::Unix(_)));
    let unsaid = match (here, &roots) {
        (true, None) => "disable",
        _ => "verify-full",
    };
    let proven = match roots.as_deref() {
        None | Some("system") => Trust::System,
        Some(file) => Trust::Roots(PathBuf::from(file)),
    };
    let unproven = match roots {
        None => Trust::Anyone,
        Some(_) => proven.clone(),
    };
    let (ssl, trust) = match mode.unwrap_or(unsaid) {
        "disable" => (SslMode::Disable, unproven),
        "prefer" => (SslMode::Prefer, unproven),
        "require" => (SslMode::Require, unproven),
        "verify-full" => (SslMode::Require, proven),
        "verify-ca" => {
            return Err(unusable(
                "ledger.url: sslmode=verify-ca would not look at the server's name; \
                 write verify-full",
            ));
        }
        "allow" => {
            return Err(unusable(
                "ledger.url: sslmode=allow would speak without TLS first; write prefer or require",
            ));
        }
        _ => {
            return Err(unusable(
                "ledger.url: sslmode must be disable, prefer, require or verify-full",
            ));
        }
    };
    // There is no TLS on a socket of this machine.
    config.ssl_mode(if sockets { SslMode::Disable } else { ssl });
    Ok(trust)
}

/// Sets the limits that the URL did not set.
fn be_brief(config: &mut Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(TCP_USER_TIMEOUT);
    }
    config.keepalives_idle(KEEPALIVE_IDLE);
    config.keepalives_interval(KEEPALIVE_INTERVAL);
    config.keepalives_retries(KEEPALIVE_RETRIES);
    if config.get_application_name().is_none() {
        config.application_name(APPLICATION_NAME);
    }
    // After a failover one of several hosts is a standby; and what is read of a
    // standby may be older than what was answered.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
}

/// Hosts, ports and database.
fn told(config: &Config) -> String {
    let ports = config.get_ports();
    let mut named = Vec::new();
    for (at, host) in config.get_hosts().iter().enumerate() {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        named.push(match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(folder) => format!("{}:{port}", folder.display()),
        });
    }
    let mut line = named.join(",");
    if let Some(database) = config.get_dbname() {
        line.push('/');
        line.push_str(database);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Place {
        Place::read(url).unwrap()
    }

    #[test]
    fn a_server_elsewhere_proves_who_it_is_unless_the_url_says_otherwise() {
        let modes = |url: &str| {
            let place = read(url);
            (place.config.get_ssl_mode(), place.trust)
        };
        let (none, soft, hard) = (SslMode::Disable, SslMode::Prefer, SslMode::Require);
        assert_eq!(modes("postgres://u:p@db.example/x"), (hard, Trust::System));
        assert_eq!(modes("postgres://u@127.0.0.1/x").0, none);
        assert_eq!(modes("postgres://u@[::1]:5433/x").0, none);
        assert_eq!(modes("postgres://u@%2Frun%2Fpostgresql/x").0, none);
        let with = |query: &str| modes(&format!("postgres://u:p@db.example/x?{query}"));
        assert_eq!(with("sslmode=disable").0, none);
        assert_eq!(with("sslmode=prefer"), (soft, Trust::Anyone));
        assert_eq!(with("sslmode=require"), (hard, Trust::Anyone));
        assert_eq!(with("sslmode=verify-full"), (hard, Trust::System));
        let roots = Trust::Roots(PathBuf::from("/etc/roots.pem"));
        let named = "sslrootcert=/etc/roots.pem&sslmode=require";
        assert_eq!(with(named), (hard, roots.clone()));
        assert_eq!(
            modes("postgres://u@127.0.0.1/x?sslrootcert=/etc/roots.pem"),
            (hard, roots)
        );
        for refused in ["allow", "verify-ca", "on"] {
            let url = format!("postgres://u:p@db.example/x?sslmode={refused}");
            let error = Place::read(&url).unwrap_err().to_string();
            assert!(error.contains("sslmode"), "{error}");
        }
    }

    #[test]
    fn limits_hold_and_what_the_url_says_stays() {
        let place =
            read("postgres://u:p@a.example:5433,b.example/x?connect_timeout=2&options=-c%20a%3Db");
        assert_eq!(place.name, "a.example:5433,b.example:5432/x");
        assert_eq!(place.config.get_options(), Some("-c a=b"));
        assert_eq!(
            place.config.get_connect_timeout(),
            Some(&Duration::from_secs(2))
        );
        assert_eq!(place.config.get_application_name(), Some("tributary"));
        assert_eq!(
            place.config.get_target_session_attrs(),
            TargetSessionAttrs::ReadWrite
        );
    }

    #[test]
    fn nothing_of_a_password_is_told() {
        for url in [
            "postgres://u:geheim@db.example/x",
            "postgres://u:geh@eim@db.example/x",
            "postgres://u:geh/eim@db.example/x",
            "postgres://u:geh?eim@db.example/x",
            "postgres://u:geh?eim=1@db.example/x?a=b",
            "postgres://u:g%e?heim@db.example:port/x?sslmode=eim",
            "postgres://u:geheim@db.example/x?sslkey=geheim",
            "postgres://u:geheim@db.example/x?password=geheim&wrong=eim",
            "postgres://u:geheim@/x",
            "host=db.example password=geheim",
            "geheim",
        ] {
            let told = match Place::read(url) {
                Ok(place) => format!("{place:?} {}", place.name),
                Err(error) => format!("{error:?} {error}"),
            };
            assert!(!told.contains("eim"), "{told}");
            assert!(!told.contains("geh"), "{told}");
        }
    }
}
