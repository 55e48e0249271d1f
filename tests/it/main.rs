//! The integration tests, one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    missing_docs,
    reason = "a test tells one story in one piece and stops at the first surprise"
)]

mod bench;
mod binary;
mod books;
mod browser;
mod cli;
mod cluster;
mod commission;
mod copy;
mod crash;
mod csv;
mod days;
mod disk;
mod fleet;
mod forward;
mod golden;
mod import;
mod inquire;
mod intake;
mod keyset;
mod ledger;
mod lists;
mod mirror;
mod mutants;
mod openapi;
mod orders;
mod outage;
mod page;
mod power;
mod reconcile;
mod recorded;
mod recurly;
mod replicas;
mod report;
mod restore;
mod robust;
mod rows;
mod same_money;
mod segments;
mod sim;
mod tale;
mod texts;
mod tidy;
mod together;
mod upgrade;
mod values;
mod world;
