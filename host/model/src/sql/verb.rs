//! What a statement is, by its first words: those that may go out, and a name for each of the others.

use super::lex::Token;

/// What the first words say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// A change of rows, a definition or a grant, with its first words.
    Change(&'static str),
    Explain,
    /// Never sent, with what it is called and why.
    Never(&'static str, &'static str),
    Query,
    Show,
    Unknown,
}

const TRANSACTION: Verb = Verb::Never("transaction control", "kv itself opens and ends the transaction");
const SESSION: &str = "a session is the same for each caller";
const HIDDEN: &str = "what it runs is not in its text";
const NOTICE: &str = "it is for programs that keep a session open";
const CURSOR: &str = "a call is one statement, and cursors take several";
const OUTSIDE: &str = "it cannot run in a transaction, and each call is one";
const SERVER: &str = "it changes the server or what it loads";
const ELSEWHERE: &str = "it reaches another server";

/// In alphabetical order; two words before their first alone.
const VERBS: &[(&[&str], Verb)] = &[
    (&["ABORT"], TRANSACTION),
    (&["ALTER", "DATABASE"], Verb::Never("an ALTER DATABASE", SERVER)),
    (&["ALTER", "DEFAULT", "PRIVILEGES"], Verb::Change("alter default privileges")),
    (&["ALTER", "EXTENSION"], Verb::Never("an ALTER EXTENSION", SERVER)),
    (&["ALTER", "FOREIGN"], Verb::Never("an ALTER FOREIGN", ELSEWHERE)),
    (&["ALTER", "FUNCTION"], Verb::Never("an ALTER FUNCTION", "define the function anew instead")),
    (&["ALTER", "GROUP"], Verb::Change("alter role")),
    (&["ALTER", "INDEX"], Verb::Change("alter index")),
    (&["ALTER", "MATERIALIZED"], Verb::Change("alter materialized view")),
    (&["ALTER", "POLICY"], Verb::Change("alter policy")),
    (&["ALTER", "ROLE"], Verb::Change("alter role")),
    (&["ALTER", "SCHEMA"], Verb::Change("alter schema")),
    (&["ALTER", "SERVER"], Verb::Never("an ALTER SERVER", ELSEWHERE)),
    (&["ALTER", "SYSTEM"], Verb::Never("an ALTER SYSTEM", SERVER)),
    (&["ALTER", "TABLE"], Verb::Change("alter table")),
    (&["ALTER", "TYPE"], Verb::Change("alter type")),
    (&["ALTER", "USER"], Verb::Change("alter role")),
    (&["ALTER", "VIEW"], Verb::Change("alter view")),
    (&["ALTER"], Verb::Never("an ALTER of another kind", "kv knows those of tables, views, indexes, types and roles")),
    (&["ANALYSE"], Verb::Never("an ANALYZE", "it is upkeep of the server")),
    (&["ANALYZE"], Verb::Never("an ANALYZE", "it is upkeep of the server")),
    (&["BEGIN"], TRANSACTION),
    (&["CALL"], Verb::Never("a CALL", HIDDEN)),
    (&["CHECKPOINT"], Verb::Never("a CHECKPOINT", SERVER)),
    (&["CLOSE"], Verb::Never("a cursor's CLOSE", CURSOR)),
    (&["CLUSTER"], Verb::Never("a CLUSTER", "it is upkeep of the server")),
    (&["COMMENT"], Verb::Change("comment on")),
    (&["COMMIT"], TRANSACTION),
    (&["COPY"], Verb::Never("a COPY", "it moves data past the statement, from files and programs too")),
    (&["CREATE", "DATABASE"], Verb::Never("a CREATE DATABASE", OUTSIDE)),
    (&["CREATE", "DOMAIN"], Verb::Change("create domain")),
    (&["CREATE", "EXTENSION"], Verb::Never("a CREATE EXTENSION", SERVER)),
    (&["CREATE", "FOREIGN"], Verb::Never("a CREATE FOREIGN", ELSEWHERE)),
    (&["CREATE", "FUNCTION"], Verb::Change("create function")),
    (&["CREATE", "GROUP"], Verb::Change("create role")),
    (&["CREATE", "INDEX"], Verb::Change("create index")),
    (&["CREATE", "MATERIALIZED"], Verb::Change("create materialized view")),
    (&["CREATE", "OR", "REPLACE", "FUNCTION"], Verb::Change("create function")),
    (&["CREATE", "OR", "REPLACE", "TRIGGER"], Verb::Change("create trigger")),
    (&["CREATE", "OR", "REPLACE", "VIEW"], Verb::Change("create view")),
    (&["CREATE", "POLICY"], Verb::Change("create policy")),
    (&["CREATE", "PUBLICATION"], Verb::Never("a CREATE PUBLICATION", ELSEWHERE)),
    (&["CREATE", "ROLE"], Verb::Change("create role")),
    (&["CREATE", "SCHEMA"], Verb::Change("create schema")),
    (&["CREATE", "SEQUENCE"], Verb::Change("create sequence")),
    (&["CREATE", "SERVER"], Verb::Never("a CREATE SERVER", ELSEWHERE)),
    (&["CREATE", "SUBSCRIPTION"], Verb::Never("a CREATE SUBSCRIPTION", ELSEWHERE)),
    (&["CREATE", "TABLE"], Verb::Change("create table")),
    (&["CREATE", "TABLESPACE"], Verb::Never("a CREATE TABLESPACE", OUTSIDE)),
    (&["CREATE", "TEMP"], Verb::Never("a CREATE of something temporary", SESSION)),
    (&["CREATE", "TEMPORARY"], Verb::Never("a CREATE of something temporary", SESSION)),
    (&["CREATE", "TRIGGER"], Verb::Change("create trigger")),
    (&["CREATE", "TYPE"], Verb::Change("create type")),
    (&["CREATE", "UNIQUE"], Verb::Change("create index")),
    (&["CREATE", "UNLOGGED"], Verb::Change("create table")),
    (&["CREATE", "USER", "MAPPING"], Verb::Never("a CREATE USER MAPPING", ELSEWHERE)),
    (&["CREATE", "USER"], Verb::Change("create role")),
    (&["CREATE", "VIEW"], Verb::Change("create view")),
    (&["CREATE"], Verb::Never("a CREATE of another kind", "kv knows those of tables, views, indexes, types and roles")),
    (&["DEALLOCATE"], Verb::Never("a DEALLOCATE", SESSION)),
    (&["DECLARE"], Verb::Never("a cursor's DECLARE", CURSOR)),
    (&["DELETE"], Verb::Change("delete from")),
    (&["DISCARD"], Verb::Never("a DISCARD", SESSION)),
    (&["DO"], Verb::Never("a DO block", HIDDEN)),
    (&["DROP", "DATABASE"], Verb::Never("a DROP DATABASE", OUTSIDE)),
    (&["DROP", "DOMAIN"], Verb::Change("drop domain")),
    (&["DROP", "FUNCTION"], Verb::Change("drop function")),
    (&["DROP", "GROUP"], Verb::Change("drop role")),
    (&["DROP", "INDEX"], Verb::Change("drop index")),
    (&["DROP", "MATERIALIZED"], Verb::Change("drop materialized view")),
    (&["DROP", "POLICY"], Verb::Change("drop policy")),
    (&["DROP", "ROLE"], Verb::Change("drop role")),
    (&["DROP", "SCHEMA"], Verb::Change("drop schema")),
    (&["DROP", "SEQUENCE"], Verb::Change("drop sequence")),
    (&["DROP", "TABLE"], Verb::Change("drop table")),
    (&["DROP", "TRIGGER"], Verb::Change("drop trigger")),
    (&["DROP", "TYPE"], Verb::Change("drop type")),
    (&["DROP", "USER", "MAPPING"], Verb::Never("a DROP USER MAPPING", ELSEWHERE)),
    (&["DROP", "USER"], Verb::Change("drop role")),
    (&["DROP", "VIEW"], Verb::Change("drop view")),
    (&["DROP"], Verb::Never("a DROP of another kind", "kv knows those of tables, views, indexes, types and roles")),
    (&["END"], TRANSACTION),
    (&["EXECUTE"], Verb::Never("an EXECUTE", HIDDEN)),
    (&["EXPLAIN"], Verb::Explain),
    (&["FETCH"], Verb::Never("a cursor's FETCH", CURSOR)),
    (&["GRANT"], Verb::Change("grant")),
    (&["IMPORT"], Verb::Never("an IMPORT FOREIGN SCHEMA", ELSEWHERE)),
    (&["INSERT"], Verb::Change("insert into")),
    (&["LISTEN"], Verb::Never("a LISTEN", NOTICE)),
    (&["LOAD"], Verb::Never("a LOAD", SERVER)),
    (&["LOCK"], Verb::Never("a LOCK", "it holds up everybody else")),
    (&["MERGE"], Verb::Change("merge into")),
    (&["MOVE"], Verb::Never("a cursor's MOVE", CURSOR)),
    (&["NOTIFY"], Verb::Never("a NOTIFY", NOTICE)),
    (&["PREPARE"], Verb::Never("a PREPARE", SESSION)),
    (&["REASSIGN"], Verb::Never("a REASSIGN OWNED", "it does not say what it changes")),
    (&["REFRESH"], Verb::Change("refresh materialized view")),
    (&["REINDEX"], Verb::Never("a REINDEX", "it is upkeep of the server")),
    (&["RELEASE"], TRANSACTION),
    (&["RESET"], Verb::Never("a RESET", SESSION)),
    (&["REVOKE"], Verb::Change("revoke")),
    (&["ROLLBACK"], TRANSACTION),
    (&["SAVEPOINT"], TRANSACTION),
    (&["SECURITY"], Verb::Never("a SECURITY LABEL", SERVER)),
    (&["SELECT"], Verb::Query),
    (&["SET"], Verb::Never("a SET", SESSION)),
    (&["SHOW"], Verb::Show),
    (&["START"], TRANSACTION),
    (&["TABLE"], Verb::Query),
    (&["TRUNCATE"], Verb::Change("truncate")),
    (&["UNLISTEN"], Verb::Never("an UNLISTEN", NOTICE)),
    (&["UPDATE"], Verb::Change("update")),
    (&["VACUUM"], Verb::Never("a VACUUM", OUTSIDE)),
    (&["VALUES"], Verb::Query),
    (&["WITH"], Verb::Query),
];

impl Verb {
    pub(super) fn of(tokens: &[Token<'_>]) -> Self {
        if tokens.first().is_some_and(|first| first.is_punct('(')) {
            return Verb::Query;
        }
        let begins = |words: &[&str]| {
            words.len() <= tokens.len() && words.iter().zip(tokens).all(|(word, token)| token.is(word))
        };
        VERBS.iter().find(|(words, _)| begins(words)).map_or(Verb::Unknown, |(_, verb)| *verb)
    }
}

/// The first word of a statement that `EXPLAIN` explains.
pub(super) fn explained<'a, 't>(tokens: &'a [Token<'t>]) -> &'a [Token<'t>] {
    let rest = tokens.get(1..).unwrap_or_default();
    if rest.first().is_some_and(|first| first.is_punct('(')) && !starts_query(rest.get(1)) {
        let close = rest.iter().position(|token| token.is_punct(')')).unwrap_or(rest.len());
        return rest.get(close + 1..).unwrap_or_default();
    }
    let options = rest.iter().take_while(|token| token.is_any(&["ANALYSE", "ANALYZE", "VERBOSE"])).count();
    rest.get(options..).unwrap_or_default()
}

fn starts_query(token: Option<&Token<'_>>) -> bool {
    token.is_some_and(|token| token.is_any(&["SELECT", "TABLE", "VALUES", "WITH"]) || token.is_punct('('))
}
