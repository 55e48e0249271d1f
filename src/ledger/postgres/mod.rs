//! The ledger in one PostgreSQL, below the verbs: connections, statements, values
//! and the schema.
//!
//! One [`client::Client`] is one connection for one thread, which waits for its
//! answers: as a connection of SQLite does, so that the verbs exist once. Nothing
//! here knows a verb, and nothing needs `LISTEN`, advisory locks or PL/pgSQL, so that
//! databases which speak the same protocol can take its place.

mod client;
mod errors;
mod place;
mod schema;
mod statements;
mod text;
mod tls;
mod wire;

pub(super) use client::{Client, Limits, Row};
pub(super) use place::name_of;
pub(super) use schema::{WRITER, is_there, look_at_server, migrate};

#[cfg(test)]
mod client_tests;
#[cfg(test)]
#[path = "../../../tests/it/cluster.rs"]
pub(super) mod cluster;
#[cfg(test)]
mod queue_tests;
#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tls_tests;
