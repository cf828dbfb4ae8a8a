//! Answers that end wrongly, come too early or too often, or are not HTTP.

use super::{Case, Ending};
use crate::script::{Script, Step};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = endings();
    cases.extend(nonsense());
    cases.extend(order());
    cases
}

fn endings() -> Vec<Case> {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.";
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nten bytes.\r\n";
    let half_chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nten bytes.";
    let until_close = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nten bytes.";
    let send_then = |text: &'static str, end: Step| Script::then([Step::send(text), end]);
    vec![
        Case::new("H51", "length larger than body, closed", send_then(short, Step::Close), Ending::Breaks),
        Case::new("H51", "length larger than body, cut", send_then(short, Step::Cut), Ending::Breaks),
        Case::new("H51", "length larger than body, reset", send_then(short, Step::Reset), Ending::Breaks),
        Case::new("H51", "no last chunk, closed", send_then(chunk, Step::Close), Ending::Breaks),
        Case::new("H51", "no last chunk, cut", send_then(chunk, Step::Cut), Ending::Breaks),
        Case::new("H51", "half a chunk, closed", send_then(half_chunk, Step::Close), Ending::Breaks),
        Case::new("H51", "body until close, cut without notice", send_then(until_close, Step::Cut), Ending::Breaks),
        Case::new("H51", "body until close, closed properly", send_then(until_close, Step::Close), Ending::Either),
        Case::new(
            "H51",
            "half a head, closed",
            send_then("HTTP/1.1 200 OK\r\nContent-Le", Step::Close),
            Ending::Breaks,
        ),
        Case::new("H51", "nothing, closed", Script::then([Step::Close]), Ending::Breaks),
        Case::new("H51", "nothing, cut", Script::then([Step::Cut]), Ending::Breaks),
        Case::new("H65", "reset after the request", Script::then([Step::Reset]), Ending::Breaks),
        Case::new("H65", "reset before the request is read", Script::new([Step::Reset]), Ending::Breaks),
    ]
}

fn nonsense() -> Vec<Case> {
    let big = "x".repeat(1 << 20);
    let many: String = (0..5_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let texts: Vec<(&str, String, Ending)> = vec![
        ("no http", "220 mail.example.invalid ESMTP\r\n".to_owned(), Ending::Breaks),
        ("http 0.9", "<html>hello</html>\n".to_owned(), Ending::Breaks),
        ("http 3.0", "HTTP/3.0 200 OK\r\n\r\n".to_owned(), Ending::Breaks),
        ("zeros", "\0".repeat(1 << 16), Ending::Breaks),
        ("status 999", "HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n".to_owned(), Ending::Either),
        ("status 99", "HTTP/1.1 99 What\r\nContent-Length: 0\r\n\r\n".to_owned(), Ending::Breaks),
        ("status of letters", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n".to_owned(), Ending::Breaks),
        ("status line of 1 MiB", format!("HTTP/1.1 200 {big}\r\nContent-Length: 0\r\n\r\n"), Ending::Breaks),
        ("header of 1 MiB", format!("HTTP/1.1 200 OK\r\nx-big: {big}\r\nContent-Length: 0\r\n\r\n"), Ending::Breaks),
        ("name of 1 MiB", format!("HTTP/1.1 200 OK\r\n{big}: y\r\nContent-Length: 0\r\n\r\n"), Ending::Breaks),
        ("5,000 headers", format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n"), Ending::Breaks),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nok\nxx".to_owned(),
            Ending::Breaks,
        ),
        ("negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_owned(), Ending::Breaks),
        ("length 2^64", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n".to_owned(), Ending::Breaks),
        ("length of letters", "HTTP/1.1 200 OK\r\nContent-Length: three\r\n\r\nok\n".to_owned(), Ending::Breaks),
        (
            "chunk 2^64",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\nx".to_owned(),
            Ending::Breaks,
        ),
        ("chunk -1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx".to_owned(), Ending::Breaks),
        (
            "chunk longer than it says",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n".to_owned(),
            Ending::Breaks,
        ),
        (
            "unknown transfer coding",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nok\n".to_owned(),
            Ending::Either,
        ),
        (
            "chunked and length",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nok\n\r\n0\r\n\r\n"
                .to_owned(),
            Ending::Either,
        ),
        ("folded header", "HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\nContent-Length: 0\r\n\r\n".to_owned(), Ending::Either),
        ("nul in header", "HTTP/1.1 200 OK\r\nx-a: b\0c\r\nContent-Length: 0\r\n\r\n".to_owned(), Ending::Breaks),
        ("space before colon", "HTTP/1.1 200 OK\r\nx-a : b\r\nContent-Length: 0\r\n\r\n".to_owned(), Ending::Either),
        ("lone line feeds", "HTTP/1.1 200 OK\nContent-Length: 0\n\n".to_owned(), Ending::Either),
        ("body on 204", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nok\n".to_owned(), Ending::Either),
    ];
    texts
        .into_iter()
        .map(|(name, text, ending)| Case::new("H61", name, Script::then([Step::send(text), Step::Close]), ending))
        .collect()
}

fn order() -> Vec<Case> {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
    let second = format!("{ok}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nother\n");
    let continues = format!("HTTP/1.1 100 Continue\r\n\r\n{ok}");
    vec![
        Case::new(
            "H24",
            "answers before the body is read",
            Script::new([Step::ReadHead, Step::send(ok), Step::Hang]),
            Ending::Either,
        ),
        Case::new("H24", "never says continue", Script::new([Step::ReadHead, Step::Hang]), Ending::Breaks),
        Case::new("H24", "says continue unasked", Script::answering(continues), Ending::Answers),
        Case::new(
            "H66",
            "answers before the request",
            Script::new([Step::send(ok), Step::ReadRequest, Step::Hang]),
            Ending::Either,
        ),
        Case::new("H66", "a second answer unasked", Script::then([Step::send(second), Step::Hang]), Ending::Answers),
        Case::new(
            "H66",
            "answers early and reads no body",
            Script::new([Step::ReadHead, Step::send(ok), Step::Close]),
            Ending::Either,
        ),
    ]
}
