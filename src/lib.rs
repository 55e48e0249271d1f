//! Tributary: every payment counted once, to the cent, for the partner who
//! earned it.
//!
//! `ARCHITECTURE.md` shows how the modules fit together.

pub mod money;
pub mod movement;
pub mod provider;
pub mod time;
