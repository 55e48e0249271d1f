//! The integration tests, one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test that cannot go on must stop"
)]
#![allow(
    clippy::too_many_lines,
    reason = "a test plays one story in one piece; its length is no branching"
)]

mod bench;
mod binary;
mod cli;
mod crash;
mod forward;
mod ledger;
mod robust;
mod tidy;
mod world;
