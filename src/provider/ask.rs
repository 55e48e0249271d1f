//! What a provider's API can be asked, as plain statements: paths, headers and
//! how the key is shown. Nothing here sends anything; `inquire` does.
//!
//! Every part of a request comes from the code and the configuration. Of what a
//! document says only ids get into it, each as one percent-encoded segment.

use crate::call;

/// Where a provider's API is, how it is asked and what it can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Scheme and host where the configuration names none; `None` where the
    /// provider's own documentation names none either.
    pub base_url: Option<&'static str>,
    /// How the key proves who asks.
    pub auth: Auth,
    /// Headers that every request carries, none of them secret.
    pub headers: Vec<(&'static str, String)>,
    /// The header that names a connected account, where there is one.
    pub account_header: Option<&'static str>,
    /// What can be asked for.
    pub kinds: Vec<Kind>,
}

/// How a request shows the key of `[sources.NAME.api]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// HTTP Basic with the key as the user and no password.
    BasicUser,
    /// HTTP Basic with the key as it stands, which is `user:password`.
    Basic,
    /// A header of its own that holds the key and nothing else.
    Header(&'static str),
    /// OAuth 2 client credentials (RFC 6749, section 4.4): the key is
    /// `user:password`, a token is fetched from this path and used until it ends.
    ClientCredentials {
        /// The path of the token endpoint.
        path: String,
        /// The scope to ask for, where one is configured.
        scope: Option<String>,
    },
}

/// One kind of inquiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name, as [`crate::movement::Inquiry::kind`] says it.
    pub kind: &'static str,
    /// The path and query with `{id}` where the id belongs.
    pub path: String,
    /// A JSON body with `{id}` where the id belongs, inside quotes: the request
    /// is a POST then, else a GET.
    pub body: Option<&'static str>,
}

impl Kind {
    /// A question by GET.
    #[must_use]
    pub fn at(kind: &'static str, path: impl Into<String>) -> Kind {
        Kind {
            kind,
            path: path.into(),
            body: None,
        }
    }

    /// The path and the body of the question about `id`; `None` where the id
    /// cannot be one segment of a path.
    #[must_use]
    pub fn about(&self, id: &str) -> Option<(String, Option<String>)> {
        if id.len() > ID_MOST_BYTES {
            return None;
        }
        let path = self.path.replace("{id}", &call::segment(id)?);
        let body = self.body.map(|body| {
            let quoted = serde_json::Value::from(id).to_string();
            // The quotes around it stand in the template; those inside it do not end it.
            let inner = quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
            body.replace("{id}", inner.unwrap_or_default())
        });
        Some((path, body))
    }
}

/// The longest id that is asked for, in bytes.
const ID_MOST_BYTES: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_segment_and_no_more() {
        let kind = Kind::at("charge", "/v1/charges/{id}?limit=1");
        let path = |id: &str| kind.about(id).map(|(path, _)| path);
        assert_eq!(path("ch_1").as_deref(), Some("/v1/charges/ch_1?limit=1"));
        assert_eq!(
            path("../x?y#z%2f").as_deref(),
            Some("/v1/charges/..%2Fx%3Fy%23z%252f?limit=1")
        );
        for id in ["", ".", "..", &"x".repeat(256)] {
            assert_eq!(path(id), None, "{id}");
        }
    }

    #[test]
    fn an_id_stays_inside_its_quotes() {
        let kind = Kind {
            body: Some(r#"{"ids":["{id}"]}"#),
            ..Kind::at("transaction", "/search")
        };
        for id in [r#"a"],"all":["b"#, "\"", "\"\"x\"", "\\"] {
            let (_, body) = kind.about(id).unwrap_or_default();
            let read: serde_json::Value = serde_json::from_str(&body.unwrap_or_default()).unwrap();
            assert_eq!(read["ids"][0], id);
            assert_eq!(read.as_object().map(serde_json::Map::len), Some(1));
        }
    }
}
