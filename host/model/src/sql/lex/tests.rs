use super::*;

fn sorts(text: &str) -> String {
    let show = |token: &Token<'_>| match &token.kind {
        Kind::Number => "1".to_owned(),
        Kind::Param => "$".to_owned(),
        Kind::Punct(c) => c.to_string(),
        Kind::Text { .. } => "'".to_owned(),
        Kind::Word { text, quoted: false } => text.to_string(),
        Kind::Word { text, quoted: true } => format!("<{text}>"),
    };
    tokens(text).unwrap_or_else(|error| panic!("{text}: {error}")).iter().map(show).collect::<Vec<_>>().join(" ")
}

#[test]
fn cut_as_the_server_cuts() {
    for (text, expected) in [
        ("select 1", "select 1"),
        ("select/**/1--x", "select 1"),
        ("select /* /* */ ; */ 1", "select 1"),
        ("select 1 -- ; \n, 2", "select 1 , 1"),
        ("select 1 -- ; \r, 2", "select 1 , 1"),
        ("select ''", "select '"),
        ("select 'it''s ; --'", "select '"),
        (r"select '\d+' , 'a\\'", "select ' , '"),
        (r"select E'\'; --' , e'\\'", "select ' , '"),
        ("select $$;'$$ , $a$ $$ ; $b$ $a$", "select ' , '"),
        ("select $é$", "!"),
        ("select $1+$23", "select $ + $"),
        ("select a$1, _b", "select a$1 , _b"),
        ("select \"a\"\"b;\" , \"É\"", "select <a\"b;> , <É>"),
        ("select b'01', X'fF'", "select ' , '"),
        ("select 1.5, .5, 1., 1e5, 1.5E-3", "select 1 , 1 , 1 , 1 , 1"),
        ("select a.b, t.*", "select a . b , t . *"),
        ("select a->>'b', a::int", "select a - > > ' , a : : int"),
        ("select a[1:2]", "select a [ 1 : 1 ]"),
        ("select größe", "select größe"),
    ] {
        if expected == "!" {
            assert!(tokens(text).is_err(), "{text}");
        } else {
            assert_eq!(sorts(text), expected, "{text}");
        }
    }
}

#[test]
fn refused_rather_than_guessed() {
    for (text, why) in [
        ("select 'a", "the string that begins at line 1, column 8 has no end"),
        ("select \"a", "the quoted name that begins at line 1, column 8 has no end"),
        ("select $$a", "the dollar-quoted string that begins at line 1, column 8 has no end"),
        ("select /* /* */ 1", "the comment that begins at line 1, column 8 has no end"),
        ("select \0", "it has a NUL, at line 1, column 8"),
        ("select '\0'", "it has a NUL, at line 1, column 9"),
        ("\u{feff}select 1", "it has a byte order mark, at line 1, column 1"),
        ("select\u{a0}1", "it has a character that no statement has outside a string, at line 1, column 7"),
        ("select\u{200b}1", "it has an invisible or control character outside a string, at line 1, column 7"),
        ("select 1 /* \u{202e} */", "it has an invisible character in a comment, at line 1, column 13"),
        ("select \"a\u{202e}\"", "it has an invisible or control character in a name, at line 1, column 10"),
        ("select \"\"", "it has an empty name, at line 1, column 10"),
        ("select U&'\\0061'", "it has `U&` and a quote: write the characters themselves, at line 1, column 9"),
        ("select u&\"d\"", "it has `U&` and a quote: write the characters themselves, at line 1, column 9"),
        (
            "select '\\' ; drop table t --'",
            "it can be read in two ways: a backslash before a quote; write E'...' or '' for a quote, at line 1, column 10",
        ),
        ("select 'a'\n'b'", "it can be read in two ways: two strings side by side, at line 2, column 1"),
        ("select E'a' --\n'b'", "it can be read in two ways: two strings side by side, at line 2, column 1"),
        ("select 1a", "it can be read in two ways: a number with letters on its end, at line 1, column 9"),
        ("select 0x1F", "it can be read in two ways: a number with letters on its end, at line 1, column 9"),
        ("select 1_000", "it can be read in two ways: a number with letters on its end, at line 1, column 9"),
        ("select 1e", "it can be read in two ways: a number with letters on its end, at line 1, column 10"),
        ("select $1a", "it can be read in two ways: a parameter with letters on its end, at line 1, column 10"),
        ("select 1..2", "it has two dots, at line 1, column 9"),
        (
            "select N'a'",
            "it can be read in two ways: a word that a string follows without a space, at line 1, column 9",
        ),
        (
            "select b\"a\"",
            "it can be read in two ways: a word that a quoted word follows without a space, at line 1, column 9",
        ),
        ("select b'2'", "it has something in a bit string that is no digit of it, at line 1, column 10"),
        (
            "\u{17f}elect 1",
            "it can be read in two ways: a word with letters that look like others, at line 1, column 7",
        ),
        ("select \\ 1", "it has a character that no statement has outside a string, at line 1, column 8"),
        ("select { 1 }", "it has a character that no statement has outside a string, at line 1, column 8"),
    ] {
        match tokens(text) {
            Ok(tokens) => panic!("{text:?} became {tokens:?}"),
            Err(error) => assert_eq!(error.to_string(), why, "{text:?}"),
        }
    }
}
