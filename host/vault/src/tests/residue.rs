use super::*;

fn bytes_in(dir: &Path) -> Vec<(String, Vec<u8>)> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.display().to_string(), std::fs::read(path).unwrap())
        })
        .collect()
}

fn assert_absent(home: &Home, needles: &[&[u8]]) {
    for (file, bytes) in bytes_in(&home.dir) {
        for needle in needles {
            let found = bytes.windows(needle.len()).any(|window| window == *needle);
            assert!(!found, "{} is in {file}", needle[..needle.len().min(24)].escape_ascii());
        }
    }
}

#[test]
fn no_file_holds_a_name_or_a_value_in_the_clear() {
    let home = home();
    let vault = home.create();
    let key = vault.keys.records.bytes().to_vec();
    let needles: [&[u8]; 8] = [
        b"KVCANARY_NAME",
        b"KVCANARY_OTHER",
        b"kvcanary_first",
        b"kvcanary_second",
        b"kvcanary_connection",
        b"kvcanary_document",
        PASSPHRASE.as_bytes(),
        &key,
    ];
    vault.put_secret(&name("KVCANARY_NAME"), value("kvcanary_first"), NOW).unwrap();
    assert_absent(&home, &needles);
    vault.rotate_secret(&name("KVCANARY_NAME"), value("kvcanary_second"), NOW).unwrap();
    vault.rename_secret(&name("KVCANARY_NAME"), &name("KVCANARY_OTHER")).unwrap();
    vault.put_document(crate::DocumentKind::Connection, "kvcanary_connection", b"kvcanary_document").unwrap();
    assert_absent(&home, &needles);
    vault.remove_secret(&name("KVCANARY_OTHER"), NOW).unwrap();
    vault.prune(u64::MAX).unwrap();
    assert_absent(&home, &needles);
    drop(vault);
    assert_absent(&home, &needles);
}

#[test]
fn what_was_erased_is_gone_as_ciphertext_too() {
    let home = home();
    let vault = home.create();
    let id = vault.put_secret(&name("A"), value(vec![1; 10_000]), NOW).unwrap().id;
    let first = vault.sealed_for_test(id, 1);
    vault.rotate_secret(&name("A"), value("short"), NOW).unwrap();
    vault.prune(u64::MAX).unwrap();
    // Values spread over pages; each piece of the old one must be gone, from free pages and from the journal as well.
    let pieces: Vec<&[u8]> = first[296..].chunks(512).collect();
    assert_absent(&home, &pieces);
}

#[test]
fn lengths_show_their_class_only() {
    let home = home();
    let vault = home.create();
    let mut sizes = std::collections::BTreeSet::new();
    for (n, length) in [1, 20, 51, 64].into_iter().enumerate() {
        let meta =
            vault.put_secret(&name(&format!("{}{n}", "N".repeat(1 + 30 * n))), value(vec![1; length]), NOW).unwrap();
        sizes.insert(vault.sealed_for_test(meta.id, 1).len());
    }
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [400]);
    let meta = vault.put_secret(&name("LONGER"), value(vec![1; 65]), NOW).unwrap();
    assert_eq!(vault.sealed_for_test(meta.id, 1).len(), 464);
}
