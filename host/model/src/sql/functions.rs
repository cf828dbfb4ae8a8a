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
    ("master_*", Reach::Beyond, "it changes other servers"),
    ("oracle_*", Reach::Beyond, "it reaches another server"),
    ("postgres_fdw_disconnect*", Reach::Beyond, "it ends connections"),
    ("query_to_xml*", Reach::Beyond, "it runs text as SQL"),
    ("run_command_on_*", Reach::Beyond, "it runs text as SQL elsewhere"),
    ("schema_to_xml*", Reach::Beyond, "it reads tables that the statement does not name"),
    ("set_config", Reach::Beyond, "it changes the session"),
    // What it sets outlives `discard all`: the next caller's `random()` would be foretold.
    ("setseed", Reach::Beyond, "it changes the session"),
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
const REFUSED_SCHEMAS: &[&str] = &[
    "amqp",
    "aws_commons",
    "aws_lambda",
    "aws_ml",
    "aws_s3",
    "azure_ai",
    "azure_cognitive",
    "azure_ml",
    "azure_openai",
    "azure_storage",
    "cron",
    "dblink",
    "dbms_alert",
    "dbms_pipe",
    "google_ml",
    "net",
    "pgagent",
    "plpy",
    "utl_file",
    "utl_http",
];

/// Catalogs that hold passwords of roles and of other servers, or the settings in which such stand; reading one would hand a
/// credential to the caller.
const CREDENTIAL_CATALOGS: &[&str] = &[
    "_pg_foreign_servers",
    "foreign_server_options",
    "pg_authid",
    "pg_file_settings",
    "pg_foreign_server",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_settings",
    "pg_shadow",
    "pg_stat_get_wal_receiver",
    "pg_stat_wal_receiver",
    "pg_subscription",
    "pg_user_mapping",
    "pg_user_mappings",
    "_pg_user_mappings",
    "user_mapping_options",
];

/// Settings that may hold a password: how the server logs in to another, and commands that it runs.
const CREDENTIAL_SETTINGS: &[&str] = &[
    "all",
    "archive_cleanup_command",
    "archive_command",
    "primary_conninfo",
    "recovery_end_command",
    "restore_command",
    "ssl_passphrase_command",
];

/// Functions of the server that change nothing and return something else each time; `random` and its like are called in so
/// many reads that nobody has to look them up. The methods of `tablesample` are names of functions, too.
const VOLATILE_BUT_HARMLESS: &[&str] = &[
    "bernoulli",
    "clock_timestamp",
    "current_query",
    "currval",
    "gen_random_bytes",
    "gen_random_uuid",
    "gen_salt",
    "lastval",
    "normal_rand",
    "pg_stat_statements",
    "pg_stat_statements_info",
    "random",
    "random_normal",
    "system",
    "system_rows",
    "system_time",
    "timeofday",
    "txid_status",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
    "uuidv4",
    "uuidv7",
];

/// Words before a parenthesis that are the language's own, and the functions of nearly every statement. The server has them
/// in its own schema, and none is volatile: a test asks it.
pub(super) const KNOWN: &str = "\
    abs age all and any array array_agg array_length as avg between bool_and bool_or by case cast ceil char check \
    coalesce concat conflict count cube current_setting date_part date_trunc default delete dense_rank distinct \
    else except exists explain extract filter floor format from generate_series greatest group grouping having \
    ilike in insert intersect interval is join json_agg json_build_object jsonb_agg jsonb_build_object key lag \
    lateral lead least left length like lower materialized max merge min not now nullif numeric on or over \
    partition rank replace returning right rollup round row row_number select set some string_agg sum then time \
    timestamp to_char to_date to_timestamp trim union unique unnest update upper using values varchar when where \
    with within";

/// As many functions as one statement calls without being known here: generated statements have a few dozen.
pub(super) const MAX_CALLS: usize = 200;
/// What PostgreSQL keeps of a name.
const MAX_NAME_BYTES: usize = 63;

/// The functions that a statement calls and that no list here knows, as the catalog has their names, each once. `None`: more
/// than anybody would look up.
pub(super) fn unknown_calls(tokens: &[Token<'_>]) -> Option<Vec<String>> {
    let mut calls: Vec<String> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let Kind::Word { text, quoted } = &token.kind else { continue };
        if !Position::of(tokens, index).called {
            continue;
        }
        let name = if *quoted { text.to_string() } else { text.to_ascii_lowercase() };
        let is_known = KNOWN.split_ascii_whitespace().any(|known| known == name)
            || VOLATILE_BUT_HARMLESS.contains(&name.as_str())
            || READS.iter().any(|pattern| matches(pattern, &name, true));
        let name = cut(name);
        if is_known || calls.contains(&name) {
            continue;
        }
        if calls.len() == MAX_CALLS {
            return None;
        }
        calls.push(name);
    }
    Some(calls)
}

/// The server cuts longer names without a word.
fn cut(mut name: String) -> String {
    let end = (0..=MAX_NAME_BYTES.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    name.truncate(end.unwrap_or_default());
    name
}

/// The first function in a statement that is not to be called, with why; `may_write` lets those of
/// [`Reach::Writes`] pass.
pub(super) fn refused(tokens: &[Token<'_>], may_write: bool) -> Option<(String, &'static str)> {
    if let [show, name, ..] = tokens
        && show.is("SHOW")
        && let Kind::Word { text, .. } = &name.kind
        && CREDENTIAL_SETTINGS.contains(&text.to_ascii_lowercase().as_str())
    {
        return Some((text.to_ascii_lowercase(), "it may hold passwords"));
    }
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
        if name == "current_setting" && place.calls() && !names_a_setting(tokens.get(index + 1..).unwrap_or_default()) {
            return Some((
                name,
                "it is given something else than the name of a setting without passwords, in plain quotes",
            ));
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

/// `true` for `('name')` and `('name', true)` of a setting that can be shown. What is put together at run time is not known.
fn names_a_setting(behind: &[Token<'_>]) -> bool {
    let [open, name, rest @ ..] = behind else { return false };
    let ends = match rest {
        [close, ..] if close.is_punct(')') => true,
        [comma, last, close, ..] => comma.is_punct(',') && last.is_any(&["FALSE", "TRUE"]) && close.is_punct(')'),
        _ => false,
    };
    let shown = matches!(&name.kind, Kind::Text { plain: Some(name) }
        if !CREDENTIAL_SETTINGS.contains(&name.to_ascii_lowercase().as_str()));
    open.is_punct('(') && ends && shown
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

    /// Volatile functions that only the server itself can call: their arguments are of types that no statement can make; and
    /// one that reads.
    pub(in super::super) const OF_THE_SERVER_ALONE: &[(&str, &str)] = &[
        ("amvalidate", "checks an operator class"),
        ("brinhandler", "an access method's handler"),
        ("bthandler", "an access method's handler"),
        ("dsnowball_init", "takes internal arguments"),
        ("dsnowball_lexize", "takes internal arguments"),
        ("ginhandler", "an access method's handler"),
        ("gisthandler", "an access method's handler"),
        ("hashhandler", "an access method's handler"),
        ("heap_tableam_handler", "an access method's handler"),
        ("lo_get", "reads a large object"),
        ("plpgsql_call_handler", "a language's handler"),
        ("plpgsql_inline_handler", "takes internal arguments"),
        ("plpgsql_validator", "checks a function"),
        ("spghandler", "an access method's handler"),
    ];

    /// Each volatile function of a server is named by one list.
    pub(in super::super) fn is_decided(name: &str) -> bool {
        reach(name, true).is_some()
            || OF_THE_SERVER_ALONE.iter().any(|(known, _)| *known == name)
            || VOLATILE_BUT_HARMLESS.contains(&name)
            || READS.iter().any(|pattern| matches(pattern, name, true))
    }

    #[test]
    fn unknown_functions_are_named_as_the_catalog_has_them() {
        let calls = |text: &str| unknown_calls(&super::super::lex::tokens(text).unwrap()).unwrap();
        assert!(calls("select count(*), Lower(a), random() from t where a in (1) and exists (select 1)").is_empty());
        assert_eq!(calls("select Fetch(1), x.FETCH(2), \"Fetch\"(3), (t).go from t"), ["fetch", "Fetch", "go"]);
        assert_eq!(calls(&format!("select {}(1)", "é".repeat(40)))[0], "é".repeat(31));
        let many = |count: usize| (0..count).map(|n| format!("f{n}()")).collect::<Vec<_>>().join(", ");
        let tokens = |count| format!("select {}", many(count));
        assert!(unknown_calls(&super::super::lex::tokens(&tokens(MAX_CALLS)).unwrap()).is_some());
        assert!(unknown_calls(&super::super::lex::tokens(&tokens(MAX_CALLS + 1)).unwrap()).is_none());
    }

    #[test]
    fn lists_are_lower_case_and_do_not_contradict_each_other() {
        for (pattern, _, _) in REFUSED {
            assert_eq!(*pattern, pattern.to_ascii_lowercase());
            let name = pattern.trim_end_matches('*');
            assert!(!READS.iter().any(|reads| matches(reads, name, true)), "{pattern} is in both lists");
            assert!(!VOLATILE_BUT_HARMLESS.contains(&name), "{pattern} is in both lists");
        }
        assert!(READS.iter().all(|pattern| pattern.starts_with("pg_")));
    }
}
