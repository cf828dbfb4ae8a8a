//! Servers that take their time, or never stop.

use std::time::Duration;

use bytes::Bytes;

use super::{Case, Ending};
use crate::script::{Script, Step};

pub(super) fn cases() -> Vec<Case> {
    let drip = |text: &'static str| Step::SendSlowly { bytes: Bytes::from_static(text.as_bytes()), every: DRIP };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let kilobyte = "x".repeat(1024);
    vec![
        Case::new("H61", "never answers", Script::then([Step::Hang]), Ending::Breaks),
        Case::new("H61", "never reads", Script::new([Step::Rest(Duration::MAX)]), Ending::Breaks),
        Case::new(
            "H61",
            "status a byte at a time",
            Script::then([drip("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]),
            Ending::Breaks,
        ),
        Case::new(
            "H61",
            "header a byte at a time",
            Script::then([Step::send("HTTP/1.1 200 OK\r\n"), drip("x-slow: yyyyyyyyyyyyyy\r\n\r\n")]),
            Ending::Breaks,
        ),
        Case::new(
            "H61",
            "body a byte at a time",
            Script::then([
                Step::send(head),
                Step::Repeat { bytes: Bytes::from_static(b"x"), times: 1000, every: DRIP },
            ]),
            Ending::Breaks,
        ),
        Case::new(
            "H61",
            "body stops half way",
            Script::then([Step::send(head), Step::send("half"), Step::Hang]),
            Ending::Breaks,
        ),
        Case::new(
            "H61",
            "endless 100s",
            Script::then([Step::endless("HTTP/1.1 100 Continue\r\n\r\n")]),
            Ending::Breaks,
        ),
        Case::new(
            "H61",
            "endless 103s",
            Script::then([Step::endless("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")]),
            Ending::Breaks,
        ),
        Case::new(
            "H61",
            "endless headers",
            Script::then([Step::send("HTTP/1.1 200 OK\r\n"), Step::endless("x-more: and more\r\n")]),
            Ending::Breaks,
        ),
        Case::new(
            "H61",
            "endless reason",
            Script::then([Step::send("HTTP/1.1 200 "), Step::endless(kilobyte.clone())]),
            Ending::Breaks,
        ),
        Case::new(
            "H61",
            "endless chunk extension",
            Script::then([Step::send(chunked), Step::send("1;"), Step::endless(kilobyte.clone())]),
            Ending::Breaks,
        ),
        Case::new("H61", "endless chunk size", Script::then([Step::send(chunked), Step::endless("0")]), Ending::Breaks),
        Case::new(
            "H61",
            "endless trailers",
            Script::then([Step::send(chunked), Step::send("0\r\n"), Step::endless("x-more: and more\r\n")]),
            Ending::Breaks,
        ),
        Case::new(
            "H61",
            "endless body",
            Script::then([
                Step::send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
                Step::endless(kilobyte.repeat(64)),
            ]),
            Ending::Breaks,
        ),
        Case::new(
            "H61",
            "endless chunks",
            Script::then([Step::send(chunked), Step::endless(format!("400\r\n{kilobyte}\r\n"))]),
            Ending::Breaks,
        ),
        Case::new(
            "H61",
            "endless chunks of one byte",
            Script::then([Step::send(chunked), Step::endless("1\r\nx\r\n")]),
            Ending::Breaks,
        ),
        Case::new(
            "H62",
            "endless events",
            Script::then([Step::send(events), Step::endless("data: {\"x\":1}\n\n")]),
            Ending::Breaks,
        ),
        Case::new(
            "H62",
            "an event without an end",
            Script::then([Step::send(events), Step::send("data: "), Step::endless(kilobyte)]),
            Ending::Breaks,
        ),
        Case::new(
            "H62",
            "an event an hour",
            Script::then([
                Step::send(events),
                Step::Repeat { bytes: Bytes::from_static(b"data: x\n\n"), times: u64::MAX, every: HOUR },
            ]),
            Ending::Breaks,
        ),
    ]
}

/// Slower than any patience for a whole answer, quicker than an idle deadline might notice.
const DRIP: Duration = Duration::from_millis(500);
const HOUR: Duration = Duration::from_secs(3600);
