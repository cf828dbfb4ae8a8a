//! Undoing an answer's content encoding as it streams, within bounds. What cannot be decoded is not passed on: a secret
//! could be in it.

use std::io::{self, Write};

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};

use crate::error::BodyError;
use crate::limits::Limits;

pub(crate) struct Decoder {
    coding: Coding,
    ratio: u64,
    free: u64,
    wire: u64,
}

enum Coding {
    Brotli(Box<brotli::DecompressorWriter<Bounded>>),
    /// `deflate`, until its first bytes tell which of its two forms it is.
    Deflate(Vec<u8>, Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
    Identity,
    Raw(Box<DeflateDecoder<Bounded>>),
    Zlib(Box<ZlibDecoder<Bounded>>),
    Zstd(Box<Zstd>),
}

/// Where decoders write. It refuses what goes over the bound, so a bomb ends while it unfolds and not after.
#[derive(Default)]
struct Bounded {
    out: Vec<u8>,
    total: u64,
    allowed: u64,
}

struct Zstd {
    decoder: zstd::stream::raw::Decoder<'static>,
    to: Bounded,
    frame_open: bool,
}

/// The encoding is not one that kv undoes, or there are several.
#[derive(Debug)]
pub(crate) struct Unknown;

impl Decoder {
    /// By the answer's headers.
    pub(crate) fn new(headers: &HeaderMap, limits: &Limits) -> Result<Self, Unknown> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let name = values.next().map_or(&b""[..], |value| value.as_bytes()).trim_ascii();
        if values.next().is_some() {
            return Err(Unknown);
        }
        let to = Bounded::default();
        let coding = match name.to_ascii_lowercase().as_slice() {
            b"" | b"identity" => Coding::Identity,
            b"br" => Coding::Brotli(Box::new(brotli::DecompressorWriter::new(to, BUFFER))),
            b"deflate" => Coding::Deflate(Vec::new(), to),
            b"gzip" | b"x-gzip" => Coding::Gzip(Box::new(MultiGzDecoder::new(to))),
            b"zstd" => Coding::Zstd(Box::new(Zstd::new(to).map_err(|_| Unknown)?)),
            _ => return Err(Unknown),
        };
        Ok(Decoder { coding, ..Decoder::identity(limits) })
    }

    pub(crate) fn identity(limits: &Limits) -> Self {
        Decoder { coding: Coding::Identity, ratio: limits.decode_ratio, free: limits.decode_free, wire: 0 }
    }

    pub(crate) fn is_identity(&self) -> bool {
        matches!(self.coding, Coding::Identity)
    }

    /// Takes bytes from the wire and gives all that they decode to.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, BodyError> {
        if chunk.is_empty() {
            return Ok(Vec::new());
        }
        self.wire += chunk.len() as u64;
        let allowed = self.wire.saturating_mul(self.ratio).saturating_add(self.free);
        if let Coding::Deflate(begun, _) = &mut self.coding {
            begun.extend_from_slice(chunk);
            if begun.len() < 2 {
                return Ok(Vec::new());
            }
            let begun = std::mem::take(begun);
            self.coding = deflate(&begun);
            return self.write(&begun, allowed);
        }
        self.write(chunk, allowed)
    }

    fn write(&mut self, chunk: &[u8], allowed: u64) -> Result<Vec<u8>, BodyError> {
        let (written, to) = match &mut self.coding {
            Coding::Brotli(decoder) => {
                decoder.get_mut().allowed = allowed;
                (decoder.write_all(chunk), decoder.get_mut())
            }
            Coding::Gzip(decoder) => {
                decoder.get_mut().allowed = allowed;
                (decoder.write_all(chunk).and_then(|()| decoder.flush()), decoder.get_mut())
            }
            Coding::Raw(decoder) => {
                decoder.get_mut().allowed = allowed;
                (decoder.write_all(chunk).and_then(|()| decoder.flush()), decoder.get_mut())
            }
            Coding::Zlib(decoder) => {
                decoder.get_mut().allowed = allowed;
                (decoder.write_all(chunk).and_then(|()| decoder.flush()), decoder.get_mut())
            }
            Coding::Zstd(zstd) => {
                zstd.to.allowed = allowed;
                (zstd.write(chunk), &mut zstd.to)
            }
            Coding::Deflate(_, to) => (Ok(()), to),
            Coding::Identity => return Ok(chunk.to_vec()),
        };
        let out = to.taken();
        match written {
            Ok(()) => Ok(out),
            Err(_) if to.total > to.allowed => Err(BodyError::Bomb { ratio: self.ratio }),
            Err(_) => Err(BodyError::Encoding),
        }
    }

    /// The wire has ended; gives the rest. An encoding that has not ended is an answer that was cut short.
    pub(crate) fn finish(self) -> Result<Vec<u8>, BodyError> {
        // No encoding of nothing is nothing, but services do say `gzip` of an answer without a body.
        if self.wire == 0 {
            return Ok(Vec::new());
        }
        let (ended, mut to) = match self.coding {
            Coding::Brotli(mut decoder) => {
                let ended = decoder.close();
                (ended, std::mem::take(decoder.get_mut()))
            }
            Coding::Gzip(mut decoder) => (decoder.try_finish(), std::mem::take(decoder.get_mut())),
            Coding::Raw(mut decoder) => {
                let ended = decoder.try_finish();
                (ended, std::mem::take(decoder.get_mut()))
            }
            Coding::Zlib(mut decoder) => {
                let ended = decoder.try_finish();
                (ended, std::mem::take(decoder.get_mut()))
            }
            Coding::Zstd(mut zstd) => (zstd.end(), std::mem::take(&mut zstd.to)),
            Coding::Deflate(..) => return Err(BodyError::Encoding),
            Coding::Identity => return Ok(Vec::new()),
        };
        match ended {
            Ok(()) => Ok(to.taken()),
            Err(_) if to.total > to.allowed => Err(BodyError::Bomb { ratio: self.ratio }),
            Err(_) => Err(BodyError::Encoding),
        }
    }
}

/// RFC 9110 means the zlib form; some services send the bare one. The first two bytes of zlib are a checksum of sorts.
fn deflate(begun: &[u8]) -> Coding {
    let to = Bounded::default();
    let is_zlib = match begun {
        [method, flags, ..] => method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)).is_multiple_of(31),
        _ => false,
    };
    if is_zlib { Coding::Zlib(Box::new(ZlibDecoder::new(to))) } else { Coding::Raw(Box::new(DeflateDecoder::new(to))) }
}

impl Bounded {
    fn taken(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.total += bytes.len() as u64;
        if self.total > self.allowed {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Zstd {
    fn new(to: Bounded) -> io::Result<Self> {
        let mut decoder = zstd::stream::raw::Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
        Ok(Zstd { decoder, to, frame_open: false })
    }

    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        let mut input = InBuffer::around(chunk);
        let mut buffer = vec![0; BUFFER];
        loop {
            let mut output = OutBuffer::around(buffer.as_mut_slice());
            let wanted = self.decoder.run(&mut input, &mut output)?;
            let written = output.as_slice().len();
            self.frame_open = wanted != 0;
            self.to.write_all(output.as_slice())?;
            if input.pos() == chunk.len() && written < BUFFER {
                return Ok(());
            }
        }
    }

    fn end(&self) -> io::Result<()> {
        if self.frame_open { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

const BUFFER: usize = 32 << 10;
/// 8 MiB, the most that RFC 9659 lets a service ask of a client.
const ZSTD_WINDOW_LOG: u32 = 23;

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use kv_fakes::compress::{self, Coding};
    use proptest::prelude::*;

    use super::*;

    fn decode(name: &str, body: &[u8], cuts: &[usize], limits: &Limits) -> Result<Vec<u8>, BodyError> {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_str(name).unwrap())]);
        let mut decoder = Decoder::new(&headers, limits).map_err(|Unknown| BodyError::Encoding)?;
        let (mut out, mut from) = (Vec::new(), 0);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).chain([body.len()]).collect();
        cuts.sort_unstable();
        for to in cuts {
            out.extend(decoder.push(&body[from..to])?);
            from = to;
        }
        out.extend(decoder.finish()?);
        Ok(out)
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(text: Vec<u8>, cuts: Vec<usize>, coding in proptest::sample::select(&Coding::ALL[..])) {
            let body = compress::encode(coding, &text);
            prop_assert_eq!(decode(coding.name(), &body, &cuts, &Limits::default()), Ok(text));
        }

        /// Neither a panic nor more than the bound, whatever comes.
        #[test]
        fn garbage(body: Vec<u8>, cuts: Vec<usize>, coding in proptest::sample::select(&Coding::ALL[..])) {
            let limits = Limits { decode_free: 1000, ..Limits::default() };
            if let Ok(out) = decode(coding.name(), &body, &cuts, &limits) {
                prop_assert!(out.len() <= 1000 + 100 * body.len());
            }
        }

        #[test]
        fn an_end_that_is_missing_is_missed(text in proptest::collection::vec(any::<u8>(), 1..300), coding in proptest::sample::select(&Coding::ALL[..]), cut: usize) {
            let body = compress::encode(coding, &text);
            let short = 1 + cut % (body.len() - 1);
            prop_assert_eq!(decode(coding.name(), &body[..short], &[], &Limits::default()), Err(BodyError::Encoding));
        }
    }

    #[test]
    fn names() {
        for (name, known) in [
            ("", true),
            ("identity", true),
            ("GZIP", true),
            ("x-gzip", true),
            (" br ", true),
            ("zstd", true),
            ("deflate", true),
            ("gzip, gzip", false),
            ("gzip,br", false),
            ("compress", false),
            ("x-odd", false),
            ("identity, gzip", false),
            ("gzip;q=1", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(name))]);
            assert_eq!(Decoder::new(&headers, &Limits::default()).is_ok(), known, "{name}");
        }
        let twice = [
            (CONTENT_ENCODING, HeaderValue::from_static("gzip")),
            (CONTENT_ENCODING, HeaderValue::from_static("gzip")),
        ];
        assert!(Decoder::new(&HeaderMap::from_iter(twice), &Limits::default()).is_err());
    }

    #[test]
    fn bombs() {
        for coding in Coding::ALL {
            let bomb = compress::bomb(coding, 64 << 20);
            assert_eq!(
                decode(coding.name(), &bomb, &[], &Limits::default()),
                Err(BodyError::Bomb { ratio: 100 }),
                "{coding:?}"
            );
        }
    }
}
