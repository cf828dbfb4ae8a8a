//! Encoded bodies that are bombs, lies, or broken.

use bytes::Bytes;

use super::{Case, Ending};
use crate::compress::{self, Coding};
use crate::script::Script;

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for coding in [Coding::Brotli, Coding::Deflate, Coding::Gzip, Coding::Zstd] {
        let name = coding.name();
        let honest = compress::encode(coding, TEXT);
        let cut = honest.slice(..honest.len() / 2);
        cases.push(case(format!("{name}, honest"), name, honest, Ending::Answers));
        cases.push(case(format!("{name}, cut in half"), name, cut, Ending::Breaks));
        cases.push(case(format!("{name}, bomb"), name, compress::bomb(coding, BOMB), Ending::Breaks));
        cases.push(case(format!("{name}, not encoded at all"), name, Bytes::from_static(TEXT), Ending::Breaks));
    }
    let gzip = Coding::Gzip;
    let ten = compress::nested(TEXT, &[gzip; 10]);
    let twice = compress::nested(TEXT, &[gzip, gzip]);
    cases.extend([
        case("zstd, 10 GiB", "zstd", compress::zstd_bomb(10 << 30), Ending::Breaks),
        case("zstd, window of 2 GiB", "zstd", compress::zstd_window(31), Ending::Breaks),
        case("gzip, many members", "gzip", compress::gzip_members(&vec![0; 1 << 20], 200), Ending::Breaks),
        case("gzip ten times, said ten times", &["gzip"; 10].join(", "), ten, Ending::Breaks),
        case("gzip twice, said twice", "gzip, gzip", twice.clone(), Ending::Either),
        // Once decoded it is what the service says it is: bytes.
        case("gzip twice, said once", "gzip", twice, Ending::Answers),
        case("br, said gzip", "gzip", compress::encode(Coding::Brotli, TEXT), Ending::Breaks),
        case("unknown coding", "x-snappy", Bytes::from_static(TEXT), Ending::Breaks),
        case("compress", "compress", Bytes::from_static(b"\x1f\x9d\x90abc"), Ending::Breaks),
        case("empty coding", "", Bytes::from_static(TEXT), Ending::Either),
        case("deflate without its wrapper", "deflate", compress::encode(Coding::RawDeflate, TEXT), Ending::Either),
    ]);
    cases
}

fn case(name: impl Into<String>, coding: &str, body: Bytes, ending: Ending) -> Case {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let script = Script::answering([head.as_bytes(), &body].concat());
    Case::new("H60", name, script, ending)
}

const TEXT: &[u8] = b"hello from a service that means well; hello again, and again, and again\n";
/// Far over a ratio of 100 in every coding, and quick to make.
const BOMB: u64 = 64 << 20;
