//! A DSN is taken or refused; a password comes only from one that is taken, and its other parts never hold it.
#![no_main]
use kv_model::{Dsn, Origin};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let _ = Dsn::looks_like(text);
    let password = Dsn::password_of(text);
    match Dsn::parse(text) {
        Ok(dsn) => {
            assert_eq!(Origin::parse(&dsn.origin.to_string()), Ok(dsn.origin));
            assert!(
                dsn.user.iter().chain(&dsn.database).all(|name| !name.is_empty() && !name.contains(char::is_control))
            );
            assert!(password.is_none_or(|password| !password.is_empty() && !password.contains(&0)));
        }
        Err(_) => assert!(password.is_none()),
    }
});
