//! Answers that ask the client to go, log in, remember or connect somewhere else.

use super::{Case, Ending};
use crate::script::{Script, Step};

pub(super) fn cases(elsewhere: &str) -> Vec<Case> {
    let mut cases = redirects(elsewhere);
    cases.extend(challenges(elsewhere));
    cases.extend(hints(elsewhere));
    cases.push(Case::new(
        "H67",
        "cookies",
        answer("200 OK", "Set-Cookie: sid=1; Path=/; Domain=127.0.0.1\r\nSet-Cookie: other=2; Max-Age=99999\r\n"),
        Ending::Answers,
    ));
    cases
}

fn redirects(elsewhere: &str) -> Vec<Case> {
    let places = [
        ("other port", format!("https://{elsewhere}/x")),
        ("plain http", format!("http://{elsewhere}/x")),
        ("no scheme", format!("//{elsewhere}/x")),
        ("backslashes", format!("\\\\{elsewhere}\\x")),
        ("slash and backslash", format!("/\\{elsewhere}/x")),
        ("userinfo", format!("https://127.0.0.1@{elsewhere}/x")),
        ("metadata address", "http://169.254.169.254/latest/meta-data/".to_owned()),
        ("data", "data:text/plain,hello".to_owned()),
        ("file", "file:///etc/passwd".to_owned()),
        ("same origin", "/elsewhere".to_owned()),
        ("nothing", String::new()),
    ];
    let statuses = [
        "300 Multiple Choices",
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ];
    let mut cases = Vec::new();
    for status in statuses {
        for (name, place) in &places {
            let script = answer(status, &format!("Location: {place}\r\n"));
            cases.push(Case::new("H30", format!("{} to {name}", &status[..3]), script, Ending::Answers));
        }
    }
    let round = answer("302 Found", "Location: /again\r\n");
    cases.push(Case::new("H31", "round and round", round, Ending::Answers));
    cases
}

fn challenges(elsewhere: &str) -> Vec<Case> {
    let challenges = [
        (
            "bearer realm elsewhere",
            "401 Unauthorized",
            format!("WWW-Authenticate: Bearer realm=\"https://{elsewhere}/token\"\r\n"),
        ),
        ("basic", "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n".to_owned()),
        ("ntlm", "401 Unauthorized", "WWW-Authenticate: NTLM\r\nWWW-Authenticate: Negotiate\r\n".to_owned()),
        (
            "digest",
            "401 Unauthorized",
            "WWW-Authenticate: Digest realm=\"x\", nonce=\"y\", qop=\"auth\"\r\n".to_owned(),
        ),
        ("proxy", "407 Proxy Authentication Required", "Proxy-Authenticate: Basic realm=\"x\"\r\n".to_owned()),
    ];
    let case = |(name, status, headers): (&str, &str, String)| {
        Case::new("H32", name, answer(status, &headers), Ending::Answers)
    };
    challenges.into_iter().map(case).collect()
}

fn hints(elsewhere: &str) -> Vec<Case> {
    let port = elsewhere.rsplit_once(':').map_or("1", |(_, port)| port);
    let headers = [
        ("alt-svc", "200 OK", format!("Alt-Svc: h2=\":{port}\"; ma=99999, h3=\":{port}\"\r\n")),
        ("refresh", "200 OK", format!("Refresh: 0; url=https://{elsewhere}/\r\n")),
        ("preload", "200 OK", format!("Link: <https://{elsewhere}/x>; rel=preload\r\n")),
        ("hsts", "200 OK", "Strict-Transport-Security: max-age=99999; includeSubDomains\r\n".to_owned()),
        ("421", "421 Misdirected Request", String::new()),
        ("content-location", "200 OK", format!("Content-Location: https://{elsewhere}/\r\n")),
    ];
    let mut cases: Vec<Case> = headers
        .into_iter()
        .map(|(name, status, headers)| Case::new("H33", name, answer(status, &headers), Ending::Answers))
        .collect();
    let early = format!("HTTP/1.1 103 Early Hints\r\nLink: <https://{elsewhere}/x>; rel=preload\r\n\r\n{OK}");
    cases.push(Case::new("H33", "early hints", Script::answering(early), Ending::Answers));
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    cases.push(Case::new("H33", "unasked upgrade", Script::then([Step::send(upgrade), Step::Hang]), Ending::Breaks));
    cases
}

fn answer(status: &str, headers: &str) -> Script {
    Script::answering(format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
    ))
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
