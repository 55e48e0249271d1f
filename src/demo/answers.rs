//! The providers' own APIs in the demo: they answer what the script put there,
//! to whoever brings the key. Real ones are asked only by people with accounts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;

/// What the APIs answer, by the source, the path and its query.
#[derive(Clone, Default)]
pub(super) struct Answers(Arc<Mutex<BTreeMap<String, String>>>);

impl Answers {
    /// From now on this is the answer.
    pub fn put(&self, source: &str, path: &str, answer: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(format!("/{source}{path}"), answer.to_owned());
    }

    fn at(&self, uri: &Uri) -> Option<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = uri.path_and_query()?.as_str();
        all.get(asked).cloned()
    }

    /// Answers on loopback until stopped; says where.
    pub async fn serve(&self, stop: CancellationToken) -> anyhow::Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let at = listener.local_addr()?.to_string();
        let routes = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move {
            let served = axum::serve(listener, routes);
            let _ = served.with_graceful_shutdown(stop.cancelled_owned()).await;
        });
        Ok(at)
    }
}

async fn answer(State(answers): State<Answers>, uri: Uri) -> Response {
    match answers.at(&uri) {
        Some(answer) => ([("content-type", "application/json")], answer).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
