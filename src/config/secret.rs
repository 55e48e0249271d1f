//! Where a secret is kept, and all secrets read from there.
//!
//! A reference is what the configuration file holds; it is not a secret. The
//! secrets live only in [`Secrets`], which never prints them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use toml::Value;

use super::{ConfigError, Env};

/// The largest secret file, in bytes: a key set of some dozen public keys fits.
const SECRET_FILE_MAX_BYTES: u64 = 65_536;

/// The shortest token that opens the admin listener, in characters: 16 random
/// ones cannot be guessed within the limit on failed sign-ins.
pub const TOKEN_MIN_CHARS: usize = 16;

/// Where a secret is kept: an environment variable or a file.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretRef {
    /// `{ env = "NAME" }`
    Env(String),
    /// `{ file = "PATH" }`, relative to the working directory.
    File(PathBuf),
}

const HOW: &str =
    "a secret is never written here: use { env = \"NAME\" } or { file = \"/path/to/it\" }";

impl SecretRef {
    /// Reads a value that has the shape of a reference, without quoting it in
    /// the error.
    pub(super) fn of(value: &Value) -> Result<SecretRef, &'static str> {
        let table = value.as_table().filter(|t| t.len() == 1).ok_or(HOW)?;
        match table.iter().next() {
            Some((key, Value::String(name))) if key == "env" && !name.is_empty() => {
                Ok(SecretRef::Env(name.clone()))
            }
            Some((key, Value::String(path))) if key == "file" && !path.is_empty() => {
                Ok(SecretRef::File(PathBuf::from(path)))
            }
            _ => Err(HOW),
        }
    }

    /// Reads the secret. The error tells what went wrong; the caller knows
    /// which key it is about.
    pub(super) fn resolve(&self, env: &Env) -> Result<SecretString, String> {
        match self {
            SecretRef::Env(name) => {
                env.text(name)
                    .map(SecretString::from)
                    .ok_or_else(|| match self.looks_harmless() {
                        true => format!("the environment variable {name} is not set or empty"),
                        false => "the environment variable it names is not set or empty".to_owned(),
                    })
            }
            SecretRef::File(path) => {
                let text = read_file(path).map_err(|e| format!("cannot read its file: {e}"))?;
                match text.trim_end_matches(['\r', '\n']) {
                    "" => Err("its file is empty".to_owned()),
                    secret => Ok(SecretString::from(secret)),
                }
            }
        }
    }

    /// Whether the reference may be shown although nothing was found there:
    /// somebody may have written the secret itself where its name belongs.
    pub(super) fn looks_harmless(&self) -> bool {
        match self {
            SecretRef::Env(name) => name
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'),
            SecretRef::File(_) => false,
        }
    }
}

fn read_file(path: &PathBuf) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(path)?
        .take(SECRET_FILE_MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    match u64::try_from(read) {
        Ok(n) if n <= SECRET_FILE_MAX_BYTES => Ok(text),
        _ => Err(std::io::Error::other("larger than 64 KiB")),
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretRef::Env(name) if self.looks_harmless() => write!(f, "env {name}"),
            SecretRef::Env(_) => f.write_str("env"),
            SecretRef::File(_) => f.write_str("file"),
        }
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SecretRef, D::Error> {
        SecretRef::of(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// All secrets of a configuration, read at one moment.
#[derive(Debug, Default)]
pub struct Secrets {
    pub(super) sources: BTreeMap<String, Vec<SecretString>>,
    pub(super) settings: BTreeMap<String, SecretString>,
    pub(super) apis: BTreeMap<String, SecretString>,
    pub(super) destinations: BTreeMap<String, Credentials>,
    pub(super) tokens: Vec<SecretString>,
}

/// The two keys of a destination.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The public key, which is the user name of the API's basic authentication.
    pub public_key: SecretString,
    /// The secret key, its password.
    pub secret_key: SecretString,
}

impl Secrets {
    /// The secrets that a source's deliveries are verified with, in the order
    /// of the file; empty for an unknown source, and no secret means no.
    #[must_use]
    pub fn source(&self, name: &str) -> &[SecretString] {
        self.sources.get(name).map_or(&[], Vec::as_slice)
    }

    /// The key to the API of a source's provider, where one is configured.
    #[must_use]
    pub fn api(&self, source: &str) -> Option<&SecretString> {
        self.apis.get(source)
    }

    /// The secret that a provider's own setting of a source refers to. A nested
    /// one is named by its dotted path.
    #[must_use]
    pub fn setting(&self, source: &str, key: &str) -> Option<&SecretString> {
        self.settings.get(&format!("{source}.{key}"))
    }

    /// The keys of a destination.
    #[must_use]
    pub fn destination(&self, name: &str) -> Option<&Credentials> {
        self.destinations.get(name)
    }

    /// The values of `http.tokens`, in the order of the file.
    #[must_use]
    pub fn tokens(&self) -> &[SecretString] {
        &self.tokens
    }
}

/// A token has to be long enough not to be guessed and has to fit a header.
pub(super) fn check_token(
    key: &str,
    value: &SecretString,
    before: &[SecretString],
) -> Result<(), ConfigError> {
    let text = value.expose_secret();
    if text.len() < TOKEN_MIN_CHARS {
        return Err(ConfigError::at(
            key,
            format!("must have at least {TOKEN_MIN_CHARS} characters"),
        ));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ConfigError::at(
            key,
            "must be letters, digits and signs of ASCII without spaces",
        ));
    }
    if before.iter().any(|other| other.expose_secret() == text) {
        return Err(ConfigError::at(
            key,
            "is the same value as another token's, so nobody could tell who called",
        ));
    }
    Ok(())
}
