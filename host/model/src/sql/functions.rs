//! Functions that no statement calls here, and those that only a statement which may write calls.
//!
//! A list by name is a filter, not a wall: it knows the server's own functions and those of well-known extensions, never
//! what a database's people have defined. For these there is the read-only transaction and the role. Names with the
//! server's own prefix `pg_` are refused unless they are known to read, so that a newer server's functions are refused too.

use super::lex::{Kind, Token};

/// Why a function is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It reaches beyond the statement: files, other servers and sessions, the server itself, text run as SQL.
    Beyond,
    /// It changes something that a read leaves alone.
    Writes,
}

/// A function's name, lower case, and what it does there; a name that ends in `*` stands for all that begin so.
const REFUSED: &[(&str, Reach, &str)] = &[
    ("aws_*", Reach::Beyond, "it calls a service"),
    ("binary_upgrade_*", Reach::Beyond, "it is for upgrades of the server"),
    ("brin_desummarize_range", Reach::Writes, "it changes an index"),
    ("brin_summarize_*", Reach::Writes, "it changes an index"),
    ("connectby", Reach::Beyond, "it runs text as SQL"),
    ("create_distributed_*", Reach::Beyond, "it changes other servers"),
    ("crosstab*", Reach::Beyond, "it runs text as SQL"),
    ("currtid*", Reach::Writes, "it locks a relation"),
    ("cursor_to_xml*", Reach::Beyond, "it reads a cursor that the statement does not show"),
    ("database_to_xml*", Reach::Beyond, "it reads tables that the statement does not name"),
    ("dblink*", Reach::Beyond, "it opens connections of its own"),
    ("gin_clean_pending_list", Reach::Writes, "it changes an index"),
    ("heap_force_*", Reach::Beyond, "it changes pages of a table"),
    ("http", Reach::Beyond, "it calls a service"),
    ("http_collect_response", Reach::Beyond, "it calls a service"),
    ("http_delete", Reach::Beyond, "it calls a service"),
    ("http_get", Reach::Beyond, "it calls a service"),
    ("http_head", Reach::Beyond, "it calls a service"),
    ("http_patch", Reach::Beyond, "it calls a service"),
    ("http_post", Reach::Beyond, "it calls a service"),
    ("http_put", Reach::Beyond, "it calls a service"),
    ("http_set_curlopt", Reach::Beyond, "it is for calls of services"),
    ("lo_close", Reach::Writes, "it is for large objects"),
    ("lo_creat", Reach::Writes, "it creates a large object"),
    ("lo_create", Reach::Writes, "it creates a large object"),
    ("lo_export", Reach::Beyond, "it writes a file of the server"),
    ("lo_from_bytea", Reach::Writes, "it creates a large object"),
    ("lo_import*", Reach::Beyond, "it reads a file of the server"),
    ("lo_lseek*", Reach::Writes, "it is for large objects"),
    ("lo_manage", Reach::Writes, "it removes large objects"),
    ("lo_open", Reach::Writes, "it opens large objects for writing"),
    ("lo_put", Reach::Writes, "it writes a large object"),
    ("lo_tell*", Reach::Writes, "it is for large objects"),
    ("lo_truncate*", Reach::Writes, "it writes a large object"),
    ("lo_unlink", Reach::Writes, "it removes a large object"),
    ("loread", Reach::Writes, "it is for large objects"),
    ("lowrite", Reach::Writes, "it writes a large object"),
    ("nextval", Reach::Writes, "it moves a sequence"),
    ("postgres_fdw_disconnect*", Reach::Beyond, "it ends connections"),
    ("query_to_xml*", Reach::Beyond, "it runs text as SQL"),
    ("run_command_on_*", Reach::Beyond, "it runs text as SQL elsewhere"),
    ("schema_to_xml*", Reach::Beyond, "it reads tables that the statement does not name"),
    ("set_config", Reach::Beyond, "it changes the session"),
    ("setseed", Reach::Writes, "it changes the session"),
    ("setval", Reach::Writes, "it moves a sequence"),
    ("table_to_xml*", Reach::Beyond, "it reads a table that the statement names as text"),
    ("ts_rewrite", Reach::Beyond, "it runs text as SQL"),
    ("ts_stat", Reach::Beyond, "it runs text as SQL"),
    ("txid_current", Reach::Writes, "it takes a transaction number"),
    ("xpath_table", Reach::Beyond, "it runs text as SQL"),
    // Of the server's own prefix, what writes but may be called by a statement that writes; all others are `Beyond`.
    ("pg_current_xact_id", Reach::Writes, "it takes a transaction number"),
    ("pg_import_system_collations", Reach::Writes, "it writes to the catalog"),
];

/// Of the prefix `pg_`: what reads, and holds nothing up. Everything else with the prefix is refused.
const READS: &[&str] = &[
    "pg_available_*",
    "pg_backend_pid",
    "pg_blocking_pids",
    "pg_char_to_encoding",
    "pg_client_encoding",
    "pg_collation_actual_version",
    "pg_collation_for",
    "pg_collation_is_visible",
    "pg_column_*",
    "pg_conf_load_time",
    "pg_control_checkpoint",
    "pg_control_init",
    "pg_control_recovery",
    "pg_control_system",
    "pg_conversion_is_visible",
    "pg_current_logfile",
    "pg_current_snapshot",
    "pg_current_wal_*",
    "pg_current_xact_id_if_assigned",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_describe_object",
    "pg_encoding_*",
    "pg_extension_update_paths",
    "pg_filenode_relation",
    "pg_function_is_visible",
    "pg_get_*",
    "pg_has_role",
    "pg_identify_object*",
    "pg_index_column_has_property",
    "pg_index_has_property",
    "pg_indexam_*",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_other_temp_schema",
    "pg_is_wal_replay_paused",
    "pg_jit_available",
    "pg_last_*",
    "pg_lock_status",
    "pg_lsn",
    "pg_my_temp_schema",
    "pg_notification_queue_usage",
    "pg_opclass_is_visible",
    "pg_operator_is_visible",
    "pg_opfamily_is_visible",
    "pg_options_to_table",
    "pg_partition_ancestors",
    "pg_partition_root",
    "pg_partition_tree",
    "pg_postmaster_start_time",
    "pg_prepared_xact",
    "pg_relation_filenode",
    "pg_relation_filepath",
    "pg_relation_is_*",
    "pg_relation_size",
    "pg_safe_snapshot_blocking_pids",
    "pg_sequence_*",
    "pg_settings_get_flags",
    "pg_show_all_settings",
    "pg_size_bytes",
    "pg_size_pretty",
    "pg_stat_get_*",
    "pg_stat_have_stats",
    "pg_statistics_obj_is_visible",
    "pg_table_is_visible",
    "pg_table_size",
    "pg_tablespace_*",
    "pg_timezone_*",
    "pg_total_relation_size",
    "pg_trigger_depth",
    "pg_ts_config_is_visible",
    "pg_ts_dict_is_visible",
    "pg_ts_parser_is_visible",
    "pg_ts_template_is_visible",
    "pg_type_is_visible",
    "pg_typeof",
    "pg_visible_in_snapshot",
    "pg_wal_lsn_diff",
    "pg_walfile_*",
    "pg_xact_commit_timestamp*",
    "pg_xact_status",
];

/// Schemas of extensions that call services or schedule work, whatever the function.
const REFUSED_SCHEMAS: &[&str] = &["aws_commons", "aws_lambda", "aws_s3", "cron", "dblink", "net", "pgagent", "plpy"];

/// Catalogs that hold passwords of roles and of other servers; reading one would hand a credential to the caller.
const CREDENTIAL_CATALOGS: &[&str] = &[
    "pg_authid",
    "pg_shadow",
    "pg_subscription",
    "pg_user_mapping",
    "pg_user_mappings",
    "_pg_user_mappings",
    "user_mapping_options",
];

/// The first function in a statement that is not to be called, with why; `may_write` lets those of
/// [`Reach::Writes`] pass.
pub(super) fn refused(tokens: &[Token<'_>], may_write: bool) -> Option<(String, &'static str)> {
    for (index, token) in tokens.iter().enumerate() {
        let Kind::Word { text, .. } = &token.kind else { continue };
        let name = text.to_ascii_lowercase();
        if CREDENTIAL_CATALOGS.contains(&name.as_str()) {
            return Some((name, "it holds passwords"));
        }
        let place = Position::of(tokens, index);
        if place.called && place.schema.is_some_and(in_refused_schema) {
            return Some((name, "its schema is one of functions that reach beyond the database"));
        }
        // With an alias of that name, `pg_catalog.function` would be a call.
        if name == "pg_catalog" && !tokens.get(index + 1).is_some_and(|next| next.is_punct('.')) {
            return Some((name, "it is the name of the server's own schema and of nothing else"));
        }
        let found = if place.called || place.schema.is_some() { reach(&name, place.calls()) } else { None };
        match found {
            Some((Reach::Writes, _)) if may_write => {}
            Some((_, why)) => return Some((name, why)),
            None => {}
        }
    }
    None
}

/// Where a word stands.
struct Position<'a, 't> {
    /// It is called: a parenthesis follows, and not one of a table's columns.
    called: bool,
    schema: Option<&'a Token<'t>>,
}

impl<'a, 't> Position<'a, 't> {
    fn of(tokens: &'a [Token<'t>], index: usize) -> Self {
        let (before, _) = tokens.split_at_checked(index).unwrap_or_default();
        let (schema, head) = match before {
            [rest @ .., schema, dot] if dot.is_punct('.') => (Some(schema), rest),
            _ => (None, before),
        };
        let columns = head.last().is_some_and(|word| word.is_any(&["EXISTS", "INTO", "REFERENCES", "TABLE"]));
        let opens = tokens.get(index + 1).is_some_and(|next| next.is_punct('('));
        // `(row).function` calls `function(row)`.
        let of_value = schema.is_some_and(|before| before.is_punct(')') || before.is_punct(']'));
        Self { called: of_value || (opens && !columns), schema }
    }
}

impl Position<'_, '_> {
    /// Whether the server may take it for a call. `alias.function` calls `function(alias)` and looks as a column does; only
    /// behind the server's own schema stands a relation.
    fn calls(&self) -> bool {
        let is_own = |token: &Token<'_>| matches!(&token.kind, Kind::Word { text, .. } if text.eq_ignore_ascii_case("pg_catalog"));
        self.called || self.schema.is_some_and(|schema| !is_own(schema))
    }
}

fn in_refused_schema(token: &Token<'_>) -> bool {
    matches!(&token.kind, Kind::Word { text, .. } if REFUSED_SCHEMAS.contains(&text.to_ascii_lowercase().as_str()))
}

/// What a function of that name does; prefixes count only where it is called, since columns have such names too.
pub(super) fn reach(name: &str, called: bool) -> Option<(Reach, &'static str)> {
    let listed = REFUSED.iter().find(|(pattern, _, _)| matches(pattern, name, called));
    if let Some((_, reach, why)) = listed {
        return Some((*reach, why));
    }
    let own = called && name.starts_with("pg_") && !READS.iter().any(|pattern| matches(pattern, name, true));
    own.then_some((Reach::Beyond, "it is the server's own and not known to leave everything as it is"))
}

fn matches(pattern: &str, name: &str, prefixes: bool) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => prefixes && name.starts_with(prefix),
        None => pattern == name,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Volatile functions of the server that change nothing: what they return differs from call to call, or they can
    /// only be called by the server itself (their arguments are of types that no statement can make).
    pub(in super::super) const VOLATILE_BUT_HARMLESS: &[(&str, &str)] = &[
        ("amvalidate", "checks an operator class"),
        ("bernoulli", "a sampling method's handler"),
        ("brinhandler", "an access method's handler"),
        ("bthandler", "an access method's handler"),
        ("clock_timestamp", "reads the clock"),
        ("current_query", "reads the statement"),
        ("currval", "reads the session's last value"),
        ("dsnowball_init", "takes internal arguments"),
        ("dsnowball_lexize", "takes internal arguments"),
        ("gen_random_uuid", "makes a value"),
        ("ginhandler", "an access method's handler"),
        ("gisthandler", "an access method's handler"),
        ("hashhandler", "an access method's handler"),
        ("heap_tableam_handler", "an access method's handler"),
        ("lastval", "reads the session's last value"),
        ("lo_get", "reads a large object"),
        ("plpgsql_call_handler", "a language's handler"),
        ("plpgsql_inline_handler", "takes internal arguments"),
        ("plpgsql_validator", "checks a function"),
        ("random", "makes a value"),
        ("random_normal", "makes a value"),
        ("spghandler", "an access method's handler"),
        ("system", "a sampling method's handler"),
        ("timeofday", "reads the clock"),
        ("txid_status", "reads the state of a transaction"),
        ("uuidv4", "makes a value"),
        ("uuidv7", "makes a value"),
    ];

    /// Each volatile function of a server is named by one list.
    pub(in super::super) fn is_decided(name: &str) -> bool {
        reach(name, true).is_some()
            || VOLATILE_BUT_HARMLESS.iter().any(|(known, _)| *known == name)
            || READS.iter().any(|pattern| matches(pattern, name, true))
    }

    #[test]
    fn lists_are_lower_case_and_do_not_contradict_each_other() {
        for (pattern, _, _) in REFUSED {
            assert_eq!(*pattern, pattern.to_ascii_lowercase());
            let name = pattern.trim_end_matches('*');
            assert!(!READS.iter().any(|reads| matches(reads, name, true)), "{pattern} is in both lists");
            assert!(!VOLATILE_BUT_HARMLESS.iter().any(|(known, _)| known == &name), "{pattern} is in both lists");
        }
        assert!(READS.iter().all(|pattern| pattern.starts_with("pg_")));
    }
}
