//! Which headers a caller or a provider may set: an allowlist, since a blocklist is always one header short.

use super::{MAX_HEADERS, RequestError};
use crate::{HeaderSource, Manifest};

/// Headers that anyone may set: they choose a representation or make a request conditional, and nothing more.
const ALWAYS: [&str; 8] = [
    "accept",
    "accept-language",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "prefer",
];

/// Headers that no manifest can open: they route, frame, authenticate or override. Beside the ones listed, everything
/// that begins with one of [`NEVER_PREFIXES`].
const NEVER: [&str; 34] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "cookie2",
    "date",
    "expect",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "origin",
    "proxy",
    "range",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-real-ip",
    "alt-used",
];
const NEVER_PREFIXES: [&str; 5] = ["proxy-", "sec-", "x-forwarded-", "access-control-", "kv-"];

const MAX_NAME: usize = 64;
/// Services refuse header blocks over 8 KiB or so; one value takes at most half.
const MAX_VALUE: usize = 4096;

/// Whether a manifest may open this header, written in lower case, to callers and providers.
pub(crate) fn is_settable_header(name: &str) -> bool {
    is_token(name) && !NEVER.contains(&name) && !NEVER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
}

/// Visible ASCII with inner spaces: what every server reads in the same way.
pub(crate) fn check_header_value(value: &str) -> Result<(), &'static str> {
    if value.len() > MAX_VALUE {
        Err("its value is over 4096 bytes")
    } else if !value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        Err("its value has characters beyond visible ASCII")
    } else if value.starts_with(' ') || value.ends_with(' ') {
        Err("its value has a space at the edge")
    } else {
        Ok(())
    }
}

/// Checks headers and lowers their names.
pub(super) fn check(
    headers: Vec<(String, String)>,
    manifest: &Manifest,
) -> Result<Vec<(String, String)>, RequestError> {
    let error = |name: &str, why| {
        let name = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
        Err(RequestError::Header { name, why })
    };
    let mut checked: Vec<(String, String)> = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let name = if name.len() <= MAX_NAME { name.to_ascii_lowercase() } else { name };
        if checked.len() >= MAX_HEADERS {
            return error(&name, "the request has more than 32");
        }
        if !is_settable_header(&name) || manifest.auth.values().any(|scheme| scheme.header().as_deref() == Some(&name))
        {
            return error(&name, "it routes, frames or authenticates, and is the host's");
        }
        if is_pinned(&name, manifest) {
            return error(&name, "a setting of the connection decides it");
        }
        if !ALWAYS.contains(&name.as_str()) && !manifest.allowed_headers.contains(&name) {
            return error(&name, "the provider's manifest does not allow it");
        }
        if let Err(why) = check_header_value(&value) {
            return error(&name, why);
        }
        if checked.iter().any(|(other, _)| *other == name) {
            return error(&name, "it is set twice");
        }
        checked.push((name, value));
    }
    Ok(checked)
}

/// Whether the person's setting decides a header: which account to act for, which version to speak. A caller that could
/// set it would act for another one.
fn is_pinned(name: &str, manifest: &Manifest) -> bool {
    let everywhere = manifest.headers.iter().chain(manifest.endpoints.iter().flat_map(|endpoint| &endpoint.headers));
    everywhere.filter(|header| header.name == name).any(|header| matches!(header.value, HeaderSource::Setting { .. }))
}
