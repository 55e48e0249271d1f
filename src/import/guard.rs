//! The guard against formulas: an apostrophe before a cell that a spreadsheet
//! would otherwise calculate.
//!
//! Whoever writes a file guards, whoever reads it takes one guard away, and both
//! ways are here so that they stay each other's reverse.

use std::borrow::Cow;

/// What makes a spreadsheet take a cell for a formula, where it comes first.
/// Source: OWASP, "CSV Injection".
fn begins_formula(text: &str) -> bool {
    let text = text.trim_start_matches('\'');
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// `text` as it is written to a file.
#[must_use]
pub fn guarded(text: &str) -> Cow<'_, str> {
    match begins_formula(text) {
        true => Cow::Owned(format!("'{text}")),
        false => Cow::Borrowed(text),
    }
}

/// `text` as it was before it was written to a file: without exactly one guard.
#[must_use]
pub fn unguarded(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.starts_with('\'') || !begins_formula(&text) {
        return text;
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix('\'').unwrap_or(text)),
        Cow::Owned(text) => Cow::Owned(text.chars().skip(1).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_taken_away_once() {
        for text in [
            "=1", "'=1", "''-x", "+46", "@me", "\tx", "'", "o'neill", "", "'x",
        ] {
            let written = guarded(text);
            assert_eq!(unguarded(written.clone()), text, "{written}");
            let owned = Cow::Owned(written.into_owned());
            assert_eq!(unguarded(owned), text);
        }
        assert_eq!(guarded("=1+1"), "'=1+1");
        assert_eq!(unguarded(Cow::Borrowed("=1")), "=1");
        assert_eq!(unguarded(Cow::Borrowed("'abc")), "'abc");
    }
}
