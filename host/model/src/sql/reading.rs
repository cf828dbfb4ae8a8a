//! What a statement is and does, by the host's own reading of its text.
//!
//! Two views that know nothing of each other have to agree: the tokens of [`lex`](super::lex), after the server's
//! documented rules, and a parser's tree. A text that either does not understand, or that they cut up differently, is
//! refused. What is taken is an allowlist; this never mends a text, and what is sent is the text itself.

use std::fmt;

use sqlparser::ast::Statement;

use super::functions::MAX_CALLS;
use super::lex::{self, Token};
use super::parse;
use super::verb::{self, Verb};
use super::walk::{Walk, is_values};
use super::{definition, functions};
use crate::Effect;

/// As many tables as are shown in a line.
const SHOWN_TABLES: usize = 5;
/// As many characters of one table's name as are shown in a line: schema and table of the usual length.
const SHOWN_NAME_CHARS: usize = 130;
const HOW_TO_WRITE: &str = "`kv sql` is for statements that may write";

/// A statement that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub kind: StatementKind,
    /// The least that it does.
    pub effect: Effect,
    /// It changes or removes every row of a table: nothing in it chooses among the rows.
    pub everything: bool,
    /// The tables that it names, as they are written, each once and at most 20; those that it changes come first.
    pub tables: Vec<String>,
    /// Functions that it calls by name and of which nothing is known here, as the server's catalog writes their names.
    pub calls: Vec<String>,
    changed: usize,
    verb: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementKind {
    Delete,
    Explain,
    /// Gives or takes away rights.
    Grant,
    Insert,
    Merge,
    /// Defines or drops something: the kinds that a person writes by hand.
    Schema,
    Select,
    Show,
    Truncate,
    Update,
    Values,
}

/// Why a statement's text is refused. None of these repeats a literal of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("it has {what}, at line {line}, column {column}")]
    Character { what: &'static str, line: u64, column: u64 },
    #[error("it calls more than {MAX_CALLS} functions that kv does not know")]
    Calls,
    #[error("it is too deeply nested, or one expression of it is too long")]
    Deep,
    #[error("it is empty")]
    Empty,
    #[error("it calls or names `{name}`: {why}")]
    Function { name: String, why: &'static str },
    #[error("it is {what}: {why}")]
    Never { what: &'static str, why: &'static str },
    #[error("it is not one that only reads: it is {what}; {HOW_TO_WRITE}")]
    NotARead { what: &'static str },
    #[error("it does not parse: {0}")]
    Parse(String),
    #[error("{0}")]
    Part(&'static str),
    #[error("{0}; {HOW_TO_WRITE}")]
    PartNotARead(&'static str),
    #[error("it is more than one statement, and a call is one")]
    Several,
    #[error("it can be read in two ways: {what}, at line {line}, column {column}")]
    Twofold { what: &'static str, line: u64, column: u64 },
    #[error("the {what} that begins at line {line}, column {column} has no end")]
    Unended { what: &'static str, line: u64, column: u64 },
    #[error("it begins with no statement that kv knows")]
    Unknown,
}

impl Reading {
    /// Of a statement that may do nothing but read.
    pub fn of_read(text: &str) -> Result<Self, Unreadable> {
        let tokens = lex::tokens(text)?;
        let tokens = one_statement(&tokens)?;
        reads_by_its_words(tokens)?;
        refuse_functions(tokens, false)?;
        let statement = parse::statement(text, tokens)?;
        let walk = Walk::through(&statement, true).map_err(Unreadable::PartNotARead)?;
        let read = Self::of_reading_statement(&statement, walk)?;
        Ok(Self { calls: functions::unknown_calls(tokens).ok_or(Unreadable::Calls)?, ..read })
    }

    fn of_reading_statement(statement: &Statement, walk: Walk) -> Result<Self, Unreadable> {
        match statement {
            Statement::Explain { statement: inner, .. } => {
                let inner =
                    Self::of_query(inner, walk).ok_or(Unreadable::Part("it explains something else than a query"))?;
                Ok(inner.explained(Effect::Read))
            }
            Statement::Query(_) => Self::of_query(statement, walk).ok_or(Unreadable::Unknown),
            Statement::ShowVariable { .. } => Ok(Self::plain(StatementKind::Show, Effect::Read, "show", walk)),
            _ => Err(Unreadable::Part("it is read as something else than its first word says")),
        }
    }

    /// Of any statement that a call may be.
    pub fn of_any(text: &str) -> Result<Self, Unreadable> {
        let tokens = lex::tokens(text)?;
        let tokens = one_statement(&tokens)?;
        let verb = allowed(tokens)?;
        if let Verb::Change(verb) = verb {
            definition::refuse_concurrently(verb, tokens)?;
        }
        refuse_functions(tokens, true)?;
        let statement = parse::statement(text, tokens)?;
        let walk = Walk::through(&statement, false).map_err(Unreadable::Part)?;
        let read = Self::of_any_statement(&statement, verb, tokens, walk)?;
        Ok(Self { calls: functions::unknown_calls(tokens).ok_or(Unreadable::Calls)?, ..read })
    }

    fn of_any_statement(
        statement: &Statement,
        verb: Verb,
        tokens: &[Token<'_>],
        walk: Walk,
    ) -> Result<Self, Unreadable> {
        let wrong = Unreadable::Part("it is read as something else than its first word says");
        match (statement, verb) {
            (Statement::ShowVariable { .. }, Verb::Show) => {
                Ok(Self::plain(StatementKind::Show, Effect::Read, "show", walk))
            }
            (Statement::Explain { statement: inner, .. }, Verb::Explain) => {
                let effect = Effect::Write;
                let inner =
                    Self::of_rows(inner, walk).ok_or(Unreadable::Part("it explains no query and no change of rows"))?;
                Ok(inner.explained(effect))
            }
            (statement, Verb::Query) => Self::of_rows(statement, walk).ok_or(wrong),
            (statement, Verb::Change(verb)) => match Self::of_rows(statement, walk) {
                Some(reading) => Ok(reading),
                None => Self::of_definition(statement, verb, tokens),
            },
            _ => Err(wrong),
        }
    }

    fn plain(kind: StatementKind, effect: Effect, verb: &'static str, walk: Walk) -> Self {
        let Walk { everything, targets, tables, .. } = walk;
        Self { kind, effect, everything, changed: targets.len(), tables, calls: Vec::new(), verb }
    }

    fn of_query(statement: &Statement, walk: Walk) -> Option<Self> {
        let Statement::Query(query) = statement else { return None };
        let (kind, verb) = match is_values(query) {
            true => (StatementKind::Values, "values"),
            false => (StatementKind::Select, "select from"),
        };
        Some(Self::plain(kind, Effect::Read, verb, walk))
    }

    /// Of a query as something that may write, or of a change of rows.
    fn of_rows(statement: &Statement, walk: Walk) -> Option<Self> {
        match (statement, walk.change) {
            (Statement::Truncate(_), _) => {
                let reading = Self::plain(StatementKind::Truncate, Effect::Destroy, "truncate", walk);
                Some(Self { everything: true, ..reading })
            }
            (
                Statement::Delete(_)
                | Statement::Insert(_)
                | Statement::Merge(_)
                | Statement::Query(_)
                | Statement::Update(_),
                Some((kind, effect)),
            ) => Some(Self::plain(kind, effect, kind.verb(), walk)),
            (Statement::Query(_), None) => {
                Self::of_query(statement, walk).map(|read| Self { effect: Effect::Write, ..read })
            }
            _ => None,
        }
    }

    fn of_definition(statement: &Statement, verb: &'static str, tokens: &[Token<'_>]) -> Result<Self, Unreadable> {
        let tables = definition::names(statement)
            .ok_or(Unreadable::Part("it is a definition of a kind that kv does not know"))?;
        let effect = definition::effect(verb, tokens)?;
        let kind = if matches!(verb, "grant" | "revoke") { StatementKind::Grant } else { StatementKind::Schema };
        Ok(Self { kind, effect, everything: false, changed: tables.len(), tables, calls: Vec::new(), verb })
    }

    /// What of it takes rows away that no server counts as changed: a limit of rows does not hold for it.
    pub fn uncounted(&self) -> Option<&'static str> {
        match self.kind {
            StatementKind::Truncate => Some("a truncate"),
            StatementKind::Schema if self.effect >= Effect::Destroy => {
                Some("a definition that drops or changes something")
            }
            _ => None,
        }
    }

    /// What it explains may be carried out (`ANALYZE`), so that it has the other's effect.
    fn explained(self, effect: Effect) -> Self {
        Self { kind: StatementKind::Explain, effect: self.effect.graver(effect), ..self }
    }
}

impl StatementKind {
    fn verb(self) -> &'static str {
        match self {
            StatementKind::Delete => "delete from",
            StatementKind::Explain => "explain",
            StatementKind::Grant => "grant",
            StatementKind::Insert => "insert into",
            StatementKind::Merge => "merge into",
            StatementKind::Schema => "define",
            StatementKind::Select => "select from",
            StatementKind::Show => "show",
            StatementKind::Truncate => "truncate",
            StatementKind::Update => "update",
            StatementKind::Values => "values",
        }
    }
}

/// The tokens of the one statement, without the semicolon at its end.
fn one_statement<'a, 't>(tokens: &'a [Token<'t>]) -> Result<&'a [Token<'t>], Unreadable> {
    let tokens = match tokens {
        [rest @ .., last] if last.is_punct(';') => rest,
        _ => tokens,
    };
    if tokens.is_empty() {
        return Err(Unreadable::Empty);
    }
    if tokens.iter().any(|token| token.is_punct(';')) {
        return Err(Unreadable::Several);
    }
    Ok(tokens)
}

fn allowed(tokens: &[Token<'_>]) -> Result<Verb, Unreadable> {
    match Verb::of(tokens) {
        Verb::Never(what, why) => Err(Unreadable::Never { what, why }),
        Verb::Unknown => Err(Unreadable::Unknown),
        verb => Ok(verb),
    }
}

/// The lexer's own view of what only reads, without the parser: by the few words that make a query write.
fn reads_by_its_words(tokens: &[Token<'_>]) -> Result<(), Unreadable> {
    let query = match allowed(tokens)? {
        Verb::Change(verb) => return Err(Unreadable::NotARead { what: named(verb) }),
        Verb::Explain => verb::explained(tokens),
        Verb::Show => {
            let name = tokens.iter().all(|token| matches!(token.kind, lex::Kind::Word { .. }) || token.is_punct('.'));
            return if name { Ok(()) } else { Err(Unreadable::Part("it is a SHOW of something else than a setting")) };
        }
        Verb::Never(..) | Verb::Query | Verb::Unknown => tokens,
    };
    match allowed(query)? {
        Verb::Query => {}
        Verb::Change(verb) => return Err(Unreadable::NotARead { what: named(verb) }),
        _ => return Err(Unreadable::Part("it explains something else than a query")),
    }
    for (index, token) in query.iter().enumerate() {
        let next = query.get(index + 1);
        if token.is("INTO") {
            return Err(Unreadable::PartNotARead("it has an INTO, which makes a table or a row"));
        }
        if token.is("FOR") && next.is_some_and(|next| next.is_any(&["KEY", "NO", "SHARE", "UPDATE"])) {
            return Err(Unreadable::PartNotARead("it locks rows (FOR UPDATE or FOR SHARE)"));
        }
        let before = index.checked_sub(1).and_then(|before| query.get(before));
        let begins = before.is_some_and(|before| before.is_punct('(') || before.is_punct(')'));
        let goes_on = next.is_some_and(|next| !next.is_punct(')') && !next.is_punct(','));
        if begins && goes_on && token.is_any(&["DELETE", "INSERT", "MERGE", "UPDATE"]) {
            return Err(Unreadable::PartNotARead("it has an INSERT, UPDATE, DELETE or MERGE in it"));
        }
    }
    Ok(())
}

fn named(verb: &'static str) -> &'static str {
    match verb {
        "delete from" => "a DELETE",
        "grant" => "a GRANT",
        "insert into" => "an INSERT",
        "merge into" => "a MERGE",
        "revoke" => "a REVOKE",
        "truncate" => "a TRUNCATE",
        "update" => "an UPDATE",
        _ => "a change of the schema",
    }
}

fn refuse_functions(tokens: &[Token<'_>], may_write: bool) -> Result<(), Unreadable> {
    match functions::refused(tokens, may_write) {
        Some((name, why)) => Err(Unreadable::Function { name, why }),
        None => Ok(()),
    }
}

/// For the audit log and for people: verb and tables, never a value.
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == StatementKind::Explain {
            f.write_str("explain ")?;
        }
        let (changed, read) = self.tables.split_at_checked(self.changed).unwrap_or_default();
        match (changed, read) {
            ([], []) => f.write_str(self.verb.trim_end_matches(" from"))?,
            ([], read) => write!(f, "{} {}", self.verb, Names(read))?,
            (changed, []) => write!(f, "{} {}", self.verb, Names(changed))?,
            (changed, read) => write!(f, "{} {} (reads {})", self.verb, Names(changed), Names(read))?,
        }
        if self.everything {
            f.write_str(", every row")?;
        }
        Ok(())
    }
}

struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().take(SHOWN_TABLES).enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            match name.char_indices().nth(SHOWN_NAME_CHARS) {
                Some((end, _)) => write!(f, "{}...", name.get(..end).unwrap_or_default())?,
                None => f.write_str(name)?,
            }
        }
        match self.0.len().saturating_sub(SHOWN_TABLES) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
