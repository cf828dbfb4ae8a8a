//! What the server says against a statement, in the caller's terms. The SQLSTATE is the failure's code.

use kv_sdk::{Failure, FailureKind, SqlError};

use crate::statements::{EXPLAIN, EXPLAIN_ANALYZE};

pub(crate) fn failure(error: &SqlError) -> Failure {
    let mut message = error.message.clone();
    if let Some(place) = error.excerpt() {
        let own_lines = [EXPLAIN, EXPLAIN_ANALYZE].iter().any(|text| error.statement.starts_with(text));
        let line = place.line.saturating_sub(usize::from(own_lines)).max(1);
        message.push_str(&format!(" (line {line}, character {})\n{place}", place.column));
    }
    if let Some(hint) = hint(&error.code) {
        message.push_str(&format!("\n{hint}"));
    }
    Failure::new(kind(&error.code), message).code(&error.code)
}

/// By the code where it stands out from its class, else by its class: the first two characters.
fn kind(code: &str) -> FailureKind {
    match code {
        "42501" => FailureKind::Forbidden,
        "42P01" | "3D000" | "3F000" => FailureKind::NotFound,
        "42P03" | "42P04" | "42P06" | "42P07" | "42710" | "42723" => FailureKind::Conflict,
        // A statement that writes where only reading is allowed: another operation's.
        "25006" => FailureKind::InvalidInput,
        "57014" => FailureKind::Upstream,
        _ => match code.get(..2).unwrap_or_default() {
            // Data, syntax, and what the server cannot do for this statement.
            "0A" | "21" | "22" | "42" | "54" => FailureKind::InvalidInput,
            "28" => FailureKind::Unauthorized,
            // Constraints, dependent objects, serialization and deadlocks, objects in use.
            "23" | "2B" | "40" | "44" | "55" => FailureKind::Conflict,
            "08" | "53" | "57" => FailureKind::Unavailable,
            _ => FailureKind::Upstream,
        },
    }
}

/// What would be right, where the message alone does not say it.
fn hint(code: &str) -> Option<&'static str> {
    match code {
        "25006" => Some("this operation only reads; `execute` changes things"),
        "40001" | "40P01" => Some("nothing was changed; the same statement may succeed when it is sent again"),
        "42P01" => Some("`tables` lists the tables there are"),
        "42703" => Some("`describe` lists a table's columns"),
        "57014" => Some("the statement took too long or was cancelled; a narrower one takes less"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        for (code, kind) in [
            ("42601", FailureKind::InvalidInput),
            ("42703", FailureKind::InvalidInput),
            ("22P02", FailureKind::InvalidInput),
            ("42501", FailureKind::Forbidden),
            ("42P01", FailureKind::NotFound),
            ("42P07", FailureKind::Conflict),
            ("23505", FailureKind::Conflict),
            ("40P01", FailureKind::Conflict),
            ("55P03", FailureKind::Conflict),
            ("28P01", FailureKind::Unauthorized),
            ("53300", FailureKind::Unavailable),
            ("57P01", FailureKind::Unavailable),
            ("57014", FailureKind::Upstream),
            ("XX000", FailureKind::Upstream),
            ("", FailureKind::Upstream),
            ("é", FailureKind::Upstream),
        ] {
            let failure = failure(&SqlError::new(code, "no", None));
            assert_eq!((failure.kind, failure.code.as_deref()), (kind, Some(code)), "{code}");
        }
    }
}
