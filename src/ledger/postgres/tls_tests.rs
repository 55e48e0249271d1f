//! Who is let in, and who is believed: TLS and passwords against a server.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::client::{Client, Limits};
use super::cluster::{Cluster, PASSWORD, USER, run};
use crate::ledger::LedgerError;
use crate::ledger::sql::Value;

/// An authority, which signs a certificate for `localhost`.
struct Authority {
    root: String,
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = server.signed_by(&key, &issuer).unwrap().pem();
        Authority {
            root,
            certificate,
            key: key.serialize_pem(),
        }
    }

    fn root_in(&self, folder: &tempfile::TempDir, name: &str) -> PathBuf {
        let file = folder.path().join(name);
        std::fs::write(&file, &self.root).unwrap();
        file
    }
}

/// Whether the connection is by TLS, or why there is none.
fn by_tls(url: &str) -> Result<bool, LedgerError> {
    let mut client = Client::open(url, Limits::SERVING)?;
    let rows = client.query(
        "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        &[],
    )?;
    Ok(rows[0].value(0)? == Value::Int(1))
}

fn refusal(url: &str) -> String {
    match by_tls(url) {
        Err(LedgerError::Unusable(line)) => {
            assert!(!line.contains(PASSWORD), "{line}");
            line
        }
        other => panic!("{url}: {other:?}"),
    }
}

#[test]
fn sslmode_is_kept_on_a_server_without_tls() {
    let server = Cluster::start(&[]);
    let url = |query: &str| server.url_by_tcp("localhost", "postgres") + query;
    for plain in ["", "?sslmode=disable", "?sslmode=prefer"] {
        assert!(!by_tls(&url(plain)).unwrap(), "{plain}");
    }
    for hard in ["?sslmode=require", "?sslmode=verify-full"] {
        let line = refusal(&url(hard));
        assert!(line.contains("does not support TLS"), "{line}");
        assert!(line.contains("sslmode=disable"), "{line}");
    }
}

#[test]
fn sslmode_is_kept_on_a_server_with_tls() {
    let server = Cluster::start(&[]);
    let (ours, other) = (Authority::new(), Authority::new());
    server.put("server.crt", &ours.certificate);
    server.put("server.key", &ours.key);
    run(&server.url("postgres"), "ALTER SYSTEM SET ssl = on").unwrap();
    server.stop();
    server.resume();
    let folder = tempfile::tempdir().unwrap();
    let (root, wrong) = (
        ours.root_in(&folder, "ours.pem"),
        other.root_in(&folder, "other.pem"),
    );
    let (root, wrong) = (root.display(), wrong.display());
    let at = |host: &str, query: &str| server.url_by_tcp(host, "postgres") + query;
    assert!(!by_tls(&at("localhost", "?sslmode=disable")).unwrap());
    let accepted = [
        "?sslmode=prefer".to_owned(),
        "?sslmode=require".to_owned(),
        "?sslmode=require&channel_binding=require".to_owned(),
        format!("?sslmode=verify-full&sslrootcert={root}"),
        format!("?sslrootcert={root}"),
    ];
    for query in accepted {
        assert!(by_tls(&at("localhost", &query)).unwrap(), "{query}");
    }
    let refused = [
        ("localhost", "?sslmode=verify-full".to_owned()),
        (
            "localhost",
            format!("?sslmode=verify-full&sslrootcert={wrong}"),
        ),
        ("localhost", format!("?sslmode=require&sslrootcert={wrong}")),
        // The certificate is not for this name.
        (
            "127.0.0.1",
            format!("?sslmode=verify-full&sslrootcert={root}"),
        ),
    ];
    for (host, query) in refused {
        let line = refusal(&at(host, &query));
        assert!(line.contains("no TLS with PostgreSQL"), "{line}");
    }
    let line = refusal(&at("localhost", "?sslrootcert=/nowhere.pem"));
    assert!(line.contains("/nowhere.pem cannot be used"), "{line}");
}

#[test]
fn who_is_not_let_in_is_told_why_and_no_password() {
    let server = Cluster::start(&[]);
    let port = server.port;
    let line = refusal(&format!(
        "postgres://{USER}:wrong-{PASSWORD}@127.0.0.1:{port}/postgres"
    ));
    assert!(line.contains("refused the password"), "{line}");
    let line = refusal(&format!("postgres://{USER}@127.0.0.1:{port}/postgres"));
    assert!(line.contains("password missing"), "{line}");
    let line = refusal(&server.url_by_tcp("127.0.0.1", "nowhere"));
    assert!(line.contains("has no database"), "{line}");
    run(&server.url("postgres"), "CREATE ROLE outsider").unwrap();
    let line = refusal(&format!(
        "postgres://outsider:{PASSWORD}@127.0.0.1:{port}/postgres"
    ));
    assert!(line.contains("SQLSTATE 28"), "{line}");
    server.stop();
    let gone = by_tls(&server.url_by_tcp("127.0.0.1", "postgres")).unwrap_err();
    assert!(matches!(gone, LedgerError::Unavailable(_)), "{gone:?}");
    assert!(!format!("{gone:?}").contains(PASSWORD), "{gone:?}");
    // The server was never told a password in a place that it logs.
    assert!(!server.log().contains(PASSWORD), "{}", server.log());
}
