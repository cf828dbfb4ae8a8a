//! SCRAM-SHA-256, RFC 5802 and 7677, the client's side: the server learns that we know the password, we learn that it
//! does, and neither learns the password. Bytes in, bytes out.
//!
//! The password is borrowed for one derivation; nothing of it is kept.

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

pub(super) const PLAIN: &str = "SCRAM-SHA-256";
pub(super) const PLUS: &str = "SCRAM-SHA-256-PLUS";

/// What a login says of channel binding: a man in the middle cannot change it without being noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Binding {
    /// Bound to the server's certificate: `tls-server-end-point`, RFC 5929.
    Bound(Vec<u8>),
    /// There is no TLS to be bound to.
    Impossible,
    /// We would have, and the server said that it cannot. One that can ends the login: somebody took it out of its offer.
    NotOffered,
}

impl Binding {
    fn header(&self) -> &'static str {
        match self {
            Binding::Bound(_) => "p=tls-server-end-point,,",
            Binding::Impossible => "n,,",
            Binding::NotOffered => "y,,",
        }
    }
}

/// After the first message.
pub(super) struct First {
    nonce: String,
    binding: Binding,
}

/// After the proof was sent: what the server has to answer.
pub(super) struct Proved {
    signature: [u8; 32],
}

impl First {
    /// `random` is 18 bytes that nobody has seen.
    pub(super) fn new(binding: Binding, random: [u8; 18]) -> Self {
        First { nonce: STANDARD.encode(random), binding }
    }

    /// The user's name is left empty, as PostgreSQL's own client does: the server takes the session's.
    pub(super) fn message(&self) -> String {
        format!("{}n=,r={}", self.binding.header(), self.nonce)
    }

    /// Reads the server's challenge.
    pub(super) fn challenge(self, message: &[u8]) -> Result<Challenge, Odd> {
        let challenge = self.read(message).ok_or(Odd::NoChallenge)?;
        // Over TLS the server has shown who it is before it gets a proof. Without, whoever answers in its place chooses salt
        // and rounds, and with one round a proof is nearly the password's plain hash: it would be guessed from at leisure.
        let is_unproven = challenge.binding == Binding::Impossible;
        if is_unproven && challenge.rounds < MIN_ROUNDS {
            return Err(Odd::Weak { rounds: challenge.rounds, least: MIN_ROUNDS });
        }
        Ok(challenge)
    }

    fn read(self, message: &[u8]) -> Option<Challenge> {
        let text = std::str::from_utf8(message).ok()?;
        let mut parts = text.split(',');
        // An `m=` in front would be an extension that must be understood.
        let nonce = parts.next()?.strip_prefix("r=")?;
        let salt = parts.next()?.strip_prefix("s=")?;
        let rounds = parts.next()?.strip_prefix("i=")?.parse::<u32>().ok()?;
        let salt = STANDARD.decode(salt).ok()?;
        let is_ours = nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce);
        let fits = is_ours && nonce.len() <= MAX_NONCE && salt.len() <= MAX_SALT && !salt.is_empty();
        if !fits || !(1..=MAX_ROUNDS).contains(&rounds) {
            return None;
        }
        Some(Challenge {
            first: format!("n=,r={}", self.nonce),
            text: text.to_owned(),
            nonce: nonce.to_owned(),
            salt,
            rounds,
            binding: self.binding,
        })
    }
}

/// Why a challenge is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Odd {
    NoChallenge,
    Weak { rounds: u32, least: u32 },
}

/// What the server asks.
pub(super) struct Challenge {
    first: String,
    text: String,
    nonce: String,
    salt: Vec<u8>,
    pub(super) rounds: u32,
    binding: Binding,
}

impl Challenge {
    /// The proof, and what must come back. Takes as long as the server's `rounds` say: not for a thread that others need.
    pub(super) fn prove(self, password: &[u8]) -> Option<(String, Proved)> {
        let rounds = std::num::NonZeroU32::new(self.rounds)?;
        let mut salted = Zeroizing::new([0; 32]);
        let password = prepared(password);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &self.salt, &password, salted.as_mut_slice());
        let mut bound = self.binding.header().as_bytes().to_vec();
        if let Binding::Bound(data) = &self.binding {
            bound.extend_from_slice(data);
        }
        let last = format!("c={},r={}", STANDARD.encode(bound), self.nonce);
        let whole = format!("{},{},{last}", self.first, self.text);
        let client = mac(salted.as_slice(), b"Client Key")?;
        let stored = digest::digest(&digest::SHA256, client.as_slice());
        let signature = mac(stored.as_ref(), whole.as_bytes())?;
        let mut proof = client;
        proof.iter_mut().zip(signature.iter()).for_each(|(byte, other)| *byte ^= other);
        let server = mac(salted.as_slice(), b"Server Key")?;
        let expected = mac(server.as_slice(), whole.as_bytes())?;
        Some((format!("{last},p={}", STANDARD.encode(proof.as_slice())), Proved { signature: *expected }))
    }
}

impl Proved {
    /// Whether the server has shown that it knows the password as well.
    pub(super) fn accept(self, message: &[u8]) -> Option<ServerKnows> {
        let text = std::str::from_utf8(message).ok()?;
        let signature = STANDARD.decode(text.split(',').next()?.strip_prefix("v=")?).ok()?;
        constant_time::verify_slices_are_equal(&signature, &self.signature).ok().map(|()| ServerKnows(()))
    }
}

/// Proof that the exchange came to its end.
pub(super) struct ServerKnows(());

fn mac(key: &[u8], data: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    tag.as_ref().try_into().ok().map(Zeroizing::new)
}

/// RFC 4013, where it can be had; PostgreSQL takes the bytes as they are where it cannot, and so do we.
fn prepared(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let prepared = std::str::from_utf8(password).ok().filter(|text| !text.is_ascii());
    let prepared = prepared.and_then(|text| stringprep::saslprep(text).ok());
    Zeroizing::new(prepared.map_or_else(|| password.to_vec(), |text| text.into_owned().into_bytes()))
}

/// Servers use 4,096 to 600,000. This many take half a second; 2^31 would take twenty minutes.
const MAX_ROUNDS: u32 = 1_000_000;
/// What RFC 7677 asks for at least, and PostgreSQL does unless it is told otherwise.
const MIN_ROUNDS: u32 = 4_096;
const MAX_NONCE: usize = 1_024;
const MAX_SALT: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3, but for the user's name, which is part of what is signed there.
    fn with_nonce(nonce: &str, binding: Binding) -> First {
        First { nonce: nonce.to_owned(), binding }
    }

    fn challenge(text: &str) -> Option<Challenge> {
        with_nonce("rOprNGfwEbeRWgbNEkqO", Binding::Impossible).challenge(text.as_bytes()).ok()
    }

    #[test]
    fn few_rounds_are_for_servers_that_are_known() {
        let asked = |binding, rounds: u32| {
            let text = format!("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={rounds}");
            with_nonce("rOprNGfwEbeRWgbNEkqO", binding).challenge(text.as_bytes()).err()
        };
        for rounds in [1, 4_095] {
            assert_eq!(asked(Binding::Impossible, rounds), Some(Odd::Weak { rounds, least: 4_096 }));
            assert_eq!(asked(Binding::Bound(vec![1]), rounds), None);
        }
        assert_eq!(asked(Binding::Impossible, 4_096), None);
    }

    #[test]
    fn both_sides_prove() {
        let server = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (message, proved) = challenge(server).unwrap().prove(b"pencil").unwrap();
        assert!(message.starts_with("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p="));
        let signature = format!("v={}", STANDARD.encode(proved.signature));
        assert!(proved.accept(signature.as_bytes()).is_some());
        let (_, proved) = challenge(server).unwrap().prove(b"pencil").unwrap();
        assert!(proved.accept(format!("v={}", STANDARD.encode([0; 32])).as_bytes()).is_none());
        let (_, proved) = challenge(server).unwrap().prove(b"pencil").unwrap();
        assert!(proved.accept(b"e=invalid-proof").is_none());
    }

    /// The RFC's own example, with its user, against its own proof and signature.
    #[test]
    fn the_example_of_the_rfc() {
        let challenge = Challenge {
            first: "n=user,r=rOprNGfwEbeRWgbNEkqO".to_owned(),
            ..challenge("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
                .unwrap()
        };
        let (message, proved) = challenge.prove(b"pencil").unwrap();
        assert!(message.ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
        assert!(proved.accept(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").is_some());
    }

    #[test]
    fn odd_challenges_are_refused() {
        for text in [
            "",
            "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=2147483647",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-1",
            "r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096",
            "m=x,r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        ] {
            assert!(challenge(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_said_of_binding() {
        for (binding, header) in [
            (Binding::Bound(vec![1]), "p=tls-server-end-point,,n=,r="),
            (Binding::Impossible, "n,,n=,r="),
            (Binding::NotOffered, "y,,n=,r="),
        ] {
            assert!(First::new(binding, [7; 18]).message().starts_with(header));
        }
    }
}
