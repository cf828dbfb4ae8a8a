use super::*;

fn scheme() -> Scheme {
    let user = Template::parse("{setting:user}").unwrap();
    Scheme::Login { user, password: None, key: None, passphrase: None, certificate: None }
}

#[test]
fn user_names() {
    for good in ["root", "deploy-1", "a.b", "ec2-user", "svc_x", "me@corp.test", "CORP\\me", "host$", "_apt", "1"] {
        assert_eq!(user(good.to_owned(), &scheme()).unwrap(), good);
    }
    let long = "a".repeat(MAX_USER + 1);
    for bad in [
        "",
        "-l",
        "a b",
        "a\nb",
        "a\0",
        "$(id)",
        "`id`",
        "a;b",
        "a|b",
        "a/b",
        "a'b",
        "\u{1b}[2J",
        "\u{202e}",
        "é",
        &long,
    ] {
        let setting = SettingName::parse("user").unwrap();
        assert_eq!(user(bad.to_owned(), &scheme()), Err(SendError::Setting { setting }), "{bad:?}");
    }
}

#[test]
fn what_is_no_key() {
    for text in
        ["", "nonsense", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "\u{0}"]
    {
        assert_eq!(private_key(text.as_bytes(), None).err(), Some(Unfit::NotKey), "{text:?}");
    }
    assert_eq!(private_key(&[0xff, 0xfe], None).err(), Some(Unfit::NotText));
}
