//! HTTP/2 servers that break its rules or exhaust its bounds. They answer stream 1, the first that a client opens.

use std::time::Duration;

use bytes::Bytes;

use super::{Case, Ending};
use crate::h2::{self, block, data, frame, headers};
use crate::script::{Script, Step};

pub(super) fn cases(elsewhere: &str) -> Vec<Case> {
    let mut cases = floods();
    cases.extend(broken());
    cases.extend(elsewhere_frames(elsewhere));
    cases
}

const OK: &[(&str, &[u8])] = &[(":status", b"200"), ("content-type", b"text/plain")];

fn after_request(steps: impl IntoIterator<Item = Step>) -> Script {
    Script::new(std::iter::once(Step::ReadHttp2).chain(steps).collect::<Vec<_>>())
}

fn frames(frames: impl IntoIterator<Item = Bytes>) -> Script {
    after_request(frames.into_iter().map(Step::Send).chain([Step::Hang]))
}

fn floods() -> Vec<Case> {
    let then_endless = |first: Vec<Bytes>, again: Bytes| {
        after_request(first.into_iter().map(Step::Send).chain([Step::endless(again)]))
    };
    let junk = block(&[("x-more", b"and more")]);
    let big = vec![b'x'; 16_000];
    // A new entry for the table, then a reference to it a thousand times.
    let mut bomb = vec![0x40, 0x01, b'b', 0x7f, 0x81, 0x1e];
    bomb.extend_from_slice(&[b'y'; 4000]);
    bomb.extend_from_slice(&[0xbe; 12_000]);
    vec![
        Case::http2(
            "continuation flood",
            then_endless(vec![frame(h2::HEADERS, 0, 1, &block(OK))], frame(h2::CONTINUATION, 0, 1, &junk)),
            Ending::Breaks,
        ),
        Case::http2(
            "empty continuation flood",
            then_endless(vec![frame(h2::HEADERS, 0, 1, &block(OK))], frame(h2::CONTINUATION, 0, 1, &[])),
            Ending::Breaks,
        ),
        Case::http2("ping flood", then_endless(vec![], h2::ping()), Ending::Breaks),
        Case::http2(
            "settings flood",
            then_endless(vec![], h2::settings(&[(h2::INITIAL_WINDOW_SIZE, 65_535)])),
            Ending::Breaks,
        ),
        Case::http2("window update flood", then_endless(vec![], h2::window_update(0, 1)), Ending::Breaks),
        Case::http2("empty data flood", then_endless(vec![headers(1, OK, false)], data(1, &[], false)), Ending::Breaks),
        Case::http2("endless data", then_endless(vec![headers(1, OK, false)], data(1, &big, false)), Ending::Breaks),
        Case::http2("unknown frames flood", then_endless(vec![], frame(0x42, 0, 0, &big)), Ending::Breaks),
        Case::http2(
            "hpack bomb",
            frames([
                frame(h2::HEADERS, 0, 1, &block(&[(":status", b"200")])),
                frame(h2::CONTINUATION, 0, 1, &bomb),
                frame(h2::CONTINUATION, h2::END_HEADERS, 1, &[0xbe; 12_000]),
                data(1, b"ok\n", true),
            ]),
            Ending::Breaks,
        ),
        Case::http2(
            "header list of 2 MiB",
            after_request(
                std::iter::once(frame(h2::HEADERS, 0, 1, &block(OK)))
                    .chain(
                        (0..128).map(|number| frame(h2::CONTINUATION, 0, 1, &block(&[(&format!("x-{number}"), &big)]))),
                    )
                    .chain([frame(h2::CONTINUATION, h2::END_HEADERS, 1, &[]), data(1, b"ok\n", true)])
                    .map(Step::Send),
            ),
            Ending::Breaks,
        ),
    ]
}

fn broken() -> Vec<Case> {
    let drip = Step::Repeat { bytes: data(1, b"x", false), times: 1000, every: Duration::from_millis(500) };
    vec![
        Case::http2("honest", frames([headers(1, OK, false), data(1, b"ok\n", true)]), Ending::Answers),
        Case::http2("never answers", after_request([Step::Hang]), Ending::Breaks),
        Case::http2("never begins", Script::new([Step::Rest(Duration::MAX)]), Ending::Breaks),
        Case::http2("reset of the stream", frames([h2::rst_stream(1, 2)]), Ending::Breaks),
        Case::http2("refused stream", frames([h2::rst_stream(1, 7)]), Ending::Breaks),
        Case::http2(
            "reset in the body",
            frames([headers(1, OK, false), data(1, b"half", false), h2::rst_stream(1, 2)]),
            Ending::Breaks,
        ),
        Case::http2(
            "goaway in the body",
            after_request([
                Step::Send(headers(1, OK, false)),
                Step::Send(data(1, b"half", false)),
                Step::Send(h2::goaway(1, 0)),
                Step::Close,
            ]),
            Ending::Breaks,
        ),
        Case::http2(
            "goaway that denies the request",
            after_request([Step::Send(h2::goaway(0, 0)), Step::Close]),
            Ending::Breaks,
        ),
        Case::http2(
            "goaway enhance your calm",
            after_request([Step::Send(h2::goaway(0, 0xb)), Step::Close]),
            Ending::Breaks,
        ),
        Case::http2(
            "closed in the body",
            after_request([Step::Send(headers(1, OK, false)), Step::Send(data(1, b"half", false)), Step::Close]),
            Ending::Breaks,
        ),
        Case::http2("connection reset", after_request([Step::Reset]), Ending::Breaks),
        Case::http2("body a byte at a time", after_request([Step::Send(headers(1, OK, false)), drip]), Ending::Breaks),
        Case::http2(
            "no streams allowed",
            Script::new([Step::Send(h2::settings(&[(h2::MAX_CONCURRENT_STREAMS, 0)])), Step::Rest(Duration::MAX)]),
            Ending::Breaks,
        ),
        Case::http2(
            "window of zero",
            Script::new([Step::Send(h2::settings(&[(h2::INITIAL_WINDOW_SIZE, 0)])), Step::Rest(Duration::MAX)]),
            Ending::Breaks,
        ),
        Case::http2("data without headers", frames([data(1, b"ok\n", true)]), Ending::Breaks),
        Case::http2(
            "status twice",
            frames([headers(1, &[(":status", b"200"), (":status", b"204")], true)]),
            Ending::Breaks,
        ),
        Case::http2("status late", frames([headers(1, &[("x-a", b"b"), (":status", b"200")], true)]), Ending::Breaks),
        Case::http2("no status", frames([headers(1, &[("x-a", b"b")], true)]), Ending::Breaks),
        Case::http2(
            "request pseudo-header",
            frames([headers(1, &[(":status", b"200"), (":path", b"/")], true)]),
            Ending::Either,
        ),
        Case::http2(
            "upper-case name",
            frames([headers(1, &[(":status", b"200"), ("X-A", b"b")], true)]),
            Ending::Breaks,
        ),
        Case::http2(
            "connection header",
            frames([headers(1, &[(":status", b"200"), ("connection", b"close")], true)]),
            Ending::Either,
        ),
        Case::http2(
            "line end in a value",
            frames([headers(1, &[(":status", b"200"), ("x-a", b"b\r\nx-c: d")], true)]),
            Ending::Breaks,
        ),
        Case::http2(
            "pseudo-header in trailers",
            frames([headers(1, OK, false), data(1, b"ok\n", false), headers(1, &[(":status", b"200")], true)]),
            Ending::Either,
        ),
        Case::http2(
            "length larger than body",
            frames([headers(1, &[(":status", b"200"), ("content-length", b"100")], false), data(1, b"ok\n", true)]),
            Ending::Breaks,
        ),
        Case::http2(
            "length smaller than body",
            frames([headers(1, &[(":status", b"200"), ("content-length", b"1")], false), data(1, b"ok\n", true)]),
            Ending::Breaks,
        ),
        Case::http2(
            "frame over the agreed size",
            frames([headers(1, OK, false), data(1, &[0; 20_000], true)]),
            Ending::Breaks,
        ),
        Case::http2(
            "answer on a stream nobody opened",
            frames([headers(3, OK, false), data(3, b"ok\n", true)]),
            Ending::Breaks,
        ),
        Case::http2("garbage", after_request([Step::send("HTTP/1.1 200 OK\r\n\r\n"), Step::Close]), Ending::Breaks),
    ]
}

fn elsewhere_frames(elsewhere: &str) -> Vec<Case> {
    let (origin, value) = (format!("https://{elsewhere}"), format!("h2=\"{elsewhere}\""));
    let promise: &[(&str, &[u8])] =
        &[(":method", b"GET"), (":scheme", b"https"), (":authority", elsewhere.as_bytes()), (":path", b"/pushed")];
    vec![
        Case::http2(
            "origin frame",
            frames([h2::origin(&origin), headers(1, OK, false), data(1, b"ok\n", true)]),
            Ending::Answers,
        ),
        Case::http2(
            "altsvc frame",
            frames([h2::altsvc(&origin, &value), headers(1, OK, false), data(1, b"ok\n", true)]),
            Ending::Answers,
        ),
        Case::http2(
            "push promise",
            frames([
                h2::push_promise(1, 2, promise),
                headers(1, OK, false),
                data(1, b"ok\n", true),
                headers(2, OK, true),
            ]),
            Ending::Either,
        ),
    ]
}
