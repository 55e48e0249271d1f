//! Tributary: every payment counted once, to the cent, for the partner who
//! earned it.
//!
//! `ARCHITECTURE.md` shows how the modules fit together.

pub mod app;
pub mod call;
pub mod circuit;
pub mod cli;
pub mod condense;
pub mod config;
pub mod day;
pub mod daybook;
pub mod demo;
pub mod destination;
pub mod export;
pub mod forward;
pub mod http;
pub mod import;
pub mod inquire;
pub mod keyset;
pub mod ledger;
pub mod log;
pub mod lookup;
pub mod metrics;
pub mod mirror;
pub mod money;
pub mod movement;
pub mod ops;
pub mod plan;
pub mod position;
pub mod provider;
pub mod readback;
pub mod reconcile;
pub mod report;
pub mod sandbox;
pub mod serve;
pub mod time;
