//! Names of tables as callers give them: apart, quoted, or as values; never part of a text as they are.

use kv_sdk::{Failure, sql};

/// PostgreSQL cuts a longer name without an error, and it would be another table's.
const MAX_NAME_BYTES: usize = 63;

/// A table, named as the catalog has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

impl Table {
    /// From `users` or `public.users`. With a schema beside it, the name may have a dot in it.
    pub(crate) fn parse(schema: Option<String>, table: String) -> Result<Self, Failure> {
        let named = match (schema, table.split_once('.')) {
            (None, Some((schema, name))) => Self { schema: Some(schema.to_owned()), name: name.to_owned() },
            (schema, _) => Self { schema, name: table },
        };
        check(&named.name, "/table")?;
        if let Some(schema) = &named.schema {
            check(schema, "/schema")?;
        }
        Ok(named)
    }

    /// As SQL writes it, whatever is in it.
    pub(crate) fn quoted(&self) -> Result<String, Failure> {
        let name = sql::identifier(&self.name)?;
        match &self.schema {
            Some(schema) => Ok(format!("{}.{name}", sql::identifier(schema)?)),
            None => Ok(name),
        }
    }
}

fn check(name: &str, field: &str) -> Result<(), Failure> {
    let wrong = match name.len() {
        0 => "the name is empty".to_owned(),
        length if length > MAX_NAME_BYTES => {
            format!("the name has {length} bytes; PostgreSQL's have up to {MAX_NAME_BYTES}")
        }
        _ if name.contains('\0') => "the name has a NUL, which none can".to_owned(),
        _ => return Ok(()),
    };
    Err(Failure::invalid_input(wrong).at(field))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(schema: Option<&str>, table: &str) -> Result<String, Failure> {
        Table::parse(schema.map(str::to_owned), table.to_owned())?.quoted()
    }

    #[test]
    fn names_are_quoted() {
        for (schema, table, quoted) in [
            (None, "users", r#""users""#),
            (None, "public.users", r#""public"."users""#),
            (None, "Users", r#""Users""#),
            (Some("a.b"), "c.d", r#""a.b"."c.d""#),
            (None, r#"x"; drop table y; --"#, r#""x""; drop table y; --""#),
            (None, "a.b.c", r#""a"."b.c""#),
        ] {
            assert_eq!(parse(schema, table).unwrap(), quoted);
        }
        for (schema, table, field) in [
            (None, "", "/table"),
            (None, "s.", "/table"),
            (None, ".t", "/schema"),
            (Some(""), "t", "/schema"),
            (None, "a\0", "/table"),
            (None, &"x".repeat(64), "/table"),
        ] {
            assert_eq!(parse(schema, table).unwrap_err().field.as_deref(), Some(field), "{schema:?} {table}");
        }
    }

    /// Reads a quoted identifier as PostgreSQL's scanner does, and returns what follows it.
    fn scan(text: &str) -> Option<(String, &str)> {
        let mut rest = text.strip_prefix('"')?;
        let mut name = String::new();
        loop {
            let (piece, after) = rest.split_once('"')?;
            name.push_str(piece);
            match after.strip_prefix('"') {
                Some(more) => {
                    name.push('"');
                    rest = more;
                }
                None => return Some((name, after)),
            }
        }
    }

    proptest! {
        #[test]
        fn a_name_is_one_identifier_whatever_is_in_it(schema in proptest::option::of(any::<String>()), table in any::<String>()) {
            let Ok(named) = Table::parse(schema, table) else { return Ok(()) };
            let quoted = named.quoted().unwrap();
            let (first, rest) = scan(&quoted).unwrap();
            match (&named.schema, rest.strip_prefix('.')) {
                (Some(schema), Some(rest)) => {
                    prop_assert_eq!(&first, schema);
                    prop_assert_eq!(scan(rest), Some((named.name.clone(), "")));
                }
                (None, None) => prop_assert_eq!((first, rest), (named.name.clone(), "")),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
