//! Statements that define, drop or grant: which are known, what they name, and how grave they are.

use sqlparser::ast::Statement;

use super::Unreadable;
use super::lex::{Kind, Token};
use super::walk::name_of;
use crate::Effect;

/// Languages whose functions can do no more than their caller's SQL.
const TRUSTED_LANGUAGES: [&str; 2] = ["plpgsql", "sql"];

/// What a definition names; nothing for a statement that is no definition that kv knows.
pub(super) fn names(statement: &Statement) -> Option<Vec<String>> {
    let names = match statement {
        Statement::AlterDefaultPrivileges(_)
        | Statement::AlterRole { .. }
        | Statement::CreateRole(_)
        | Statement::CreateSchema { .. }
        | Statement::CreateUser(_)
        | Statement::Grant(_)
        | Statement::GrantRole(_)
        | Statement::Revoke(_)
        | Statement::RevokeRole(_) => Vec::new(),
        Statement::AlterIndex { name, .. }
        | Statement::CreateSequence { name, .. }
        | Statement::CreateType { name, .. } => {
            vec![name_of(name)]
        }
        Statement::AlterPolicy(policy) => vec![name_of(&policy.table_name)],
        Statement::AlterSchema(schema) => vec![name_of(&schema.name)],
        Statement::AlterTable(table) => vec![name_of(&table.name)],
        Statement::AlterType(kind) => vec![name_of(&kind.name)],
        Statement::AlterView(view) => vec![name_of(&view.name)],
        Statement::Comment { object_name, .. } => vec![name_of(object_name)],
        Statement::CreateDomain(domain) => vec![name_of(&domain.name)],
        Statement::CreateFunction(function) => vec![name_of(&function.name)],
        Statement::CreateIndex(index) => vec![name_of(&index.table_name)],
        Statement::CreatePolicy(policy) => vec![name_of(&policy.table_name)],
        Statement::CreateTable(table) => vec![name_of(&table.name)],
        Statement::CreateTrigger(trigger) => vec![name_of(&trigger.table_name)],
        Statement::CreateView(view) => vec![name_of(&view.name)],
        Statement::Drop { names, .. } => names.iter().take(20).map(name_of).collect(),
        Statement::DropDomain(domain) => vec![name_of(&domain.name)],
        Statement::DropFunction(function) => function.func_desc.iter().take(20).map(|one| name_of(&one.name)).collect(),
        Statement::DropPolicy(policy) => vec![name_of(&policy.table_name)],
        Statement::DropTrigger(trigger) => vec![name_of(&trigger.trigger_name)],
        Statement::RefreshMaterializedView(view) => vec![name_of(&view.name)],
        _ => return None,
    };
    Some(names)
}

/// How grave it is, by its words: a definition that drops something destroys, and one that says who may do what grants.
pub(super) fn effect(verb: &'static str, tokens: &[Token<'_>]) -> Result<Effect, Unreadable> {
    let has = |words: &[&str]| {
        tokens.windows(words.len()).any(|run| run.iter().zip(words).all(|(token, word)| token.is(word)))
    };
    if verb == "create function" {
        check_language(tokens)?;
    }
    let grants = matches!(verb, "grant" | "revoke" | "alter default privileges")
        || verb.ends_with("role")
        || verb.ends_with("policy")
        || has(&["OWNER", "TO"])
        || has(&["SECURITY"])
        || has(&["AUTHORIZATION"]);
    // A column's new type comes with an expression that may keep nothing of what was in it, and no row counts as changed.
    let retypes = verb == "alter table" && has(&["TYPE"]);
    Ok(match (grants, verb.starts_with("drop") || has(&["DROP"]) || retypes) {
        (true, _) => Effect::Grant,
        (false, true) => Effect::Destroy,
        (false, false) => Effect::Write,
    })
}

/// Indexes and partitions can be changed without a lock, but not by a call.
pub(super) fn refuse_concurrently(verb: &str, tokens: &[Token<'_>]) -> Result<(), Unreadable> {
    if verb.starts_with("refresh") || !tokens.iter().any(|token| token.is("CONCURRENTLY")) {
        return Ok(());
    }
    Err(Unreadable::Never {
        what: "a change with CONCURRENTLY",
        why: "it cannot run in a transaction, and each call is one",
    })
}

fn check_language(tokens: &[Token<'_>]) -> Result<(), Unreadable> {
    let mut languages = tokens.windows(2).filter_map(|pair| match pair {
        [keyword, language] if keyword.is("LANGUAGE") => Some(language),
        _ => None,
    });
    let trusted = |language: &Token<'_>| {
        matches!(&language.kind, Kind::Word { text, .. }
            if TRUSTED_LANGUAGES.contains(&text.to_ascii_lowercase().as_str()))
    };
    if languages.all(trusted) {
        return Ok(());
    }
    Err(Unreadable::Never {
        what: "a function in another language than SQL or PL/pgSQL",
        why: "such a function can do anything on the server",
    })
}
