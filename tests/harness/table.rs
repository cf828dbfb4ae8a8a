//! Cases as data: files in `tests/cases`, each row named by its id in the list of attack cases.

use serde::de::DeserializeOwned;

/// The rows of one file. A field that no row may have is an error.
#[track_caller]
pub(crate) fn rows<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let path = format!("{}/../tests/cases/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut table: std::collections::BTreeMap<String, Vec<T>> =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    table.remove("case").unwrap_or_else(|| panic!("{path} has no [[case]]"))
}

/// Fails the test with every row that failed, not with the first alone.
#[track_caller]
pub(crate) fn all_right(rows: usize, wrong: &[String]) {
    assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
}
