//! Content encodings for bodies, honest ones and bombs.
//!
//! Bombs are built small: zstd's run-length blocks by hand, the others by an encoder fed with zeros that are never held.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Brotli,
    /// With the zlib wrapper, as HTTP's `deflate` is meant.
    Deflate,
    Gzip,
    /// Without the wrapper, as some servers send it under the same name.
    RawDeflate,
    Zstd,
}

impl Coding {
    pub const ALL: [Coding; 5] = [Coding::Brotli, Coding::Deflate, Coding::Gzip, Coding::RawDeflate, Coding::Zstd];

    /// Its name in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Deflate | Coding::RawDeflate => "deflate",
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
        }
    }
}

pub fn encode(coding: Coding, bytes: &[u8]) -> Bytes {
    encode_from(coding, bytes)
}

/// A body of zeros that decodes to `decoded` bytes. Time grows with `decoded` but for zstd; 1 GiB takes a second or two.
pub fn bomb(coding: Coding, decoded: u64) -> Bytes {
    match coding {
        Coding::Zstd => zstd_bomb(decoded),
        coding => encode_from(coding, std::io::repeat(0).take(decoded)),
    }
}

/// `inner` encoded once more under each coding, the last one outermost.
pub fn nested(inner: &[u8], codings: &[Coding]) -> Bytes {
    codings.iter().fold(Bytes::copy_from_slice(inner), |body, coding| encode(*coding, &body))
}

/// Many whole gzip members one after another, which a decoder may take for one body.
pub fn gzip_members(member: &[u8], times: usize) -> Bytes {
    encode(Coding::Gzip, member).repeat(times).into()
}

/// A zstd frame of run-length blocks: 4 bytes for each 128 KiB decoded.
pub fn zstd_bomb(decoded: u64) -> Bytes {
    zstd_frame(23, decoded)
}

/// A zstd frame that asks for a window of `2^window_log` bytes (10 to 41) before its first byte.
pub fn zstd_window(window_log: u8) -> Bytes {
    zstd_frame(window_log, 1)
}

fn zstd_frame(window_log: u8, decoded: u64) -> Bytes {
    // Magic number; a descriptor without content size, checksum and dictionary; the window.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, window_log.clamp(10, 41).saturating_sub(10) << 3];
    let mut left = decoded;
    loop {
        let size = left.min(128 << 10);
        left -= size;
        let last = u32::from(left == 0);
        // Three bytes: last block or not, type 1 (one byte repeated), the size.
        let header = last | (1 << 1) | ((size as u32) << 3);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
        if left == 0 {
            return frame.into();
        }
    }
}

fn encode_from(coding: Coding, mut from: impl Read) -> Bytes {
    let level = Compression::default();
    let written = match coding {
        Coding::Brotli => brotli_from(from),
        Coding::Deflate => pour(&mut from, ZlibEncoder::new(Vec::new(), level), ZlibEncoder::finish),
        Coding::Gzip => pour(&mut from, GzEncoder::new(Vec::new(), level), GzEncoder::finish),
        Coding::RawDeflate => pour(&mut from, DeflateEncoder::new(Vec::new(), level), DeflateEncoder::finish),
        Coding::Zstd => zstd::stream::encode_all(from, 3),
    };
    written.expect("memory takes all that is written to it").into()
}

fn pour<W: Write>(
    from: &mut impl Read,
    mut encoder: W,
    finish: impl FnOnce(W) -> std::io::Result<Vec<u8>>,
) -> std::io::Result<Vec<u8>> {
    std::io::copy(from, &mut encoder)?;
    finish(encoder)
}

fn brotli_from(mut from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut encoder = brotli::CompressorWriter::new(&mut out, 64 << 10, 3, 22);
    std::io::copy(&mut from, &mut encoder)?;
    drop(encoder);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(coding: Coding, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Brotli => brotli::Decompressor::new(body, 4096).read_to_end(&mut out),
            Coding::Deflate => flate2::read::ZlibDecoder::new(body).read_to_end(&mut out),
            Coding::Gzip => flate2::read::MultiGzDecoder::new(body).read_to_end(&mut out),
            Coding::RawDeflate => flate2::read::DeflateDecoder::new(body).read_to_end(&mut out),
            Coding::Zstd => {
                zstd::stream::read::Decoder::new(body).and_then(|mut decoder| decoder.read_to_end(&mut out))
            }
        }
        .unwrap();
        out
    }

    #[test]
    fn what_goes_in_comes_out() {
        for coding in Coding::ALL {
            assert_eq!(decode(coding, &encode(coding, b"hello hello")), b"hello hello", "{coding:?}");
            assert_eq!(decode(coding, &bomb(coding, 300_000)), vec![0; 300_000], "{coding:?}");
        }
        assert_eq!(decode(Coding::Gzip, &gzip_members(b"ab", 3)), b"ababab");
    }

    #[test]
    fn bombs_are_small() {
        assert!(zstd_bomb(10 << 30).len() < 400_000);
        assert!(bomb(Coding::Gzip, 64 << 20).len() < 100_000);
        assert!(bomb(Coding::Brotli, 64 << 20).len() < 10_000);
    }
}
