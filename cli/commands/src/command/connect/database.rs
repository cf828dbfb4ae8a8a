//! A database: where, which, as whom. A person who gave little is asked for the rest.

use kv_model::{Dsn, Tls};

use super::Made;
use crate::problem::Problem;

const EXAMPLE: &str = "kv connect postgres USER@HOST/DATABASE --bind password=SECRET";
const USUAL_PORT: &str = "5432";

pub(super) async fn complete(made: &mut Made<'_>, target: Option<&str>) -> Result<(), Problem> {
    let asking = made.context.asking;
    let is_given = target.is_some() || made.request.origin.is_some();
    if target.is_some() && made.request.origin.is_some() {
        return Err(Problem::usage("the place is given twice, as a word and as --origin"));
    }
    let text = match (target, &made.request.origin) {
        (Some(text), _) => text.to_owned(),
        (None, Some(origin)) => origin.clone(),
        (None, None) => {
            let host = asking.line("Host, or the whole URL without its password", None, EXAMPLE)?;
            if super::has_password(&host) {
                return Err(Problem::usage("a password was typed where everybody sees it; it was not taken")
                    .next("leave it out: kv connect postgres asks for it without echo")
                    .next("if that was a real password, change it at its server"));
            }
            if host.contains([':', '@', '/', '=']) {
                host
            } else {
                format!("{host}:{}", asking.line("Port", Some(USUAL_PORT), EXAMPLE)?)
            }
        }
    };
    let dsn = read(&text)?;
    for name in &dsn.left_out {
        made.context.output.note(&format!("`{name}` has no effect in kv"));
    }
    made.request.origin = Some(dsn.origin.to_string());
    // In the order in which people think of them. Without a terminal, what is missing is said by the daemon.
    if let Some(database) = &dsn.database {
        made.set("database", database)?;
    } else if !made.has_setting("database") && asking.possible() {
        let database = asking.line("Database", None, EXAMPLE)?;
        made.set("database", &database)?;
    }
    match &dsn.user {
        Some(user) => made.set("user", user)?,
        None if !made.has_setting("user") => {
            let user = asking.line("User", None, EXAMPLE)?;
            made.set("user", &user)?;
        }
        None => {}
    }
    if dsn.tls != Tls::VerifyFull {
        made.set("tls", dsn.tls.as_str())?;
    }
    let has_login = made.is_bound("password") || made.is_bound("client-key");
    if !has_login && asking.possible() && !(is_given && made.request.replace) {
        made.ask_secret("password", "password", "PASSWORD").await?;
    }
    Ok(())
}

/// A DSN, or what people write for one: `app@db.test:5432/shop`. None of it is a password.
fn read(text: &str) -> Result<Dsn, Problem> {
    let is_whole = text.contains("://") || Dsn::looks_like(text.as_bytes());
    let whole = if is_whole { text.to_owned() } else { format!("postgres://{text}") };
    Dsn::parse(whole.as_bytes())
        .map_err(|error| Problem::usage(format!("the database's place is not understood: {error}")).next(EXAMPLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, origin, user, database) in [
            ("db.test", "postgres://db.test", None, None),
            ("db.test:6000", "postgres://db.test:6000", None, None),
            ("app@db.test/shop", "postgres://db.test", Some("app"), Some("shop")),
            ("[2001:db8::1]:6000/shop", "postgres://[2001:db8::1]:6000", None, Some("shop")),
            ("postgresql://app@db.test/shop", "postgres://db.test", Some("app"), Some("shop")),
            ("host=db.test user=app dbname=shop", "postgres://db.test", Some("app"), Some("shop")),
        ] {
            let dsn = read(text).unwrap();
            assert_eq!(dsn.origin.to_string(), origin, "{text}");
            assert_eq!((dsn.user.as_deref(), dsn.database.as_deref()), (user, database), "{text}");
        }
        for text in ["https://db.test", "a.test,b.test", "/var/run/postgresql", "", "db.test?options=-c"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
