//! Files of old payments.

pub mod guard;
pub mod progress;
pub mod report;
pub mod row;
pub mod run;
pub mod settings;
pub mod view;
