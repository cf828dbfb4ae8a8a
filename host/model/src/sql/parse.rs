//! The second view of a text: a parser's tokens and its tree, held against those of [`lex`](super::lex).
//!
//! The parser knows many dialects and is kinder than the server; it is believed only where both views cut the text at
//! the same places, into the same kinds of tokens.

use sqlparser::ast::Statement;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token as Theirs, TokenWithSpan, Tokenizer};

use super::Unreadable;
use super::lex::{Kind, Place, Token};

/// How deep the tree may become that the parser makes of a chain of operators: each link is a level of it, and walking
/// through and freeing it takes stack. The tests do both with as many on 1 MiB, half of what a thread usually has.
const MAX_HEIGHT: usize = 1_500;
/// As many `UNION`s and the like, which are a chain across commas.
const MAX_SET_OPERATIONS: usize = 100;
/// As many brackets within one another; the parser itself stops at 50 of most things.
const MAX_BRACKETS: usize = 60;

/// The one statement of a text whose tokens, without a semicolon at the end, are these.
pub(super) fn statement(text: &str, tokens: &[Token<'_>]) -> Result<Statement, Unreadable> {
    check_height(tokens)?;
    let theirs = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().map_err(|error| {
        Unreadable::Parse(format!("at line {}, column {}", error.location.line, error.location.column))
    })?;
    agree(tokens, &theirs)?;
    let mut parser = Parser::new(&PostgreSqlDialect {}).with_tokens_with_locations(theirs);
    // The parser knows `TABLE name` within a query only.
    let parsed = if tokens.first().is_some_and(|first| first.is("TABLE")) {
        parser.parse_query().and_then(|query| {
            let _at_the_end = parser.consume_token(&Theirs::SemiColon);
            parser.expect_token(&Theirs::EOF).map(|_| vec![Statement::Query(query)])
        })
    } else {
        parser.parse_statements()
    };
    let mut statements = parsed.map_err(in_our_words)?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (Some(_), false) => Err(Unreadable::Several),
        (None, _) => Err(Unreadable::Empty),
    }
}

/// A token as both views see it: a kind and two places.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cut {
    sort: Sort,
    start: Place,
    end: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Number,
    Param,
    Punct,
    Text,
    Word { quoted: bool },
}

fn agree(ours: &[Token<'_>], theirs: &[TokenWithSpan]) -> Result<(), Unreadable> {
    let mut theirs = theirs.iter().filter(|token| token.token != Theirs::SemiColon).flat_map(cuts);
    for token in ours {
        let sort = match token.kind {
            Kind::Number => Sort::Number,
            Kind::Param => Sort::Param,
            Kind::Punct(_) => Sort::Punct,
            Kind::Text { .. } => Sort::Text,
            Kind::Word { quoted, .. } => Sort::Word { quoted },
        };
        if theirs.next() != Some(Cut { sort, start: token.start, end: token.end }) {
            return Err(twofold(token.start));
        }
    }
    match theirs.next() {
        Some(surplus) => Err(twofold(surplus.start)),
        None => Ok(()),
    }
}

fn twofold(at: Place) -> Unreadable {
    Unreadable::Twofold { what: "its words can be cut in more than one way", line: at.line, column: at.column }
}

/// One of their tokens; an operator in its characters, since how many of them make one operator is no matter here.
fn cuts(token: &TokenWithSpan) -> Vec<Cut> {
    let (start, end) = (place(token.span.start), place(token.span.end));
    let sort = match &token.token {
        Theirs::EOF | Theirs::Whitespace(_) => return Vec::new(),
        Theirs::Number(_, false) => Sort::Number,
        Theirs::Placeholder(_) => Sort::Param,
        Theirs::DollarQuotedString(_)
        | Theirs::EscapedStringLiteral(_)
        | Theirs::HexStringLiteral(_)
        | Theirs::SingleQuotedByteStringLiteral(_)
        | Theirs::SingleQuotedString(_) => Sort::Text,
        Theirs::Word(word) => Sort::Word { quoted: word.quote_style.is_some() },
        _ => {
            let character = |column| Cut {
                sort: Sort::Punct,
                start: Place { line: start.line, column },
                end: Place { line: start.line, column: column + 1 },
            };
            return if start.line == end.line {
                (start.column..end.column).map(character).collect()
            } else {
                Vec::new()
            };
        }
    };
    vec![Cut { sort, start, end }]
}

fn place(location: Location) -> Place {
    Place { line: location.line, column: location.column }
}

/// The parser quotes what it found, which may be a literal; where it stood is enough.
fn in_our_words(error: ParserError) -> Unreadable {
    let ParserError::ParserError(message) = error else { return Unreadable::Deep };
    let expected = message
        .strip_prefix("Expected: ")
        .and_then(|rest| rest.split_once(", found: "))
        .map(|(expected, _)| expected)
        .filter(|expected| expected.len() < 100 && !expected.contains('\''));
    let place = message.rsplit_once(" at Line: ").and_then(|(_, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((line.parse::<u64>().ok()?, column.trim().parse::<u64>().ok()?))
    });
    Unreadable::Parse(match (expected, place) {
        (Some(expected), Some((line, column))) => {
            format!("at line {line}, column {column}, where {expected} was expected")
        }
        (None, Some((line, column))) => format!("at line {line}, column {column}"),
        (Some(expected), None) => format!("{expected} was expected before its end"),
        (None, None) => "kv does not know a part of it".to_owned(),
    })
}

/// An upper bound of the height of the tree, before there is one: within brackets and between commas, each token may
/// add a level, and the highest bracket of them adds its own.
fn check_height(tokens: &[Token<'_>]) -> Result<(), Unreadable> {
    #[derive(Default)]
    struct Level {
        tokens: usize,
        inner: usize,
        height: usize,
    }
    impl Level {
        fn close(&mut self) -> usize {
            self.height = self.height.max(self.tokens + self.inner);
            (self.tokens, self.inner) = (0, 0);
            self.height
        }
    }
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::default();
    let mut set_operations = 0_usize;
    for token in tokens {
        match token.kind {
            Kind::Punct('(' | '[') => outer.push(std::mem::take(&mut level)),
            Kind::Punct(')' | ']') => {
                let height = level.close();
                level = outer.pop().unwrap_or_default();
                level.inner = level.inner.max(height);
                level.tokens += 1;
            }
            Kind::Punct(',') => {
                level.close();
            }
            Kind::Punct('.') => {}
            _ => level.tokens += 1,
        }
        set_operations += usize::from(token.is_any(&["EXCEPT", "INTERSECT", "UNION"]));
        if outer.len() > MAX_BRACKETS || level.tokens + level.inner > MAX_HEIGHT || set_operations > MAX_SET_OPERATIONS
        {
            return Err(Unreadable::Deep);
        }
    }
    Ok(())
}
