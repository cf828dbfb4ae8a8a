//! One small vault, and every way to change a bit, a length or a page of it.

use std::collections::BTreeMap;
use std::io::Cursor;

use super::*;
use crate::error::Damage;
use crate::format::{Head, Header, RecordId};
use crate::kdf;
use crate::keys::Key;
use crate::seal;
use crate::state::State;
use crate::store::{self, StoreError};

/// All that a reader gets out of a file, the counters of tries left out: they are not sealed, and say so.
#[derive(PartialEq)]
struct Meaning {
    header: Header,
    epoch: u64,
    records: Vec<(RecordId, Head, Vec<u8>)>,
}

struct Reference {
    image: Vec<u8>,
    header: Header,
    kek: Key,
    meaning: Meaning,
}

fn reference() -> Reference {
    let home = home();
    let vault = home.create();
    vault.put_secret(&name("A"), value("sk-first"), NOW).unwrap();
    vault.rotate_secret(&name("A"), value("sk-second"), NOW + 1).unwrap();
    vault.put_secret(&name("GONE"), value("gone"), NOW).unwrap();
    vault.put_secret(&name("LONG"), value(vec![b'l'; 5_000]), NOW).unwrap();
    vault.remove_secret(&name("GONE"), NOW + 2).unwrap();
    vault.put_document(crate::DocumentKind::Connection, "openai", b"{\"origin\":\"https://api.openai.com\"}").unwrap();
    // Leaves free pages behind.
    vault.put_document(crate::DocumentKind::Connection, "large", &[b'x'; 9_000]).unwrap();
    vault.remove_document(crate::DocumentKind::Connection, "large").unwrap();
    let header = vault.store_for_test().header().unwrap();
    drop(vault);
    let image = std::fs::read(home.file()).unwrap();
    let kek = kdf::derive(&passphrase(PASSPHRASE), &header.salt, header.kdf).unwrap();
    let meaning = judge_with(&image, &header, &kek).map_err(|class| panic!("{class}")).unwrap();
    assert_eq!(meaning.records.len(), 5);
    Reference { image, header, kek, meaning }
}

/// What opening and unlocking an image comes to, by the same steps as for a file.
fn judge_with(image: &[u8], reference: &Header, kek: &Key) -> Result<Meaning, String> {
    let class = |damage: Damage| match damage {
        Damage::Structure(_) => "structure".to_owned(),
        Damage::Header(_) => "header".to_owned(),
        Damage::Record(_) => "record".to_owned(),
        other => format!("{other:?}").split([' ', '(']).next().unwrap().to_owned(),
    };
    let store = |error: StoreError| match error {
        StoreError::Damaged(damage) => class(damage),
        StoreError::Storage(error) => format!("storage: {}", chain(&error)),
    };
    store::check_front(&image[..image.len().min(100)]).map_err(class)?;
    let mut connection = Connection::open_in_memory().unwrap();
    connection
        .deserialize_read_exact("main", Cursor::new(image), image.len(), false)
        .map_err(|error| store(error.into()))?;
    store::confine(&connection).map_err(store)?;
    store::check_structure(&connection).map_err(store)?;
    store::check_size(&connection, image.len() as u64).map_err(store)?;
    let contents = store::read_contents(&connection).map_err(store)?;
    let header = contents.header.clone();
    // Another salt or cost gives another key, which opens nothing; deriving it for each of thousands would prove no more.
    if (header.salt, header.kdf) != (reference.salt, reference.kdf) {
        return Err("another key".to_owned());
    }
    let keys = Keys::unwrap(&header, kek).ok_or("another key")?;
    let rows: Vec<_> = contents.rows.iter().map(|row| (row.id, row.sealed.clone())).collect();
    let state = State::load(&keys, header.vault, contents).map_err(class)?;
    let records = rows
        .into_iter()
        .map(|(id, sealed)| {
            let head = seal::open_head(&keys.records, header.vault, id, &sealed).map_err(class)?;
            let value = seal::open_body(&keys.records, header.vault, id, &head, &sealed).map_err(class)?;
            Ok((id, head, value.to_vec()))
        })
        .collect::<Result<_, String>>()?;
    Ok(Meaning { header, epoch: state.epoch, records })
}

impl Reference {
    /// The class of the failure, or "same": the one meaning that may be accepted.
    fn judge(&self, image: &[u8]) -> String {
        match judge_with(image, &self.header, &self.kek) {
            Err(class) => class,
            Ok(meaning) if meaning == self.meaning => "same".to_owned(),
            Ok(_) => "ANOTHER MEANING".to_owned(),
        }
    }
}

/// Bits that lie in bytes of zeros far from anything else are free space of a page: one bit of each such byte is tried, and
/// all eight of every other byte.
fn bits_worth_trying(image: &[u8]) -> Vec<(usize, u8)> {
    (0..image.len())
        .flat_map(|at| {
            let around = &image[at.saturating_sub(16)..(at + 16).min(image.len())];
            let free = around.iter().all(|byte| *byte == 0);
            (0..8).filter(move |bit| !free || at % 8 == *bit).map(move |bit| (at, 1 << bit))
        })
        .collect()
}

#[test]
fn every_bit_flipped() {
    let reference = reference();
    let bits = bits_worth_trying(&reference.image);
    let halves: Vec<_> = bits.chunks(bits.len().div_ceil(2)).collect();
    let mut classes: BTreeMap<String, usize> = BTreeMap::new();
    std::thread::scope(|scope| {
        let work: Vec<_> = halves
            .iter()
            .map(|half| {
                let reference = &reference;
                scope.spawn(move || {
                    let mut image = reference.image.clone();
                    let mut classes: BTreeMap<String, usize> = BTreeMap::new();
                    for (at, bit) in *half {
                        image[*at] ^= bit;
                        *classes.entry(reference.judge(&image)).or_default() += 1;
                        image[*at] ^= bit;
                    }
                    classes
                })
            })
            .collect();
        for classes_of_half in work {
            for (class, count) in classes_of_half.join().unwrap() {
                *classes.entry(class).or_default() += count;
            }
        }
    });
    println!("{} flips of {} bits: {classes:?}", bits.len(), reference.image.len() * 8);
    assert!(!classes.contains_key("ANOTHER MEANING"), "{classes:?}");
    assert!(!classes.keys().any(|class| class.starts_with("storage")), "{classes:?}");
    for class in ["structure", "header", "Seal", "Root", "same"] {
        assert!(classes.contains_key(class), "no flip came to `{class}`: {classes:?}");
    }
}

#[test]
fn every_length() {
    let reference = reference();
    for length in 0..reference.image.len() {
        let class = reference.judge(&reference.image[..length]);
        assert!(class != "same" && class != "ANOTHER MEANING", "{length}: {class}");
    }
    for more in 1..=4096 {
        let longer = [&reference.image[..], &vec![0; more]].concat();
        assert_eq!(reference.judge(&longer), "FileSize", "{more} more");
    }
}

#[test]
fn pages_zeroed_exchanged_and_copied() {
    let reference = reference();
    let pages = reference.image.len() / 4096;
    let page = |n: usize| n * 4096..(n + 1) * 4096;
    let mut accepted = 0;
    for first in 0..pages {
        let mut zeroed = reference.image.clone();
        zeroed[page(first)].fill(0);
        let class = reference.judge(&zeroed);
        assert_ne!(class, "ANOTHER MEANING", "page {first} zeroed");
        accepted += usize::from(class == "same");
        for second in 0..pages {
            let mut copied = reference.image.clone();
            copied.copy_within(page(first), second * 4096);
            assert_ne!(reference.judge(&copied), "ANOTHER MEANING", "page {first} over {second}");
            copied[page(first)].copy_from_slice(&reference.image[page(second)]);
            assert_ne!(reference.judge(&copied), "ANOTHER MEANING", "pages {first} and {second} exchanged");
        }
    }
    // Free pages are zeros already; all others matter.
    assert!(accepted < pages / 2, "{accepted} of {pages}");
}

/// The same through files and passphrase: at places of each kind, and with the same outcome.
#[test]
fn a_sample_through_the_front_door() {
    let reference = reference();
    let home = home();
    let write = |image: &[u8]| {
        std::fs::write(home.file(), image).unwrap();
        set_mode(&home.file(), 0o600);
    };
    let opens = || Vault::open(&home.dir).ok()?.unlock(&passphrase(PASSPHRASE), NOW).ok();
    write(&reference.image);
    assert_eq!(read(&opens().unwrap(), "A").unwrap(), b"sk-second");
    let bits = bits_worth_trying(&reference.image);
    for (at, bit) in bits.iter().step_by(bits.len() / 60) {
        let mut image = reference.image.clone();
        image[*at] ^= bit;
        let same = reference.judge(&image) == "same";
        write(&image);
        let opened = opens();
        assert_eq!(opened.is_some(), same, "bit {bit} of byte {at}");
        if let Some(vault) = opened {
            assert_eq!(read(&vault, "A").unwrap(), b"sk-second");
        }
    }
    for length in (0..reference.image.len()).step_by(1013).chain([4095, 4096, 4097, 8191, 8192]) {
        write(&reference.image[..length]);
        assert!(opens().is_none(), "{length} bytes");
    }
    for more in [1, 100, 4095, 4096] {
        write(&[&reference.image[..], &vec![0; more]].concat());
        assert!(opens().is_none(), "{more} bytes more");
    }
}
