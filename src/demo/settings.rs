//! The configuration that the demo writes for itself.

use std::path::Path;

use anyhow::Context as _;

use super::{PLAYERS, Player, Proof};
use crate::time::Time;

/// The configuration of a demo: every player a source.
pub(super) fn configuration(
    folder: &Path,
    (sandbox_at, answers_at): (&str, &str),
    forward_from: Time,
) -> anyhow::Result<String> {
    let file = |name: &str| {
        let path = toml::Value::String(folder.join(name).display().to_string());
        format!("{{ file = {path} }}")
    };
    let source = |player: &Player| {
        let verified_with = match player.proof {
            Proof::Pair { .. } => player.source,
            Proof::Shared | Proof::PathToken => "webhook",
        };
        let api = match player.asked {
            true => format!(
                "[sources.{name}.api]\nbase_url = \"http://{answers_at}/{name}\"\n\
                 key = {key}\nrequests_per_minute = 6000\n",
                name = player.source,
                key = file("secret"),
            ),
            false => String::new(),
        };
        format!(
            "[sources.{name}]\nprovider = \"{name}\"\ndestination = \"sandbox\"\n\
             secrets = [{webhook}]\nforward_from = \"{forward_from}\"\n{more}{api}",
            name = player.source,
            webhook = file(verified_with),
            more = player.settings,
        )
    };
    let sources: String = PLAYERS.iter().map(source).collect();
    Ok(format!(
        "[ledger]\nurl = {ledger}\n\
         [http]\npublic = \"127.0.0.1:{public}\"\nadmin = \"127.0.0.1:{admin}\"\n\
         tokens = [{{ name = \"demo\", role = \"operator\", token = {token} }}]\n\
         [destinations.sandbox]\nbase_url = \"http://{sandbox_at}\"\npublic_key = {public_key}\n\
         secret_key = {secret_key}\nrequests_per_second = 100\nburst = 10\nmax_in_flight = 8\n\
         timeout_seconds = 5\nconfirm_after_seconds = 1\nmirror_every_minutes = 1\n\
         {sources}",
        ledger = toml::Value::String(format!("sqlite:{}", folder.join("demo.db").display())),
        public = free_port()?,
        admin = free_port()?,
        token = file("token"),
        public_key = file("public"),
        secret_key = file("secret"),
    ))
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

/// Writes a secret to where the configuration finds it.
pub(super) fn write_secret(folder: &Path, name: &str, secret: &str) -> anyhow::Result<()> {
    std::fs::write(folder.join(name), secret).context("the temporary folder cannot be written")
}
