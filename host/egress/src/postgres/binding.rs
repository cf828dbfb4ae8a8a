//! `tls-server-end-point`, RFC 5929: a hash of the server's certificate, with the hash that its signature uses.
//!
//! Of a certificate only the signature's algorithm is read here; rustls has verified the rest.

use aws_lc_rs::digest;

/// `None`: the certificate's signature has no hash of its own (Ed25519), or one that is not known here.
pub(super) fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = signature_algorithm(certificate)?;
    let (_, hash) = HASHES.iter().find(|(known, _)| *known == algorithm)?;
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OBJECT IDENTIFIER, ... }, ... }`
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (mut inside, _) = element(0x30, certificate)?;
    (_, inside) = element(0x30, inside)?;
    let (algorithm, _) = element(0x30, inside)?;
    element(0x06, algorithm).map(|(oid, _)| oid)
}

/// Content of the DER element at the beginning, and what comes after it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length))?
}

/// Signatures by MD5 and SHA-1 count as SHA-256, says the RFC. RSASSA-PSS is read as what everybody issues, SHA-256.
const HASHES: [(&[u8], &digest::Algorithm); 9] = [
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4], &digest::SHA256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5], &digest::SHA256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10], &digest::SHA256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], &digest::SHA256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12], &digest::SHA384),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13], &digest::SHA512),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], &digest::SHA256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], &digest::SHA384),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4], &digest::SHA512),
];

#[cfg(test)]
mod tests {
    use super::*;
    use kv_fakes::{Leaf, TestCa};

    #[test]
    fn a_certificate() {
        let leaf = TestCa::new().leaf(&Leaf::Good);
        let certificate = leaf.chain.first().unwrap();
        let expected = digest::digest(&digest::SHA256, certificate);
        assert_eq!(server_end_point(certificate).unwrap(), expected.as_ref());
    }

    #[test]
    fn what_is_none() {
        let leaf = TestCa::new().leaf(&Leaf::Good);
        let certificate = leaf.chain.first().unwrap();
        for length in 0..certificate.len() {
            // A cut may only be noticed behind the part that is read; it must never be a panic.
            let _ = server_end_point(&certificate[..length]);
        }
        for der in
            [&b""[..], &[0x30], &[0x30, 0x84, 1, 1, 1, 1], &[0x30, 0x80], &[0x31, 0], &[0x30, 5, 0x30, 0, 0x30, 0, 0]]
        {
            assert_eq!(server_end_point(der), None);
        }
    }
}
