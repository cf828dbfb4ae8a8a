//! Random sessions against a plain map, with the vault closed and opened in between.

use std::collections::BTreeMap;

use kv_model::SecretId;
use proptest::prelude::*;

use super::*;
use crate::{DocumentKind, REDACT_OLD_MS, WriteError};

#[derive(Debug, Clone)]
enum Step {
    Put(u8, Vec<u8>),
    Rotate(u8, Vec<u8>),
    Rename(u8, u8),
    Remove(u8),
    Document(u8, Vec<u8>),
    RemoveDocument(u8),
    Prune,
    Wait(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let bytes =
        || prop_oneof![prop::collection::vec(any::<u8>(), 0..80), prop::collection::vec(any::<u8>(), 4_000..9_000)];
    prop_oneof![
        4 => (0..4_u8, bytes()).prop_map(|(n, v)| Step::Put(n, v)),
        3 => (0..4_u8, bytes()).prop_map(|(n, v)| Step::Rotate(n, v)),
        2 => (0..4_u8, 0..4_u8).prop_map(|(n, m)| Step::Rename(n, m)),
        2 => (0..4_u8).prop_map(Step::Remove),
        2 => (0..3_u8, bytes()).prop_map(|(n, v)| Step::Document(n, v)),
        1 => (0..3_u8).prop_map(Step::RemoveDocument),
        1 => Just(Step::Prune),
        2 => (0..REDACT_OLD_MS).prop_map(Step::Wait),
        2 => Just(Step::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    now: u64,
    secrets: BTreeMap<String, (SecretId, u32, Vec<u8>)>,
    /// Id, version, value, and when it was retired.
    old: Vec<(SecretId, u32, Vec<u8>, u64)>,
    documents: BTreeMap<String, Vec<u8>>,
}

fn named(n: u8) -> String {
    format!("NAME_{n}")
}

fn play(vault: &Unlocked, model: &mut Model, step: &Step) {
    let now = model.now;
    match step {
        Step::Put(n, bytes) => match vault.put_secret(&name(&named(*n)), value(bytes), now) {
            Ok(meta) => assert!(model.secrets.insert(named(*n), (meta.id, 1, bytes.clone())).is_none()),
            Err(WriteError::NameTaken(_)) => assert!(model.secrets.contains_key(&named(*n))),
            Err(WriteError::EmptyValue) => assert!(bytes.is_empty()),
            Err(other) => panic!("{other}"),
        },
        Step::Rotate(n, bytes) => match vault.rotate_secret(&name(&named(*n)), value(bytes), now) {
            Ok(meta) => {
                let held = model.secrets.get_mut(&named(*n)).unwrap();
                model.old.push((held.0, held.1, std::mem::replace(&mut held.2, bytes.clone()), now));
                held.1 += 1;
                assert_eq!((meta.id, meta.version), (held.0, held.1));
            }
            Err(WriteError::NoSuchSecret(_)) => assert!(!model.secrets.contains_key(&named(*n))),
            Err(WriteError::EmptyValue) => assert!(bytes.is_empty()),
            Err(other) => panic!("{other}"),
        },
        Step::Rename(n, m) => match vault.rename_secret(&name(&named(*n)), &name(&named(*m))) {
            Ok(_) => {
                let held = model.secrets.remove(&named(*n)).unwrap();
                assert!(model.secrets.insert(named(*m), held).is_none());
            }
            Err(WriteError::NoSuchSecret(_)) => assert!(!model.secrets.contains_key(&named(*n))),
            Err(WriteError::NameTaken(_)) => assert!(model.secrets.contains_key(&named(*m))),
            Err(other) => panic!("{other}"),
        },
        Step::Remove(n) => match vault.remove_secret(&name(&named(*n)), now) {
            Ok(_) => {
                let (id, version, bytes) = model.secrets.remove(&named(*n)).unwrap();
                model.old.push((id, version, bytes, now));
            }
            Err(WriteError::NoSuchSecret(_)) => assert!(!model.secrets.contains_key(&named(*n))),
            Err(other) => panic!("{other}"),
        },
        Step::Document(n, bytes) => {
            vault.put_document(DocumentKind::Connection, &named(*n), bytes).unwrap();
            model.documents.insert(named(*n), bytes.clone());
        }
        Step::RemoveDocument(n) => {
            let removed = vault.remove_document(DocumentKind::Connection, &named(*n)).unwrap();
            assert_eq!(removed, model.documents.remove(&named(*n)).is_some());
        }
        Step::Prune => {
            let before = model.old.len();
            model.old.retain(|(_, _, _, at)| now < at + REDACT_OLD_MS);
            assert_eq!(vault.prune(now).unwrap(), before - model.old.len());
        }
        Step::Wait(ms) => model.now += ms,
        Step::Reopen => {}
    }
}

fn compare(vault: &Unlocked, model: &Model) {
    let names: Vec<_> = vault.secrets().into_iter().map(|meta| meta.name.to_string()).collect();
    assert_eq!(names, model.secrets.keys().cloned().collect::<Vec<_>>());
    for (of, (id, version, bytes)) in &model.secrets {
        let meta = vault.secret(&name(of)).unwrap();
        assert_eq!((meta.id, meta.version, meta.length), (*id, *version, bytes.len()));
        assert_eq!(vault.open_secret(*id).unwrap().expose(), bytes);
    }
    let mut wanted: Vec<_> = model.secrets.values().map(|(id, version, _)| (*id, *version)).collect();
    for (id, version, bytes, at) in &model.old {
        assert_eq!(vault.open_version(*id, *version).unwrap().expose(), bytes);
        if model.now < at + REDACT_OLD_MS {
            wanted.push((*id, *version));
        }
    }
    wanted.sort();
    assert_eq!(vault.redactable(model.now), wanted);
    let documents = vault.documents(DocumentKind::Connection).unwrap();
    assert_eq!(
        documents.iter().map(|d| (d.name.clone(), d.bytes.to_vec())).collect::<BTreeMap<_, _>>(),
        model.documents
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn a_session_is_what_a_map_says(steps in prop::collection::vec(step(), 1..40)) {
        let home = home();
        let mut vault = home.create();
        let keys = vault.keys.copy_for_test();
        let mut model = Model { now: NOW, ..Model::default() };
        for step in &steps {
            play(&vault, &mut model, step);
            if matches!(step, Step::Reopen) {
                let epoch = vault.epoch();
                drop(vault);
                vault = reopen(&home.dir, &keys);
                assert_eq!(vault.epoch(), epoch);
            }
            compare(&vault, &model);
        }
        drop(vault);
        compare(&reopen(&home.dir, &keys), &model);
    }

    /// Whatever bytes come, parsing ends in an answer; what it accepts, it writes back the same.
    #[test]
    fn parsers_take_anything(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        let _ = crate::format::parse_record(&bytes);
        if let Ok(header) = crate::format::parse_header(&bytes) {
            prop_assert_eq!(&header.encode()[..], &bytes[..]);
        }
        if let Ok(head) = crate::format::parse_head(&bytes) {
            prop_assert_eq!(head.encode(), bytes);
        }
    }

    #[test]
    fn heads_have_one_encoding(
        kind in 0..5_u8, state in 0..4_u8, version in 0..3_u32, at in 0..3_u64, length in 0..300_000_u32,
        name in "[A-Z0-9_]{0,6}", tail in prop::collection::vec(0..2_u8, 3),
    ) {
        let mut bytes = vec![kind, state];
        bytes.extend(version.to_be_bytes());
        bytes.extend([5; 32]);
        bytes.extend(at.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.push(name.len() as u8);
        bytes.extend(name.bytes());
        bytes.extend(tail);
        bytes.resize(256, 0);
        if let Ok(head) = crate::format::parse_head(&bytes) {
            prop_assert_eq!(head.encode(), bytes);
        }
    }
}
