//! What a statement is given, or a column holds: the same for either store. This
//! builds no SQL and knows no table.

/// A value. Money is never anything but an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Nothing.
    Null,
    /// Nothing, where a value of this kind might have been: what an empty parameter
    /// is, so that a statement means the same whichever of its values is empty first.
    #[cfg_attr(not(test), expect(dead_code, reason = "the verbs do not say it yet"))]
    Absent(Kind),
    /// Also a truth: 0 or 1.
    Int(i64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

/// What a value is, where it is something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "the verbs do not say it yet"))]
pub(super) enum Kind {
    /// An integer or a truth.
    Int,
    /// Text.
    Text,
    /// Bytes.
    Blob,
}
