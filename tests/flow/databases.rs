//! A person at a terminal and a database: connecting it, and changing something in it.

use serde_json::json;

use crate::harness::{Kv, all_right};

/// A whole URL is typed where the host is asked for, the password where nobody sees it; it is tried at once, and what was found is
/// said.
#[test]
fn a_person_connects_a_database() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    std::fs::write(kv.beside("ca.pem"), db.ca_pem()).expect("the test's own folder");
    let script = r#""$KV" connect postgres --name typed --ca ca.pem; echo "ended $?""#;
    let Some(mut terminal) = kv.on_terminal(script) else { return };
    terminal.wait_for("Host, or the whole URL");
    terminal.say(&format!("postgres://{}@127.0.0.1:{}/{}\n", db.role("app"), db.port(), db.name));
    terminal.wait_for("Name of the secret with the password [TYPED_PASSWORD]:");
    terminal.say("\n");
    terminal.wait_for("The password (hidden):");
    terminal.say(&format!("{}\n", db.password("app").value));
    terminal.wait_for("Is that meant? [y/N]");
    terminal.say("y\n");
    terminal.wait_for("Connect? [y/N]");
    terminal.say("y\n");
    // The end of the test searches all that was printed for the password.
    let ran = terminal.end().ok();
    let words = [
        "would be   typed",
        "connection typed",
        "SCRAM-SHA-256 with channel binding",
        "TLS 1.3",
        "public.items",
        "kv query typed 'select 1'",
        "ended 0",
    ];
    let missing: Vec<_> =
        words.iter().filter(|word| !ran.stdout.contains(**word)).map(|word| format!("no {word:?}")).collect();
    all_right(words.len(), &missing.iter().map(|word| format!("{word} in {}", ran.stdout)).collect::<Vec<_>>());
    assert_eq!(db.query("typed", "select count(*) from items").json()["rows"], json!([[100]]));
    assert!(kv.run(["secret", "list"]).ok().stdout.contains("TYPED_PASSWORD"));
}

/// Host, port, database and user one by one; a password in the visible line is not taken.
#[test]
fn a_person_is_asked_for_what_is_missing() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    std::fs::write(kv.beside("ca.pem"), db.ca_pem()).expect("the test's own folder");
    let script = r#"
        "$KV" connect postgres --name visible; echo "first $?"
        "$KV" connect postgres --name asked --ca ca.pem --bind password=PASSWORD_OF_APP; echo "second $?""#;
    let Some(mut terminal) = kv.on_terminal(script) else { return };
    terminal.wait_for("Host, or the whole URL");
    terminal.say("postgres://app:not-the-password@127.0.0.1/shop\n");
    let mut first = String::new();
    while !first.contains("first 2") {
        first.push_str(&terminal.line().expect("it goes on"));
    }
    assert!(first.contains("typed where everybody sees it"), "{first}");
    for (question, answer) in [
        ("Host, or the whole URL", "127.0.0.1".to_owned()),
        ("Port [5432]:", db.port().to_string()),
        ("Database:", db.name.clone()),
        ("User:", db.role("app")),
        ("Is that meant? [y/N]", "y".to_owned()),
        ("Connect? [y/N]", "n".to_owned()),
    ] {
        terminal.wait_for(question);
        terminal.say(&format!("{answer}\n"));
    }
    let ran = terminal.end();
    assert!(ran.stdout.contains("nothing was connected"), "{}", ran.stdout);
    for name in ["visible", "asked"] {
        assert_ne!(kv.run(["connection", "show", name]).code, 0, "{name} was made all the same");
    }
}

/// `kv sql` shows what a statement would touch, waits for the answer, and does it then or not at all.
#[test]
fn a_person_looks_before_a_change() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    for operation in ["preview", "execute", "destroy"] {
        db.allow("owner", operation);
    }
    let script = r#""$KV" sql owner 'delete from items where id <= $1 returning id' 2; echo "ended $?""#;
    for (answer, left, ended) in [("n", "100", "ended 1"), ("y", "98", "ended 0")] {
        let Some(mut terminal) = kv.on_terminal(script) else { return };
        terminal.wait_for("touches    2 rows (tried, and rolled back)");
        terminal.wait_for("Run it? [y/N]");
        assert_eq!(db.sql("select count(*) from items"), "100");
        terminal.say(&format!("{answer}\n"));
        let ran = terminal.end();
        assert!(ran.stdout.contains(ended), "{}", ran.stdout);
        assert_eq!(db.sql("select count(*) from items"), left, "{}", ran.stdout);
    }
}
