//! The head of an answer, cleaned. What only a connection or a browser cares for stays here.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{CONNECTION, HeaderName};
use http::{HeaderMap, HeaderValue};
use kv_model::SecretId;

use crate::body::Body;
use crate::patterns::Snapshot;

/// What a service answered, clean of every value of the vault.
pub struct Answer {
    /// 200 to 599. A redirect is an answer like any other: its `location` is there, and was not followed.
    pub status: u16,
    /// Names in lower case. None that frames, sets a cookie or tells a client where to go next time.
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

/// Headers that do not leave: they belong to the connection, to a decoded body, or to a browser's memory.
const DROPPED: [&str; 20] = [
    "accept-ch",
    "alt-svc",
    "clear-site-data",
    "connection",
    "content-encoding",
    "content-length",
    "keep-alive",
    "nel",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-connection",
    "refresh",
    "report-to",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Cleans headers or trailers. The reason phrase is not among them: it is dropped unread.
pub(crate) fn clean(
    headers: &HeaderMap,
    snapshot: &Snapshot,
    hits: &mut BTreeMap<SecretId, u64>,
) -> Vec<(String, String)> {
    let named = named_by_connection(headers);
    let is_kept = |name: &str| !DROPPED.contains(&name) && !named.iter().any(|other| other.eq_ignore_ascii_case(name));
    let kept = || {
        headers.iter().filter(|(name, _)| is_kept(name.as_str())).map(|(name, value)| (name.as_str(), value.as_bytes()))
    };
    // Nearly always there is nothing to be found, and one look at all lines together says so.
    let lines = kept().flat_map(|(name, value)| [name.as_bytes(), b":", value, b"\n"]).collect::<Vec<_>>().concat();
    if !holds_secret(&lines, snapshot) {
        return kept().map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned())).collect();
    }
    kept().filter_map(|(name, value)| clean_line(name, value, snapshot, hits)).collect()
}

/// `None` if a value reaches into the name: masked, that would not be a header's name any more.
fn clean_line(
    name: &str,
    value: &[u8],
    snapshot: &Snapshot,
    hits: &mut BTreeMap<SecretId, u64>,
) -> Option<(String, String)> {
    let (masked, found) = kv_redact::mask_bytes(&snapshot.patterns, value);
    snapshot.count(found, hits);
    let left = [name.as_bytes(), b":", &masked].concat();
    if holds_secret(&left, snapshot) {
        let found = kv_redact::mask_bytes(&snapshot.patterns, &both_cases(&left)).1;
        snapshot.count(found, hits);
        return None;
    }
    Some((name.to_owned(), String::from_utf8_lossy(&masked).into_owned()))
}

fn holds_secret(lines: &[u8], snapshot: &Snapshot) -> bool {
    snapshot.patterns.find_any(&both_cases(lines))
}

/// Names come in lower case whatever the service wrote, so a form that began in a name has lost its own case there.
fn both_cases(lines: &[u8]) -> Vec<u8> {
    [lines, b"\n", &lines.to_ascii_lowercase()].concat()
}

/// `connection: x-internal` makes `x-internal` a matter between the service and us.
fn named_by_connection(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty()).collect()
}

/// How long the service says that it keeps the connection, less a second for the way: `keep-alive: timeout=5`.
pub(crate) fn keep_for(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(HeaderName::from_static("keep-alive")).map(HeaderValue::to_str)?.ok()?;
    let timeout = value.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
    timeout.parse::<u32>().ok().map(|seconds| Duration::from_secs(u64::from(seconds.saturating_sub(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_service_keeps_a_connection() {
        for (value, seconds) in [
            ("timeout=5", Some(4)),
            ("max=100, timeout=60", Some(59)),
            ("timeout=1", Some(0)),
            ("timeout=0", Some(0)),
            ("timeout=99999999999999999999", None),
            ("timeout=-1", None),
            ("max=100", None),
            ("", None),
        ] {
            let headers =
                HeaderMap::from_iter([(HeaderName::from_static("keep-alive"), HeaderValue::from_static(value))]);
            assert_eq!(keep_for(&headers), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
