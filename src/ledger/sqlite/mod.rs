//! The ledger in one SQLite file, below the verbs: opening, locking and migrating it,
//! and what its errors mean.
//!
//! WAL and `synchronous = FULL`: what was answered with 200 survives a power cut.
//! Nothing here knows a verb.

pub(super) mod checkpoint;
mod errors;
pub(super) mod schema;

pub(super) use errors::classify;
