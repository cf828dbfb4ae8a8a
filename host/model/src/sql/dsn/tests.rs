use proptest::prelude::*;

use super::*;
use crate::HostKind;

fn shown(text: &str) -> String {
    match Dsn::parse(text.as_bytes()) {
        Err(error) => format!("! {error}"),
        Ok(dsn) => {
            let password = Dsn::password_of(text.as_bytes());
            let password = password.as_deref().map(|password| String::from_utf8_lossy(password).into_owned());
            let fields = [dsn.user, dsn.database, password].map(|field| field.unwrap_or_else(|| "-".to_owned()));
            format!("{} {} {}", dsn.origin, fields.join(" "), dsn.tls)
        }
    }
}

#[test]
fn urls_and_lines() {
    for (text, expected) in [
        ("postgres://app:pw@db.example.com/main", "postgres://db.example.com app main pw verify-full"),
        (
            "postgresql://app:pw@db.example.com:6543/main?sslmode=require",
            "postgres://db.example.com:6543 app main pw verify-full",
        ),
        ("postgres://app@DB.example.com", "postgres://db.example.com app - - verify-full"),
        ("postgres://db.example.com/", "postgres://db.example.com - - - verify-full"),
        ("postgres://app:@db.example.com/x", "postgres://db.example.com app x - verify-full"),
        ("postgres://app:p%40%3A%2F%25w@db.example.com/x", "postgres://db.example.com app x p@:/%w verify-full"),
        ("postgres://a%40b:pw@db.example.com/my%20db", "postgres://db.example.com a@b my db pw verify-full"),
        ("postgres://app:p+w@[::1]:5433/x?sslmode=disable", "postgres://[::1]:5433 app x p+w off"),
        (
            "postgres://app:pw@127.0.0.1/x?sslmode=verify-ca&application_name=y",
            "postgres://127.0.0.1 app x pw verify-ca",
        ),
        (" postgres://app:pw@db.example.com/x\n", "postgres://db.example.com app x pw verify-full"),
        ("host=db.example.com user=app password=pw dbname=main", "postgres://db.example.com app main pw verify-full"),
        ("host = db.example.com port = 6543 user = 'app'", "postgres://db.example.com:6543 app - - verify-full"),
        (r"host=db.example.com password='p w\'\\x' user=a", r"postgres://db.example.com a - p w'\x verify-full"),
        (r"host=db.example.com password=p\ w user=a", "postgres://db.example.com a - p w verify-full"),
        ("host=::1 user=a password=''", "postgres://[::1] a - - verify-full"),
        ("host=db.example.com user=a password=a%41", "postgres://db.example.com a - a%41 verify-full"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
        assert!(Dsn::looks_like(text.as_bytes()), "{text}");
    }
}

#[test]
fn what_reaches_further_is_refused_by_name() {
    for (text, why) in [
        ("postgres://u:CANARY@h.example.com/d?host=evil.example.com", "the parameter `host`: it says otherwise"),
        ("postgres://u:CANARY@h.example.com/d?port=1", "the parameter `port`"),
        ("postgres://u:CANARY@h.example.com/d?user=root", "the parameter `user`"),
        ("postgres://u:CANARY@h.example.com/d?password=CANARY2", "the parameter `password`"),
        ("postgres://u:CANARY@h.example.com/d?dbname=x", "the parameter `dbname`"),
        ("postgres://u:CANARY@h.example.com/d?hostaddr=10.0.0.1", "the parameter `hostaddr`"),
        ("postgres://u:CANARY@h.example.com/d?service=x", "the parameter `service`"),
        ("postgres://u:CANARY@h.example.com/d?passfile=/etc/x", "the parameter `passfile`"),
        ("postgres://u:CANARY@h.example.com/d?options=-c%20a%3Db", "the parameter `options`"),
        ("postgres://u:CANARY@h.example.com/d?target_session_attrs=any", "the parameter `target_session_attrs`"),
        ("postgres://u:CANARY@h.example.com/d?sslcert=/a", "the parameter `sslcert`"),
        ("postgres://u:CANARY@h.example.com/d?sslkey=/a", "the parameter `sslkey`"),
        ("postgres://u:CANARY@h.example.com/d?sslrootcert=/a", "the parameter `sslrootcert`"),
        ("postgres://u:CANARY@h.example.com/d?sslmode=require&sslmode=disable", "says `sslmode` twice"),
        ("postgres://u:CANARY@h.example.com/d?sslmode=of", "its `sslmode` is none of"),
        ("postgres://u:CANARY@h.example.com/d?%68ostaddr=1", "a parameter that kv does not know"),
        ("postgres://u:CANARY@h.example.com/d?CANARY=1", "a parameter that kv does not know"),
        ("postgres://u:CANARY@h.example.com/d?HOST=1", "a parameter that kv does not know"),
        ("postgres://u:CANARY@h.example.com/d?connect_timeout=1&connect_timeout=1", "says `connect_timeout` twice"),
        ("postgres://u:CANARY@h.example.com/d?", "it is neither"),
        ("postgres://u:CANARY@h.example.com/d?a", "it is neither"),
        ("postgres://u:CANARY@a.example.com,b.example.com/d", "several hosts"),
        ("postgres://u:CANARY@a.example.com:1,b.example.com:2/d", "several hosts"),
        ("postgres://u:CANARY@%2Fvar%2Frun/d", "socket"),
        ("postgres:///d", "it names no host"),
        ("postgres://u:CANARY@/d", "it names no host"),
        ("postgres://u:CANARY@h%2eexample.com/d", "its host or port cannot be"),
        ("postgres://u:CANARY@h.example.com:0/d", "its host or port cannot be"),
        ("postgres://u:CANARY@h.example.com:99999/d", "its host or port cannot be"),
        ("postgres://u:CAN@ARY@h.example.com/d", "its `password` has a character"),
        ("postgres://u:CAN:ARY@h.example.com/d", "its `password` has a character"),
        ("postgres://u:CAN/ARY@h.example.com/d", "its host or port cannot be"),
        ("postgres://u:CAN?ARY@h.example.com/d", "it is neither"),
        ("postgres://u:CAN#ARY@h.example.com/d", "its `#` has a character"),
        ("postgres://u:CANARY%@h.example.com/d", "its `password` has a character"),
        ("postgres://u:CANARY%zz@h.example.com/d", "its `password` has a character"),
        ("postgres://u:CANARY%00@h.example.com/d", "its `password` has a character"),
        ("postgres://u%00:CANARY@h.example.com/d", "its `user` is empty"),
        ("postgres://u%ff:CANARY@h.example.com/d", "its `user` is empty"),
        ("postgres://u:CANARY@h.example.com/d/e", "its `dbname` is empty"),
        ("postgres://u:CANARY@h.example.com/host%3Devil", "its `dbname` is empty"),
        ("postgres://u:CANARY@h.example.com/d%0a", "its `dbname` is empty"),
        ("host=h.example.com hostaddr=10.0.0.1 password=CANARY", "the parameter `hostaddr`"),
        ("host=h.example.com host=evil.example.com password=CANARY", "says `host` twice"),
        ("host=/var/run password=CANARY", "socket"),
        ("host=@abstract password=CANARY", "socket"),
        ("host=a.example.com,b.example.com password=CANARY", "several hosts"),
        ("host=h.example.com dbname='host=evil' password=CANARY", "its `dbname` is empty"),
        ("host=h.example.com dbname=postgres://evil password=CANARY", "its `dbname` is empty"),
        ("host=h.example.com password='CANARY", "it is neither"),
        ("host=h.example.com password='CANARY'x", "it is neither"),
        ("host=h.example.com CANARY", "it is neither"),
        ("service=x", "the parameter `service`"),
        ("user=x dbname=y", "it names no host"),
        ("CANARY", "it is neither"),
        ("", "it is neither"),
        ("mysql://u:CANARY@h/d", "it is neither"),
        ("Postgres://u:CANARY@h/d", "it is neither"),
    ] {
        let shown = shown(text);
        assert!(shown.starts_with("! ") && shown.contains(why), "{text}\n  {shown}\n  {why}");
        assert!(!shown.contains("CAN") && !shown.contains("ARY"), "{text}: {shown}");
        assert!(Dsn::password_of(text.as_bytes()).is_none(), "{text}");
    }
    let long = format!("postgres://u:{}@h.example.com/d", "p".repeat(5_000));
    assert_eq!(Dsn::parse(long.as_bytes()), Err(DsnError::TooLong));
}

#[test]
fn a_bare_password_is_not_taken_for_a_dsn() {
    for text in ["hunter2", "", "p=ss", "a=b c=d", "host=", "user=", "https://example.com", "sk-live=="] {
        assert!(!Dsn::looks_like(text.as_bytes()), "{text}");
    }
    // What is meant as one is one, though it is refused.
    for text in ["POSTGRES://x", "postgres://", "host=a user=b", "host=a  password=b x"] {
        assert!(Dsn::looks_like(text.as_bytes()), "{text}");
    }
}

#[test]
fn debug_shows_no_password() {
    let text = b"postgres://app:CANARY@127.0.0.1/x?application_name=y";
    let dsn = Dsn::parse(text).unwrap();
    assert_eq!(dsn.origin.host_kind(), HostKind::Loopback);
    assert_eq!(dsn.left_out, ["application_name"]);
    assert!(!format!("{dsn:?}").contains("CANARY"));
}

proptest! {
    #[test]
    fn any_bytes_are_a_dsn_or_refused(text in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Dsn::looks_like(&text);
        prop_assert_eq!(Dsn::parse(&text).is_err() && Dsn::password_of(&text).is_some(), false);
    }

    #[test]
    fn a_password_comes_back_as_it_was(password in prop::collection::vec(1..=255_u8, 1..40)) {
        let encoded = password.iter().map(|b| format!("%{b:02X}")).collect::<String>();
        let url = format!("postgres://u:{encoded}@h.example.com/d");
        prop_assert_eq!(Dsn::password_of(url.as_bytes()).map(|found| found.to_vec()), Some(password.clone()));
        let mut line = b"host=h.example.com password='".to_vec();
        for b in &password {
            if matches!(b, b'\'' | b'\\') {
                line.push(b'\\');
            }
            line.push(*b);
        }
        line.extend(b"' user=u");
        prop_assert_eq!(Dsn::password_of(&line).map(|found| found.to_vec()), Some(password));
    }

    #[test]
    fn nothing_but_the_named_host_is_ever_asked(text in "postgres://[a-z:@/?#&=%,.]{0,40}h\\.example\\.com[a-z:@/?#&=%,.]{0,20}") {
        if let Ok(dsn) = Dsn::parse(text.as_bytes()) {
            let host = dsn.origin.host();
            prop_assert!(text.contains(&host) && !host.contains(','), "{} became {}", text, host);
        }
    }
}
