//! `COVERAGE.md` against the list of rows and against the sources: each row stands there once, with tests that exist or
//! with the reason why there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The rows of the groups that concern what exists, by group, as ranges.
const ROWS: &[(char, &[(u32, u32)])] = &[
    ('H', &[(1, 25), (30, 34), (40, 42), (45, 46), (50, 52), (60, 67)]),
    ('R', &[(1, 16)]),
    ('V', &[(1, 23), (50, 50)]),
    ('A', &[(1, 13)]),
    ('I', &[(1, 9), (20, 24), (27, 27), (31, 31), (40, 41)]),
    ('W', &[(1, 10), (20, 28), (60, 60)]),
    ('C', &[(1, 11), (20, 20), (25, 25), (30, 31), (40, 42)]),
    ('P', &[(1, 29)]),
    ('S', &[(1, 17)]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli lies in the workspace").to_owned()
}

/// The second column of each row by its first.
fn table() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("tests/COVERAGE.md")).unwrap();
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| row")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, tests] = cells[..] else { panic!("two cells: {line}") };
        assert_eq!(rows.insert(id.to_owned(), tests.to_owned()), None, "{id} stands there twice");
    }
    rows
}

#[test]
fn every_row_is_there_once() {
    let wanted: BTreeSet<String> = ROWS
        .iter()
        .flat_map(|(group, ranges)| {
            ranges
                .iter()
                .flat_map(move |(from, until)| (*from..=*until).map(move |number| format!("{group}{number:02}")))
        })
        .collect();
    let listed: BTreeSet<String> = table().into_keys().collect();
    let missing: Vec<_> = wanted.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&wanted).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:?}; unknown: {unknown:?}");
}

#[test]
fn every_test_that_is_named_exists() {
    let mut wrong = Vec::new();
    for (id, cell) in table() {
        // What stands in code and has a slash is a file; commands and names of errors have none.
        let named: Vec<_> = cell.split('`').skip(1).step_by(2).filter(|name| name.contains('/')).collect();
        if named.is_empty() && !cell.starts_with("not covered: ") {
            wrong.push(format!("{id}: names no test and gives no reason"));
        }
        for name in named {
            if !exists(name) {
                wrong.push(format!("{id}: there is no `{name}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `path/of/file.rs::function`, or a file that is itself run.
fn exists(name: &str) -> bool {
    let (file, function) = name.split_once("::").unwrap_or((name, ""));
    let Ok(text) = std::fs::read_to_string(root().join(file)) else { return false };
    function.is_empty() || ["fn ", "async fn "].iter().any(|word| text.contains(&format!("{word}{function}(")))
}

/// Every id in a file of cases is a row of the list.
#[test]
fn the_cases_name_rows() {
    let known = table();
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(root().join("tests/cases")).unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("id = ")) {
            if !known.contains_key(line.trim_matches('"')) {
                wrong.push(format!("{}: {line}", entry.path().display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
