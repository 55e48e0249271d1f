//! The integration tests, one binary.

mod bench;
mod ledger;
