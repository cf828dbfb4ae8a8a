//! Every guest in `tests/hostile`, and what must come of it. A file without an entry here fails the test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::guest::{self, Lines, call};
use kv_model::{Delivery, Failure, FailureKind, Step};
use kv_runtime::{Budget, LoadError, LogLevel, Runtime, StepError};

/// What must come of a guest.
enum Must {
    /// Not become a provider, for this reason.
    Load(fn(&LoadError) -> bool),
    /// Load, and end so.
    End(fn(&StepError) -> bool),
    /// Load, and answer null.
    Null,
    /// Load, and send with this delivery.
    Send(fn(&Delivery) -> bool),
}
use Must::{End, Load, Null, Send};

/// A core module, to be made a provider.
const GUESTS: &[(&str, Must)] = &[
    ("answer_of_no_case", End(trap)),
    ("answer_out_of_bounds", End(trap)),
    ("answer_unaligned", End(trap)),
    ("call_of_a_wrong_type", End(trap)),
    ("canary_left", Null),
    ("canary_sought", Null),
    ("data_beyond_memory", End(trap)),
    ("deep_recursion", End(|e| matches!(e, StepError::Trap(text) if text == "call stack exhausted"))),
    ("delay_of_a_day", End(malformed)),
    ("divide_by_zero", End(trap)),
    ("failure_that_lies", End(|e| matches!(e, StepError::Failure(failure) if *failure == plain_failure()))),
    ("fill_forever", End(StepError::wants_full_budget)),
    ("grow_refused_is_survived", Null),
    ("grow_to_4_gib", End(memory)),
    ("headers_of_33", End(malformed)),
    ("invalid_utf8", End(trap)),
    ("log_a_hundred_and_one", Null),
    ("log_escapes", End(trap)),
    ("log_flood", End(fuel)),
    ("log_huge_line", End(transfer)),
    ("log_level_out_of_range", End(trap)),
    ("log_long_lines", End(StepError::wants_full_budget)),
    ("log_within_post_return", End(trap)),
    ("log_within_realloc", End(trap)),
    ("loop_in_export", End(fuel)),
    ("loop_in_post_return", End(fuel)),
    ("loop_in_realloc", End(fuel)),
    ("loop_in_start", End(fuel)),
    ("memories_together", End(memory)),
    ("memory64", Load(|e| matches!(e, LoadError::Invalid(_)))),
    ("memory_of_4_gib", Load(|e| matches!(e, LoadError::Compile(_)))),
    ("nine_memories", Load(|e| matches!(e, LoadError::Compile(_)))),
    ("option_unknown", End(|e| matches!(e, StepError::UnknownOption(name) if name == "skip-policy"))),
    ("path_of_2_31", End(trap)),
    ("query_of_100000", End(malformed)),
    ("read_out_of_bounds", End(trap)),
    ("realloc_out_of_bounds", End(trap)),
    ("result_not_json", End(malformed)),
    ("result_of_128_mib", End(trap)),
    ("result_of_20_mib", End(transfer)),
    ("result_of_5_mib", End(malformed)),
    ("result_too_deep", End(malformed)),
    ("state_of_2_mib", End(malformed)),
    ("summary_of_combining_marks", Send(|how| how.summary == "e\u{301}\u{301}\u{301}")),
    ("summary_that_lies", Send(|how| how.summary == "pay 00.1 EUR  [approved by you] [8mto mallory[0m!")),
    ("surrogate", End(trap)),
    ("table_bomb", End(memory)),
    ("table_of_a_billion", Load(|e| matches!(e, LoadError::Compile(_)))),
    ("unreachable", End(trap)),
];

/// A whole file, as it is, with a manifest.
const FILES: &[(&str, Must)] = &[
    ("core_module", Load(|e| matches!(e, LoadError::NotAComponent))),
    ("export_of_a_later_version", Load(|e| exports(e, "kv:provider/http@0.2.0"))),
    ("export_of_a_wrong_type", Load(|e| matches!(e, LoadError::WrongTypes(_)))),
    ("export_without_functions", Load(|e| matches!(e, LoadError::WrongTypes(_)))),
    ("import_clock", Load(|e| foreign(e, "wasi:clocks/wall-clock@0.2.0"))),
    ("import_environment", Load(|e| foreign(e, "wasi:cli/environment@0.2.0"))),
    ("import_files", Load(|e| foreign(e, "wasi:filesystem/preopens@0.2.0"))),
    ("import_function", Load(|e| foreign(e, "read-secret"))),
    ("import_http", Load(|e| foreign(e, "wasi:http/outgoing-handler@0.2.0"))),
    ("import_log_as_function", Load(|e| matches!(e, LoadError::WrongTypes(_)))),
    ("import_newer_log", Load(|e| foreign(e, "kv:provider/log@0.2.0"))),
    ("import_of_another_package", Load(|e| foreign(e, "acme:provider/log@0.1.0"))),
    ("import_random", Load(|e| foreign(e, "wasi:random/random@0.2.0"))),
    ("import_sockets", Load(|e| foreign(e, "wasi:sockets/tcp@0.2.0"))),
    ("manifest_within_a_module", Load(|e| matches!(e, LoadError::NestedManifest))),
    ("nested_too_deep", Load(|e| matches!(e, LoadError::Bound { what: "levels of nesting", .. }))),
    ("no_exports", Load(|e| matches!(e, LoadError::WrongExports { .. }))),
    ("sixty_five_components", Load(|e| matches!(e, LoadError::Bound { what: "nested components", .. }))),
    ("hundred_instances", Load(|e| matches!(e, LoadError::Compile(_)))),
];

fn trap(error: &StepError) -> bool {
    matches!(error, StepError::Trap(text) if text.len() <= 1000 && !text.contains(|c: char| c.is_control()))
}

fn fuel(error: &StepError) -> bool {
    matches!(error, StepError::OutOfFuel)
}

fn memory(error: &StepError) -> bool {
    matches!(error, StepError::Memory)
}

fn transfer(error: &StepError) -> bool {
    matches!(error, StepError::Transfer)
}

fn malformed(error: &StepError) -> bool {
    matches!(error, StepError::Malformed(_))
}

fn foreign(error: &LoadError, import: &str) -> bool {
    matches!(error, LoadError::ForeignImport(name) if name == import)
}

fn exports(error: &LoadError, export: &str) -> bool {
    matches!(error, LoadError::WrongExports { exports, .. } if exports == &[export])
}

fn plain_failure() -> Failure {
    Failure {
        kind: FailureKind::NotFound,
        message: "[31mno such\n  | thing[0m".into(),
        field: None,
        code: None,
        retry_after_ms: Some(86_400_000),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/hostile")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(folder().join(name).with_extension("wat")).unwrap()
}

/// A file as it is, with a manifest where it is a component.
fn file(name: &str) -> Vec<u8> {
    let file = wat::parse_str(text(name)).unwrap();
    if file[4..8] == [1, 0, 0, 0] { file } else { guest::with_manifest(file) }
}

/// The longest that a step may take, full budget and a busy test machine included.
const LONGEST: Duration = Duration::from_secs(5);

/// What else came of a guest than what must.
fn check(runtime: &Runtime, component: &[u8], must: &Must) -> Option<String> {
    let begin = Instant::now();
    let loaded = runtime.load(component);
    if begin.elapsed() > LONGEST {
        return Some(format!("loading took {:?}", begin.elapsed()));
    }
    let provider = match (loaded, must) {
        (Err(error), Load(wanted)) => return (!wanted(&error)).then(|| format!("{error:?}")),
        (Err(error), _) => return Some(format!("it did not load: {error}")),
        (Ok(_), Load(_)) => return Some("it loaded".into()),
        (Ok(provider), _) => provider,
    };
    for budget in [Budget::Inline, Budget::Full] {
        let begin = Instant::now();
        let outcome = provider.start(&call(), budget);
        if begin.elapsed() > LONGEST {
            return Some(format!("the step took {:?}", begin.elapsed()));
        }
        // Where the small budget does not reach, the large one has the word.
        if budget == Budget::Inline && outcome.as_ref().is_err_and(StepError::wants_full_budget) {
            continue;
        }
        match (&outcome, must) {
            (Err(error), End(wanted)) if wanted(error) => {}
            (Ok(Step::Done(result)), Null) if result == "null" => {}
            (Ok(Step::Send { delivery, .. }), Send(wanted)) if wanted(delivery) => {}
            _ => return Some(format!("under {budget:?}: {outcome:?}")),
        }
    }
    None
}

#[test]
fn every_guest_comes_to_what_it_must() {
    let runtime = Runtime::new().unwrap();
    let guests = GUESTS.iter().map(|(name, must)| (name, must, guest::provider(&text(name))));
    let files = FILES.iter().map(|(name, must)| (name, must, file(name)));
    let wrong: Vec<_> = guests
        .chain(files)
        .filter_map(|(name, must, component)| Some((name, check(&runtime, &component, must)?)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_has_an_entry_and_says_what_it_is_about() {
    let entries: BTreeSet<String> = GUESTS.iter().chain(FILES).map(|(name, _)| format!("{name}.wat")).collect();
    let files: BTreeSet<String> =
        std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, entries);
    for name in files {
        let text = text(&name);
        assert!(text.starts_with(";; W") && text.contains("\n;; Must: "), "{name}");
    }
}

fn lines_of(name: &str, budget: Budget) -> Vec<(LogLevel, String)> {
    let lines = Lines::default();
    let runtime = Runtime::with_log(lines.sink()).unwrap();
    let provider = runtime.load(&guest::provider(&text(name))).unwrap();
    let _ = provider.start(&call(), budget);
    lines.take()
}

#[test]
fn lines_are_few_short_and_plain() {
    let flood = lines_of("log_flood", Budget::Full);
    assert_eq!(flood.len(), 101);
    assert_eq!(flood[0], (LogLevel::Info, "null".into()));
    assert!(flood[100].0 == LogLevel::Warn && flood[100].1.contains("more lines were dropped"), "{:?}", flood[100]);
    assert_eq!(
        lines_of("log_a_hundred_and_one", Budget::Inline)[100].1,
        "1 more lines were dropped: a step may write 100"
    );

    let long = lines_of("log_long_lines", Budget::Full);
    assert!(!long.is_empty() && long.len() < 20, "{}", long.len());
    assert!(long.iter().all(|(_, text)| text.len() <= 4096));

    assert_eq!(lines_of("log_huge_line", Budget::Full), []);
    assert_eq!(lines_of("log_escapes", Budget::Full), [(LogLevel::Error, "]0;owned[2Jok  ERROR forged 001$!".into())]);
}

#[test]
fn a_step_that_will_be_repeated_says_nothing() {
    assert_eq!(lines_of("log_flood", Budget::Inline), []);
}

#[test]
fn nothing_is_left_in_a_slot() {
    let runtime = Runtime::new().unwrap();
    let left = runtime.load(&guest::provider(&text("canary_left"))).unwrap();
    let sought = runtime.load(&guest::provider(&text("canary_sought"))).unwrap();
    for round in 0..200 {
        assert!(matches!(left.start(&call(), Budget::Full), Ok(Step::Done(_))), "round {round}");
        let outcome = sought.start(&call(), Budget::Full);
        assert!(matches!(outcome, Ok(Step::Done(_))), "round {round}: {outcome:?}");
    }
}

#[test]
fn a_guest_that_runs_long_holds_nobody_up() {
    let runtime = Runtime::new().unwrap();
    let busy = runtime.load(&guest::provider(&text("loop_in_export"))).unwrap();
    let quick = runtime.load(&guest::provider(&text("canary_sought"))).unwrap();
    std::thread::scope(|scope| {
        let busy = scope.spawn(move || busy.start(&call(), Budget::Full));
        assert!(matches!(quick.start(&call(), Budget::Full), Ok(Step::Done(_))));
        assert!(fuel(&busy.join().unwrap().unwrap_err()));
    });
}
