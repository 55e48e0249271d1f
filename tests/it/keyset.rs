//! Published keys in the running service: a source without a secret of its own
//! takes what the fetched keys signed, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tributary::config::{Config, Env};
use tributary::provider;
use tributary::serve::Service;
use tributary::time::{Clock, SECOND_MS};

fn configuration(folder: &std::path::Path, keys_at: &str) -> String {
    std::fs::write(folder.join("key"), "some_key_of_the_destination").unwrap();
    let key = format!(
        "{{ file = {:?} }}",
        folder.join("key").display().to_string()
    );
    let ledger = format!("sqlite:{}", folder.join("keys.db").display());
    format!(
        "[ledger]\nurl = {ledger:?}\n\
         [http]\npublic = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
         [destinations.there]\nbase_url = \"http://127.0.0.1:9\"\n\
         public_key = {key}\nsecret_key = {key}\n\
         [sources.pyng]\nprovider = \"pyng\"\ndestination = \"there\"\n\
         forward_from = \"2026-01-01T00:00:00Z\"\nscheme = \"session\"\n\
         jwks_url = \"http://{keys_at}/jwks\"\n"
    )
}

#[tokio::test]
async fn what_a_published_key_signed_is_taken() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"{x}"}}]}}"#);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys_at = listener.local_addr().unwrap().to_string();
    let routes = Router::new().route("/jwks", get(move || async move { set }));
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let folder = tempfile::tempdir().unwrap();
    let text = configuration(folder.path(), &keys_at);
    let config = Config::parse(
        folder.path().join("keys.toml"),
        &text,
        &Env::of([]),
        provider::NAMES,
    );
    let config = config.unwrap();
    config.reload_secrets().unwrap();
    let service = Service::start(Arc::new(config), Clock::Machine, None)
        .await
        .unwrap();

    let body = r#"{"data":{"checkoutSessionId":"cs-1","orderId":"o-1","status":"Completed","outcome":"Succeeded"}}"#;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/webhooks/pyng", service.public);
    let send = async |signed: &str, kid: &str| {
        let stamp = Clock::Machine.now().ms() / SECOND_MS;
        let signature = pair.sign(format!("{stamp}.{signed}").as_bytes());
        let sent = client
            .post(&url)
            .header("x-pyng-signature", STANDARD.encode(signature))
            .header("x-pyng-signature-kid", kid)
            .header("x-pyng-timestamp", stamp)
            .body(body);
        sent.send().await.unwrap().status().as_u16()
    };
    let mut answer = 0;
    for _ in 0..200 {
        answer = send(body, "k1").await;
        if answer == 200 {
            break;
        }
        assert_eq!(answer, 401, "nothing is believed before the keys are there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(answer, 200);
    assert_eq!(send("another body", "k1").await, 401);
    assert_eq!(send(body, "k2").await, 401);
    service.stop().await;
}
