//! A walk through a whole parsed statement: what it does and to which tables, however deep that stands.
//!
//! It lets pass what it knows. A part of another database's dialect that the parser would take is refused here, since
//! the server would make something else of it.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, FromTable, GroupByExpr, Ident, MergeAction, ObjectName, Query, Select, SelectFlavor, SetExpr,
    Statement, TableFactor, TableObject, Value, Visit, Visitor,
};

use super::StatementKind;
use super::lex::is_unseen;
use crate::Effect;

/// As many tables as a reading names: more is noise to a person.
const MAX_TABLES: usize = 20;
/// As long as PostgreSQL lets a name be.
const MAX_NAME_CHARS: usize = 63;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Nothing that changes rows or locks them is let pass.
    reads: bool,
    /// The gravest of the changes of rows.
    pub change: Option<(StatementKind, Effect)>,
    /// What a change changes.
    pub targets: Vec<String>,
    pub tables: Vec<String>,
    /// Some change is of every row.
    pub everything: bool,
    subqueries: Vec<String>,
    is_function: bool,
}

/// What a part is that is not let pass.
pub(super) type Refusal = &'static str;

impl Walk {
    pub(super) fn through(statement: &Statement, reads: bool) -> Result<Self, Refusal> {
        let mut walk = Self { reads, ..Self::default() };
        if let ControlFlow::Break(refusal) = statement.visit(&mut walk) {
            return Err(refusal);
        }
        if walk.targets.iter().any(|name| is_of_the_server(name)) {
            return Err("it changes rows of the server's own catalog, which only definitions and grants should");
        }
        let Self { subqueries, targets, .. } = &walk;
        let mut tables = targets.clone();
        tables.extend(walk.tables.iter().filter(|name| !subqueries.contains(name)).cloned());
        walk.tables = deduplicated(tables);
        walk.targets = deduplicated(std::mem::take(&mut walk.targets));
        Ok(walk)
    }

    fn changes(&mut self, kind: StatementKind, effect: Effect) -> ControlFlow<Refusal> {
        if self.reads {
            return ControlFlow::Break(match kind {
                StatementKind::Delete => "it has a DELETE in it",
                StatementKind::Insert => "it has an INSERT in it",
                StatementKind::Merge => "it has a MERGE in it",
                _ => "it has an UPDATE in it",
            });
        }
        if self.change.is_none_or(|(_, known)| known < effect) {
            self.change = Some((kind, effect));
        }
        ControlFlow::Continue(())
    }

    fn target(&mut self, factor: &TableFactor) {
        if let TableFactor::Table { name, .. } = factor {
            self.targets.push(name_of(name));
        }
    }

    fn every_row(&mut self, condition: Option<&Expr>) {
        self.everything |= condition.is_none_or(|condition| is_always(condition) || !names_anything(condition));
    }
}

impl Visitor for Walk {
    type Break = Refusal;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Refusal> {
        match statement {
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
                from.iter().for_each(|table| self.target(&table.relation));
                self.every_row(delete.selection.as_ref());
                if !delete.order_by.is_empty() || delete.limit.is_some() || delete.output.is_some() {
                    return ControlFlow::Break("its DELETE is of another database's kind");
                }
                self.changes(StatementKind::Delete, Effect::Destroy)
            }
            Statement::Insert(insert) => {
                if let TableObject::TableName(name) = &insert.table {
                    self.targets.push(name_of(name));
                }
                if insert.overwrite || insert.ignore || insert.replace_into || !insert.assignments.is_empty() {
                    return ControlFlow::Break("its INSERT is of another database's kind");
                }
                self.changes(StatementKind::Insert, Effect::Write)
            }
            Statement::Merge(merge) => {
                self.target(&merge.table);
                let deletes = merge.clauses.iter().any(|clause| matches!(clause.action, MergeAction::Delete { .. }));
                self.changes(StatementKind::Merge, if deletes { Effect::Destroy } else { Effect::Write })
            }
            Statement::Update(update) => {
                self.target(&update.table.relation);
                self.every_row(update.selection.as_ref());
                if !update.order_by.is_empty() || update.limit.is_some() || update.output.is_some() {
                    return ControlFlow::Break("its UPDATE is of another database's kind");
                }
                self.changes(StatementKind::Update, Effect::Write)
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refusal> {
        if self.reads && !query.locks.is_empty() {
            return ControlFlow::Break("it locks rows (FOR UPDATE or FOR SHARE)");
        }
        if query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty()
        {
            return ControlFlow::Break("it has a part of another database's language");
        }
        for part in query.with.iter().flat_map(|with| &with.cte_tables) {
            if part.from.is_some() {
                return ControlFlow::Break("it has a part of another database's language");
            }
            self.subqueries.push(ident_of(&part.alias.name));
        }
        if let SetExpr::Table(table) = &*query.body {
            let parts = [&table.schema_name, &table.table_name];
            self.tables.push(parts.into_iter().flatten().map(ident_of).collect::<Vec<_>>().join("."));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Refusal> {
        if self.reads && select.into.is_some() {
            return ControlFlow::Break("it is a SELECT INTO, which makes a table");
        }
        let group_by_all = matches!(&select.group_by, GroupByExpr::All(_));
        if select.top.is_some()
            || select.exclude.is_some()
            || select.prewhere.is_some()
            || select.qualify.is_some()
            || select.value_table_mode.is_some()
            || select.select_modifiers.is_some()
            || select.flavor != SelectFlavor::Standard
            || group_by_all
            || !select.lateral_views.is_empty()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
        {
            return ControlFlow::Break("it has a part of another database's language");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Refusal> {
        match factor {
            TableFactor::Table { args, .. } => self.is_function = args.is_some(),
            TableFactor::Derived { .. }
            | TableFactor::Function { .. }
            | TableFactor::JsonTable { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::TableFunction { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::XmlTable { .. } => {}
            _ => return ControlFlow::Break("it has a part of another database's language"),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_ident(&mut self, ident: &Ident) -> ControlFlow<Refusal> {
        match ident.quote_style {
            Some('\'') if self.reads => ControlFlow::Break("it has a string where a name should stand"),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Refusal> {
        if !std::mem::take(&mut self.is_function) {
            self.tables.push(name_of(relation));
        }
        ControlFlow::Continue(())
    }
}

/// `true` for a table of the server's own, as [`name_of`] writes it.
fn is_of_the_server(name: &str) -> bool {
    let name = name.replace('"', "").to_ascii_lowercase();
    match name.rsplit_once('.') {
        Some((schema, _)) => {
            matches!(schema.rsplit('.').next(), Some("information_schema" | "pg_catalog" | "pg_toast"))
        }
        None => name.starts_with("pg_"),
    }
}

/// `true` for a condition that names columns and still holds for (nearly) every row: what somebody writes who was told that a
/// change needs a `where`. It finds the usual ways, not all of them; it is for a person's eye, and the limit of changes holds
/// without it.
fn is_always(condition: &Expr) -> bool {
    match condition {
        Expr::Nested(inner) => is_always(inner),
        Expr::Value(value) => matches!(value.value, Value::Boolean(true)),
        Expr::IsTrue(inner) | Expr::IsNotFalse(inner) => is_always(inner),
        Expr::IsNotDistinctFrom(left, right) => is_same(left, right),
        Expr::Like { negated: false, pattern, .. } | Expr::ILike { negated: false, pattern, .. } => {
            is_any_text(pattern)
        }
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::And => is_always(left) && is_always(right),
            BinaryOperator::Or => {
                is_always(left) || is_always(right) || is_complement(left, right) || is_complement(right, left)
            }
            BinaryOperator::Eq | BinaryOperator::GtEq | BinaryOperator::LtEq => {
                is_same(left, right) || (!names_anything(left) && !names_anything(right))
            }
            _ => !names_anything(condition),
        },
        _ => false,
    }
}

/// The same column, whether or not its table is named.
fn is_same(left: &Expr, right: &Expr) -> bool {
    fn bare(expr: &Expr) -> &Expr {
        if let Expr::Nested(inner) = expr { bare(inner) } else { expr }
    }
    let column = |expr: &Expr| match bare(expr) {
        Expr::Identifier(name) => Some((None, ident_of(name))),
        Expr::CompoundIdentifier(names) => {
            let [table @ .., column] = names.as_slice() else { return None };
            Some((Some(table.iter().map(ident_of).collect::<Vec<_>>()), ident_of(column)))
        }
        _ => None,
    };
    match (column(left), column(right)) {
        (Some((None, left)), Some((_, right))) | (Some((_, left)), Some((None, right))) => left == right,
        (Some(left), Some(right)) => left == right,
        _ => bare(left) == bare(right),
    }
}

fn is_complement(left: &Expr, right: &Expr) -> bool {
    let bare = |expr: &Expr| if let Expr::Nested(inner) = expr { (**inner).clone() } else { expr.clone() };
    matches!((bare(left), bare(right)), (Expr::IsNull(left), Expr::IsNotNull(right)) if is_same(&left, &right))
}

fn is_any_text(pattern: &Expr) -> bool {
    matches!(pattern, Expr::Value(value)
        if matches!(&value.value, Value::SingleQuotedString(text) if !text.is_empty() && text.bytes().all(|b| b == b'%')))
}

/// `true` for a condition that hangs on a row: one without a column or a subquery is true of all or of none.
fn names_anything(condition: &Expr) -> bool {
    struct Names;
    impl Visitor for Names {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::CompoundFieldAccess { .. } | Expr::CompoundIdentifier(_) | Expr::Identifier(_) => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    condition.visit(&mut Names).is_break()
}

/// `true` for a query whose body, under its parentheses, is a list of values.
pub(super) fn is_values(query: &Query) -> bool {
    match &*query.body {
        SetExpr::Query(inner) => is_values(inner),
        SetExpr::Values(_) => true,
        _ => false,
    }
}

/// A name as people write it, and inert.
pub(super) fn name_of(name: &ObjectName) -> String {
    let part = |part: &sqlparser::ast::ObjectNamePart| part.as_ident().map_or_else(|| "?".to_owned(), ident_of);
    name.0.iter().take(3).map(part).collect::<Vec<_>>().join(".")
}

/// Where the parser takes a string for a name, nothing of the string is shown.
fn ident_of(ident: &Ident) -> String {
    if ident.quote_style.is_some_and(|quote| quote != '"') {
        return "?".to_owned();
    }
    let text = if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() };
    let plain = |c: char| c == '_' || c == '$' || c.is_ascii_lowercase() || c.is_ascii_digit();
    let short = text.chars().take(MAX_NAME_CHARS).map(|c| if is_unseen(c) { '?' } else { c }).collect::<String>();
    if short.chars().all(plain) && !short.starts_with(|c: char| c.is_ascii_digit()) {
        short
    } else {
        format!("\"{short}\"")
    }
}

fn deduplicated(names: Vec<String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for name in names {
        if once.len() < MAX_TABLES && !once.contains(&name) {
            once.push(name);
        }
    }
    once
}
