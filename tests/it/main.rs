//! The integration tests, one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test that cannot go on must stop"
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
