//! H24, H30 to H33, H51, H60 to H67: every misbehaving server of the catalogue, each within its bounds of time.

use std::time::{Duration, Instant};

use kv_fakes::hostile::{Case, Ending, catalogue};
use kv_fakes::{Protocols, Scripted, ServeOptions, Sink};

use super::lab::{CANARY, Lab, Seen, all, contains, get, post, quick};

/// The code of what came of it, or the answer.
async fn play(lab: &Lab, case: &Case) -> Result<Seen, &'static str> {
    let protocols = if case.http2 { Protocols::Http2 } else { Protocols::Http1 };
    let script = case.script.clone();
    let service =
        Scripted::start_with(&lab.ca, ServeOptions { protocols, ..Scripted::options() }, move |_| script.clone())
            .unwrap();
    let connection = lab.to(&service);
    let raw =
        if case.row == "H24" || case.row == "H65" { post("/things", "x".repeat(300_000)) } else { get("/things") };
    let result = match lab.send(&connection, raw).await {
        Ok(answer) => Seen::of(answer).await.map_err(|error| error.code()),
        Err(error) => Err(error.code()),
    };
    assert!(service.request_count() <= 1, "{} {}: sent twice", case.row, case.name);
    result
}

#[tokio::test]
async fn the_catalogue() {
    let elsewhere = Sink::start().unwrap();
    let lab = Lab::new(quick());
    let limits = quick();
    let most = limits.connect + limits.total + Duration::from_secs(10);
    let cases = catalogue(&elsewhere.authority().to_string());
    let mut wrong = Vec::new();
    for group in cases.chunks(16) {
        let play = async |case: &Case| {
            let since = Instant::now();
            (play(&lab, case).await, since.elapsed())
        };
        let results = all(group.iter().map(play).collect()).await;
        for (case, (result, took)) in group.iter().zip(results) {
            let fits = match case.ending {
                Ending::Breaks if TOLERATED.contains(&case.name.as_str()) => true,
                Ending::Answers => result.is_ok(),
                Ending::Breaks => result.is_err(),
                Ending::Either => true,
            };
            let leaks = result.as_ref().is_ok_and(|seen| contains(&seen.bytes(), CANARY.as_bytes()));
            if !fits || leaks || took > most {
                let what = result.map(|seen| format!("{} and {} bytes", seen.status, seen.body.len()));
                wrong.push(format!("{} {}: {what:?} after {took:?} instead of {:?}", case.row, case.name, case.ending));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(elsewhere.hits(), 0);
}

/// The HTTP/2 library takes no notice of a request's pseudo-header on an answer; it reaches nobody.
const TOLERATED: [&str; 1] = ["request pseudo-header"];
