//! Rows that are ours but not in their place: each opens only as a damaged vault.

use super::*;
use crate::error::Damage;
use crate::store::StoreError;

/// A vault with A (rotated once), B and a document, closed.
fn furnished(home: &Home) -> Keys {
    let vault = home.create();
    vault.put_secret(&name("A"), value("a1"), NOW).unwrap();
    vault.rotate_secret(&name("A"), value("a2"), NOW).unwrap();
    vault.put_secret(&name("B"), value("b1"), NOW).unwrap();
    vault.put_document(crate::DocumentKind::Connection, "c", b"{}").unwrap();
    vault.keys.copy_for_test()
}

fn rows(home: &Home) -> Vec<(Vec<u8>, Vec<u8>)> {
    let connection = Connection::open(home.file()).unwrap();
    let mut statement = connection.prepare("SELECT id, sealed FROM records ORDER BY id").unwrap();
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

fn put(home: &Home, id: &[u8], sealed: &[u8]) {
    let connection = Connection::open(home.file()).unwrap();
    connection.execute("INSERT OR REPLACE INTO records VALUES (?1, ?2)", (id, sealed)).unwrap();
}

fn damage(home: &Home, keys: &Keys) -> Damage {
    let store = Vault::open(&home.dir).unwrap().store;
    match Unlocked::load(store, keys.copy_for_test()) {
        Err(StoreError::Damaged(damage)) => damage,
        Err(StoreError::Storage(error)) => panic!("{error}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn rows_exchanged_in_every_pair() {
    let home = home();
    let keys = furnished(&home);
    let rows = rows(&home);
    for (i, (first_id, first)) in rows.iter().enumerate() {
        for (second_id, second) in &rows[i + 1..] {
            put(&home, first_id, second);
            put(&home, second_id, first);
            assert_eq!(damage(&home, &keys), Damage::Seal);
            put(&home, first_id, first);
            put(&home, second_id, second);
        }
    }
    drop(reopen(&home.dir, &keys));
}

#[test]
fn the_body_of_one_under_the_head_of_another() {
    let home = home();
    let keys = furnished(&home);
    let rows = rows(&home);
    let (head, body) = (&rows[0].1[..296], &rows[1].1[296..]);
    put(&home, &rows[0].0, &[head, body].concat());
    assert_eq!(damage(&home, &keys), Damage::Root);
}

#[test]
fn rows_taken_away_doubled_and_restored() {
    let home = home();
    let keys = furnished(&home);
    for (id, sealed) in rows(&home) {
        let connection = Connection::open(home.file()).unwrap();
        connection.execute("DELETE FROM records WHERE id = ?1", [&id]).unwrap();
        drop(connection);
        assert_eq!(damage(&home, &keys), Damage::Root);
        let other_id = [7; 16];
        put(&home, &other_id, &sealed);
        assert_eq!(damage(&home, &keys), Damage::Seal);
        home.tamper("DELETE FROM records WHERE id = x'07070707070707070707070707070707'");
        put(&home, &id, &sealed);
        put(&home, &other_id, &sealed);
        assert_eq!(damage(&home, &keys), Damage::Seal);
        home.tamper("DELETE FROM records WHERE id = x'07070707070707070707070707070707'");
    }
    let before = rows(&home);
    let vault = reopen(&home.dir, &keys);
    vault.remove_secret(&name("B"), NOW).unwrap();
    vault.prune(NOW + 2 * crate::REDACT_OLD_MS).unwrap();
    drop(vault);
    let after = rows(&home);
    for (id, sealed) in before.iter().filter(|row| !after.contains(row)) {
        put(&home, id, sealed);
        assert_eq!(damage(&home, &keys), Damage::Root);
        Connection::open(home.file()).unwrap().execute("DELETE FROM records WHERE id = ?1", [id]).unwrap();
    }
    drop(reopen(&home.dir, &keys));
}

#[test]
fn an_older_self_of_a_row_or_of_the_root() {
    let home = home();
    let keys = furnished(&home);
    let root = |home: &Home| -> Vec<u8> {
        Connection::open(home.file()).unwrap().query_row("SELECT sealed FROM root", [], |row| row.get(0)).unwrap()
    };
    let (old_rows, old_root) = (rows(&home), root(&home));
    let vault = reopen(&home.dir, &keys);
    vault.rotate_secret(&name("B"), value("b2"), NOW).unwrap();
    vault.put_document(crate::DocumentKind::Connection, "c", b"{\"x\":1}").unwrap();
    drop(vault);
    let (new_rows, new_root) = (rows(&home), root(&home));
    let set_root =
        |root: &[u8]| Connection::open(home.file()).unwrap().execute("UPDATE root SET sealed = ?1", [root]).unwrap();
    let mut changed = 0;
    for (id, sealed) in &old_rows {
        let now = &new_rows.iter().find(|row| row.0 == *id).unwrap().1;
        if now != sealed {
            put(&home, id, sealed);
            assert!(matches!(damage(&home, &keys), Damage::Root | Damage::Doubled(_)));
            put(&home, id, now);
            changed += 1;
        }
    }
    assert_eq!(changed, 2);
    set_root(&old_root);
    assert_eq!(damage(&home, &keys), Damage::Root);
    set_root(&new_root[..40]);
    assert_eq!(damage(&home, &keys), Damage::Root);
    set_root(&new_root);
    drop(reopen(&home.dir, &keys));
}

#[test]
fn parts_of_another_vault_with_the_same_passphrase() {
    let (home, other) = (home(), home());
    let (keys, other_keys) = (furnished(&home), furnished(&other));
    put(&home, &rows(&home)[0].0, &rows(&other)[0].1);
    assert_eq!(damage(&home, &keys), Damage::Seal);

    // The whole set with its root, under this vault's header: the other's keys open it, and the header gives it away.
    let attach = format!("ATTACH '{}' AS other;", other.file().display());
    home.tamper(&format!(
        "{attach} DELETE FROM records; INSERT INTO records SELECT * FROM other.records;
         UPDATE root SET sealed = (SELECT sealed FROM other.root)"
    ));
    assert_eq!(damage(&home, &keys), Damage::Root);
    assert_eq!(damage(&home, &other_keys), Damage::Root);
}

#[test]
fn an_old_header_does_not_bring_the_old_passphrase_back() {
    let home = home();
    drop(furnished(&home));
    let old: Vec<u8> =
        Connection::open(home.file()).unwrap().query_row("SELECT bytes FROM header", [], |row| row.get(0)).unwrap();
    let vault = Vault::open(&home.dir).unwrap().unlock(&passphrase(PASSPHRASE), NOW).unwrap();
    vault.change_passphrase(&passphrase(PASSPHRASE), &passphrase("new"), KdfParams::FLOOR, NOW).unwrap();
    drop(vault);
    Connection::open(home.file()).unwrap().execute("UPDATE header SET bytes = ?1", [&old]).unwrap();
    let error = Vault::open(&home.dir).unwrap().unlock(&passphrase(PASSPHRASE), NOW).err().unwrap();
    assert!(matches!(error, crate::UnlockError::Damaged(Damage::Root)));
}
