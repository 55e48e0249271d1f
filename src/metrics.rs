//! stub
#![allow(missing_docs)]
pub const COMMIT_DELIVERIES: &str = "tributary_commit_deliveries";
pub const COMMIT_SECONDS: &str = "tributary_commit_seconds";
pub fn count(n: usize) -> u32 {
    n as u32
}
pub fn seconds(ms: i64) -> u32 {
    ms as u32
}
pub fn attempt(_d: &str, _c: &str, _o: &str, _ms: i64) {}
