//! P01 to P29: a real PostgreSQL behind the daemon. What a caller may write, what the server answers, and what neither
//! gets to see. Servers that lie are played in `host/egress/src/tests/postgres_hostile.rs`.

use std::fs;
use std::time::Instant;

use kv_fakes::{Leaf, PostgresOptions, RealPostgres};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{Answer, Canary, Door, Kv, ROLES, Refusal, Typed, Wire, all_right, eventually, request, rows};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    name: String,
    sql: String,
    refuse: Option<String>,
    sqlstate: Option<String>,
    rows: Option<String>,
}

impl Row {
    fn outcome(&self, answer: &Answer) -> Result<(), String> {
        let right = match (&self.sqlstate, &self.rows) {
            (Some(state), None) => sqlstate(answer) == state && answer.fault("sent") == "yes",
            (None, Some(rows)) => {
                answer.outcome == "result"
                    && answer.json()["rows"] == serde_json::from_str::<Value>(rows).expect("rows are JSON")
            }
            _ => return Err("a row is refused, fails at the server, or has rows".to_owned()),
        };
        if right { Ok(()) } else { Err(answer.gist()) }
    }
}

/// The server's own code for what went wrong.
fn sqlstate(answer: &Answer) -> &str {
    answer.error.as_ref().and_then(|error| error["details"]["code"].as_str()).unwrap_or("")
}

fn refusal(text: &str) -> Refusal {
    let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
    Refusal::new(code, reason)
}

#[track_caller]
fn rows_of(answer: &Answer) -> Value {
    assert_eq!(answer.outcome, "result", "{}", answer.gist());
    answer.json()["rows"].clone()
}

/// P01 to P19, P27: as every role, a superuser too. What is refused never reaches the server, and what reaches it changes
/// nothing.
#[test]
fn the_table() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    let rows: Vec<Row> = rows("statements.toml");
    let mut wrong = Vec::new();
    for role in ROLES {
        let before = (db.log_of(role), db.state());
        for row in &rows {
            let Some(refuse) = &row.refuse else { continue };
            let result = kv.is_refused_unseen(|| (), &refusal(refuse), || db.query(role, &row.sql));
            wrong.extend(result.err().map(|why| format!("{} {} as {role}: {why}", row.id, row.name)));
        }
        let after = (db.log_of(role), db.state());
        let heard: Vec<_> = after.0.iter().filter(|line| !before.0.contains(line)).collect();
        if !heard.is_empty() || after.1 != before.1 {
            wrong.push(format!("what was refused as {role} was heard or done: {heard:?}"));
        }
        for row in rows.iter().filter(|row| row.refuse.is_none()) {
            let why = row.outcome(&db.query(role, &row.sql)).err();
            wrong.extend(why.map(|why| format!("{} {} as {role}: {why}", row.id, row.name)));
        }
        if db.state() != after.1 {
            wrong.push(format!("a read as {role} changed something"));
        }
    }
    all_right(rows.len() * ROLES.len(), &wrong);
    assert!(!fs::exists("/tmp/kvt-copied").expect("it can be looked for"));
}

/// P01 to P18, the last wall: `kv connection test` says of a role that reading is not all it could do, and the commands that
/// it prints make one that can do no more.
#[test]
fn roles_that_can_write_are_named() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    let findings = |connection: &str| {
        let tested = kv.ask(Door::Human, "POST", &format!("/v1/connections/{connection}/test"), b"");
        assert_eq!(tested.outcome, "result", "{}", tested.gist());
        let role = tested.json()["role"].clone();
        assert_eq!(role["role"], db.role(connection), "{role}");
        assert_eq!(role["auth"], "SCRAM-SHA-256 with channel binding", "{role}");
        role
    };
    for (connection, words) in
        [("super", &["superuser"][..]), ("owner", &["it owns", "dblink"]), ("app", &["items", "dblink"])]
    {
        let role = findings(connection);
        let ways: Vec<_> = role["can_write"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for word in words {
            assert!(ways.iter().any(|way| way.contains(word)), "{connection}: no {word} in {ways:?}");
        }
    }
    let safe = findings("owner")["safe_role"].as_str().expect("it is text").replace("kv_read", &db.role("reader"));
    db.sql("drop extension dblink");
    db.sql(&safe);
    db.sql(&format!("alter role {} password 'only for reading'", db.role("reader")));
    kv.run_with(["set", "READER", "--stdin"], "only for reading").ok();
    db.connect("reader", &db.role("reader"), "READER", &db.origin(), json!({}));
    let role = findings("reader");
    assert_eq!((&role["can_write"], &role["reads_by_default"]), (&json!([]), &json!(true)), "{role}");
    assert_eq!(rows_of(&db.query("reader", "select count(*) from items")), json!([[100]]));
    assert_eq!(kv.ask(Door::Agent, "POST", "/v1/connections/super/test", b"").fault("code"), "not_found");
}

/// P20: more than anybody asked for ends at a cap, and the daemon stays small.
#[test]
fn too_much_of_anything() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    for (name, sql) in [
        ("ten million rows", "select n, 'row ' || n from generate_series(1, 10000000) n"),
        ("rows without end", "select generate_series(1, 9000000000000000000)"),
    ] {
        let answer =
            kv.call(Typed { connection: "app", operation: "query", input: json!({ "sql": sql, "max_rows": 10_000 }) });
        assert_eq!(rows_of(&answer).as_array().map(Vec::len), Some(10_000), "{name}");
        assert_eq!(answer.json()["truncated"], true, "{name}");
    }
    let answer = db.query("app", "select repeat('x', 100000) from generate_series(1, 1000)");
    assert_eq!(answer.json()["truncated"], true, "bytes are counted too");
    assert!(answer.body.len() < 16 << 20, "{} bytes", answer.body.len());
    let answer = db.query("app", "select repeat('x', 1000000000)");
    assert_eq!(answer.faults(), ("usage", "egress.too_large", "yes"), "{}", answer.gist());
    assert!(answer.fault("message").contains("nothing has changed"), "{}", answer.gist());
    let columns = (0..1600).map(|n| format!("{n} as c{n}")).collect::<Vec<_>>().join(", ");
    assert_eq!(rows_of(&db.query("app", &format!("select {columns}")))[0].as_array().map(Vec::len), Some(1600));
    eventually("the server's rest", || (db.busy() == 0).then_some(()));
    assert!(memory_mib(kv.daemon_pid()) < 400, "the daemon has {} MiB", memory_mib(kv.daemon_pid()));
    assert_eq!(rows_of(&db.query("app", "select 1")), json!([[1]]));
}

/// The highest that it was, in MiB.
fn memory_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// P21: a caller who leaves takes the statement along, whatever it waits for.
#[test]
fn a_caller_that_goes_cancels() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    db.sql("begin; lock table counter; prepare transaction 'kvt_lock'");
    for (name, mark, sql) in [
        ("busy", "1000000000001", "select count(*) from (select generate_series(1, 1000000000001)) t"),
        (
            "a recursion",
            "kvt_recursion",
            "with recursive kvt_recursion as (select 1::int8 as n union all select n + 1 from kvt_recursion) select count(*) from kvt_recursion",
        ),
        ("waiting for a lock", "kvt_waits", "select n as kvt_waits from counter"),
    ] {
        let mut wire = Wire::connect(&kv, Door::Agent);
        let call = json!({ "connection": "app", "operation": "query", "input": { "sql": sql } });
        wire.send(request("POST", "/v1/call", &[("kv-agent", "tester")], call.to_string().as_bytes())).unwrap();
        db.running(mark);
        drop(wire);
        let gone = Instant::now();
        eventually(name, || (db.busy() == 0).then_some(()));
        assert!(gone.elapsed().as_secs() < 5, "{name} went on for {:?}\n{}", gone.elapsed(), db.log_tail());
    }
    db.sql("rollback prepared 'kvt_lock'");
    eventually("the outcomes", || kv.open_intents().is_ok_and(|open| open.is_empty()).then_some(()));
}

/// P21: what takes too long is ended by its deadline, which the host sets and no statement moves.
#[test]
fn a_deadline() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    db.allow("app", "preview");
    let before = db.state();
    let sql = "insert into counter select count(*) from (select generate_series(1, 1000000000002)) t";
    let answer = kv.call(Typed { connection: "app", operation: "preview", input: json!({ "sql": sql }) });
    assert_eq!((sqlstate(&answer), answer.fault("sent")), ("57014", "yes"), "{}", answer.gist());
    assert_eq!((db.state(), db.busy()), (before, 0));
}

/// P24: a secret in a statement goes nowhere, and one that the server quotes comes back masked.
#[test]
fn secrets_in_statements_and_in_what_the_server_says() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    let password = db.password("app").value.replace('\'', "''");
    let refuse = Refusal::new("policy_denied", "egress.secret_in_request");
    for sql in [
        format!("select '{password}'::int"),
        format!("select 1 /* {password} */"),
        format!("select 1 as \"{}\"", db.password("super").value),
        format!("select '\\x{}'::bytea", hex(&db.password("app").value)),
    ] {
        // The caller has put it in, and an error that repeats the statement would hold it.
        db.is_refused("app", &refuse, || db.query("app", &sql)).unwrap();
    }
    let params = json!([db.password("app").value]);
    db.is_refused("app", &refuse, || db.query_with("app", "select $1::text", params)).unwrap();

    db.log_is_not_searched();
    db.sql(&format!(
        "create view leaky as select '{password}'::text as value, array['{password}'] as list, \
         json_build_object('{password}', 1) as object, convert_to('{password}', 'utf8') as bytes; \
         create function complains() returns int language plpgsql as $f$ begin raise exception 'no: %', '{password}' \
         using detail = 'detail {password}', hint = 'hint {password}'; end $f$; \
         create function notes() returns int language plpgsql as $f$ begin raise notice '%', '{password}'; raise warning '%', '{password}'; return 1; end $f$; \
         grant select on leaky to public",
    ));
    for column in ["value", "list", "object", "bytes", "substr(value, 1)", "value || value", "encode(bytes, 'base64')"]
    {
        let answer = db.query("app", &format!("select {column} from leaky"));
        assert_eq!(answer.outcome, "result", "{column}: {}", answer.gist());
    }
    let answer = db.query("app", "select complains()");
    assert_eq!((sqlstate(&answer), answer.fault("sent")), ("P0001", "yes"), "{}", answer.gist());
    assert_eq!(rows_of(&db.query("app", "select notes()")), json!([[1]]));
    // The server quotes a value that it could not read.
    assert_eq!(sqlstate(&db.query("app", "select value::int from leaky")), "22P02");
    let masked: u64 = kv.trail_of("outcome").iter().filter_map(|outcome| outcome["redactions"].as_u64()).sum();
    assert!(masked >= 8, "{masked} values were masked");
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// P25: a connection string that would lead elsewhere, or weaken the way, is refused before anything is connected to.
#[test]
fn connection_strings() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    let encoded: String = db.password("app").value.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (role, port, name) = (db.role("app"), db.port(), db.name.clone());
    let good = format!("postgres://{role}:{encoded}@127.0.0.1:{port}/{name}");
    let mut rows = vec![("as it should be", good.clone(), None)];
    for (what, dsn) in [
        ("another host", format!("postgres://{role}:{encoded}@evil.test:{port}/{name}")),
        ("another port", format!("postgres://{role}:{encoded}@127.0.0.1:1/{name}")),
        ("another user", format!("postgres://postgres:{encoded}@127.0.0.1:{port}/{name}")),
        ("another database", format!("postgres://{role}:{encoded}@127.0.0.1:{port}/postgres")),
        ("several hosts", format!("postgres://{role}:{encoded}@127.0.0.1:{port},evil.test:{port}/{name}")),
        ("no password", format!("postgres://{role}@127.0.0.1:{port}/{name}")),
        ("a host in the query", format!("{good}?host=evil.test")),
        ("an address in the query", format!("{good}?hostaddr=203.0.113.1")),
        ("a service", format!("{good}?service=evil")),
        ("a file of passwords", format!("{good}?passfile=/etc/passwd")),
        ("options", format!("{good}?options=-c%20default_transaction_read_only%3Doff")),
        ("a directory of sockets", format!("postgres://{role}:{encoded}@%2Ftmp/{name}")),
    ] {
        rows.push((what, dsn, Some("egress.dsn")));
    }
    let mut wrong = Vec::new();
    for (number, (what, dsn, refuse)) in rows.iter().enumerate() {
        let secret = format!("DSN_{number}");
        kv.run_with(["set", &secret, "--stdin"], dsn).ok();
        let connection = format!("dsn-{number}");
        db.connect(&connection, &role, &secret, &db.origin(), json!({}));
        let before = db.log_of("app").len();
        let answer = db.query(&connection, "select 1");
        let (right, heard) = match refuse {
            None => (answer.outcome == "result", true),
            Some(reason) => (answer.fault("reason") == *reason && answer.fault("sent") == "no", false),
        };
        if !right || (db.log_of("app").len() > before) != heard {
            wrong.push(format!("{what}: {}", answer.gist()));
        }
    }
    all_right(rows.len(), &wrong);
}

/// P26: a parameter that does not fit is an error with its code, and never another statement.
#[test]
fn parameters() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    let deep = json!([[[[[[1]]]]]]);
    let mut wrong = Vec::new();
    let before = db.state();
    let rows = [
        ("a word for a number", "select $1::int", json!(["x"]), "22023"),
        ("a number too large", "select $1::int2", json!([70000]), "22023"),
        ("a list for a number", "select $1::int", json!([[1]]), "22023"),
        ("an object for a text", "select $1::text", json!([{ "a": 1 }]), "22023"),
        ("a day that is none", "select $1::date", json!(["2026-02-30"]), "22008"),
        ("a NUL in a text", "select $1::text", json!(["a\0b"]), "22023"),
        ("too few", "select $1::int", json!([]), "08P01"),
        ("too many", "select $1::int", json!([1, 2]), "08P01"),
        ("for a statement that takes none", "select 1", json!([1]), "08P01"),
        ("a list that is no rectangle", "select $1::int[]", json!([[[1, 2], [3]]]), "22P02"),
        ("no label of the kind", "select $1::regclass", json!(["kvt_nothing"]), "42P01"),
    ];
    for (name, sql, params, state) in &rows {
        let answer = db.query_with("app", sql, params.clone());
        if sqlstate(&answer) != *state {
            wrong.push(format!("{name}: wanted {state}: {}", answer.gist()));
        }
    }
    let values = [
        ("select $1::numeric", json!(["NaN"]), json!("NaN")),
        ("select $1::float8", json!(["-Infinity"]), json!("-Infinity")),
        ("select $1::int[]", json!([deep.clone()]), deep),
        ("select $1::text", json!(["'; drop table items; --"]), json!("'; drop table items; --")),
        ("select $1::text", json!(["\u{202e}\u{1b}[2J"]), json!("\u{202e}\u{1b}[2J")),
        ("select $1::jsonb", json!([{ "__proto__": { "x": 1 } }]), json!({ "__proto__": { "x": 1 } })),
        ("select $1::int8", json!(["9223372036854775807"]), json!("9223372036854775807")),
        ("select $1::text", json!([null]), json!(null)),
    ];
    for (sql, params, value) in &values {
        let answer = db.query_with("app", sql, params.clone());
        if answer.outcome != "result" || answer.json()["rows"] != json!([[value]]) {
            wrong.push(format!("{params} came back otherwise: {}", answer.gist()));
        }
    }
    let many: Vec<u32> = (0..65_536).collect();
    let answer = db.query_with("app", "select 1", json!(many));
    if answer.faults() != ("usage", "schema", "no") {
        wrong.push(format!("65,536 parameters: {}", answer.gist()));
    }
    let body =
        b"{\"connection\":\"app\",\"operation\":\"query\",\"input\":{\"sql\":\"select $1\",\"params\":[\"\xff\xfe\"]}}";
    let answer = kv.ask(Door::Agent, "POST", "/v1/call", body);
    if (answer.fault("code"), answer.fault("sent")) != ("usage", "no") {
        wrong.push(format!("text that is no UTF-8: {}", answer.gist()));
    }
    all_right(rows.len() + values.len() + 2, &wrong);
    assert_eq!(db.state(), before);
}

/// P28: what changes something waits for a person, says beforehand what it would touch, and has a cap.
#[test]
fn changes() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    // What is graver than an operation declares is refused, and nobody is asked about it.
    let (asks, graver) = ("approval_required", "graver_than_declared");
    for (sql, execute, destroy) in [
        ("delete from items", graver, asks),
        ("truncate items", graver, asks),
        ("drop table items", graver, asks),
        ("update items set price = 0", asks, asks),
        ("insert into counter values (1)", asks, asks),
        ("grant all on items to public", graver, graver),
    ] {
        for (operation, reason) in
            [("execute", execute), ("preview", asks), ("destroy", destroy), ("administer", "deny")]
        {
            let input = json!({ "sql": sql });
            let expect = if reason == asks { Refusal::asks() } else { Refusal::new("policy_denied", reason) };
            let refused = db.is_refused("owner", &expect, || kv.call(Typed { connection: "owner", operation, input }));
            refused.unwrap_or_else(|why| panic!("{operation} {sql}: {why}"));
            kv.revoke_approvals();
        }
    }
    db.allow("owner", "execute");
    db.allow("owner", "preview");
    let before = db.state();
    let call = |operation, input| kv.call(Typed { connection: "owner", operation, input });
    for (sql, rows) in [("update items set price = 0", 100), ("update items set price = 0 where id <= 7", 7)] {
        let answer = call("preview", json!({ "sql": sql }));
        assert_eq!(
            (answer.outcome.as_str(), &answer.json()["affected"]),
            ("result", &json!(rows)),
            "{}",
            answer.gist()
        );
        assert_eq!(db.state(), before, "{sql}");
        let answer = call("execute", json!({ "sql": sql, "max_changes": rows - 1 }));
        assert_eq!(answer.faults(), ("usage", "egress.too_many_changes", "yes"), "{}", answer.gist());
        assert!(answer.fault("message").contains("rolled back and nothing has changed"), "{}", answer.gist());
        assert_eq!(db.state(), before, "{sql}");
    }
    // What ends the transaction, or reaches out of it, is no change that a cap could take back.
    for sql in [
        "commit",
        "begin",
        "set role postgres",
        "copy items to '/tmp/kvt-copied'",
        "do $$ begin commit; end $$",
        "call committing()",
        "create index concurrently i on items (name)",
        "select dblink_exec('dbname=postgres', 'select 1')",
    ] {
        let refused = db.is_refused("owner", &Refusal::new("usage", "statement.refused"), || {
            call("execute", json!({ "sql": sql }))
        });
        refused.unwrap_or_else(|why| panic!("{sql}: {why}"));
    }
    let sql = "update items set price = -1 where id <= 10 returning id";
    let answer = call("execute", json!({ "sql": sql, "max_changes": 10 }));
    let changed = db.sql("select count(*) from items where price = -1");
    assert_eq!((&answer.json()["affected"], changed.as_str()), (&json!(10), "10"), "{}", answer.gist());
    let answer = call("execute", json!({ "sql": "create table made (n int)" }));
    assert_eq!(
        (answer.outcome.as_str(), db.sql("select count(*) from made").as_str()),
        ("result", "0"),
        "{}",
        answer.gist()
    );
    let answer = call("execute", json!({ "sql": "insert into items values (50, 'twice', 0)" }));
    assert_eq!((sqlstate(&answer), answer.fault("reason")), ("23505", "upstream.conflict"), "{}", answer.gist());
}

/// P28: to remove something and to give rights are operations of their own, which a person allows or does not. Leave to
/// write is none to destroy, and leave to destroy none to give rights.
#[test]
fn what_removes_and_what_gives_rights() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    let call = |operation, input| kv.call(Typed { connection: "owner", operation, input });
    let app = db.role("app");
    let removing =
        ["delete from items where id = 1", "truncate items", "drop table items", "alter table items drop column price"];
    let granting = [
        format!("grant truncate on items to {app}"),
        format!("revoke select on items from {app}"),
        format!("alter table items owner to {app}"),
        "create role kvt_nobody".to_owned(),
    ];
    let graver = Refusal::new("policy_denied", "graver_than_declared");
    for operation in ["execute", "preview"] {
        db.allow("owner", operation);
    }
    let before = db.state();
    for sql in removing.into_iter().chain(granting.iter().map(String::as_str)) {
        let refused = db.is_refused("owner", &graver, || call("execute", json!({ "sql": sql })));
        refused.unwrap_or_else(|why| panic!("{sql}: {why}"));
        let operation = if removing.contains(&sql) { "destroy" } else { "administer" };
        let answer = call("execute", json!({ "sql": sql }));
        let next = answer.error.as_ref().map(|error| error["next"].to_string()).unwrap_or_default();
        assert!(next.contains(&format!("the operation `{operation}`")), "{sql}: {next}");
        assert!(next.contains(&format!("kv connection edit owner --allow {operation}")), "{sql}: {next}");
        // Tried and rolled back, it has removed nothing: leave to try is enough.
        let tried = call("preview", json!({ "sql": sql }));
        assert!(tried.outcome == "result" || sqlstate(&tried) == "42501", "{sql}: {}", tried.gist());
        assert_eq!(db.state(), before, "{sql}");
    }
    // The commands and tools choose the operation by the statement, and say which one asks or is refused.
    let ran = kv.run(["sql", "owner", removing[0], "--yes", "--hold", "0"]);
    assert!(ran.code == 6 && ran.stderr.contains("`owner/destroy` waits for the person"), "{}", ran.stderr);
    let ran = kv.run(["sql", "owner", &granting[0], "--yes"]);
    assert!(ran.code == 5 && ran.stderr.contains("kv connection edit owner --allow administer"), "{}", ran.stderr);
    assert_eq!((db.sql("select count(*) from items").as_str(), db.state() == before), ("100", true));

    db.allow("owner", "destroy");
    for sql in &granting {
        let refused = db.is_refused("owner", &graver, || call("destroy", json!({ "sql": sql })));
        refused.unwrap_or_else(|why| panic!("{sql}: {why}"));
    }
    let answer = call("destroy", json!({ "sql": "delete from items where id <= 7", "max_changes": 6 }));
    assert_eq!(answer.faults(), ("usage", "egress.too_many_changes", "yes"), "{}", answer.gist());
    assert_eq!(db.sql("select count(*) from items"), "100");
    let answer = call("destroy", json!({ "sql": "delete from items where id <= 7", "max_changes": 7 }));
    assert_eq!((&answer.json()["affected"], db.sql("select count(*) from items").as_str()), (&json!(7), "93"));
    let ran = kv.run(["sql", "owner", "delete from items where id = $1", "8", "--yes"]).ok();
    assert!(ran.stdout.contains("changed    1 row"), "{}", ran.stdout);
    // A limit that cannot be held is refused before anything is sent.
    for sql in ["truncate items", "drop table items", "alter table items alter column price type text"] {
        let refused = db.is_refused("owner", &Refusal::new("usage", "statement.uncounted"), || {
            call("destroy", json!({ "sql": sql, "max_changes": 1_000_000 }))
        });
        refused.unwrap_or_else(|why| panic!("{sql}: {why}"));
    }
    assert_eq!(call("destroy", json!({ "sql": "truncate items" })).outcome, "result");
    assert_eq!(db.sql("select count(*) from items"), "0");
    assert_eq!(call("destroy", json!({ "sql": "drop table counter" })).outcome, "result");
    assert_eq!(db.sql("select to_regclass('counter') is null"), "t");

    let may = || db.sql(&format!("select has_table_privilege('{app}', 'items', 'truncate')"));
    db.sql(&format!("revoke truncate on items from {app}"));
    assert_eq!(may(), "f");
    db.allow("owner", "administer");
    let answer = call("administer", json!({ "sql": granting[0] }));
    assert_eq!((answer.outcome.as_str(), may().as_str()), ("result", "t"), "{}", answer.gist());
    let effects: Vec<_> = kv.trail_of("intent").iter().map(|intent| intent["effect"].clone()).collect();
    assert_eq!(effects.last(), Some(&json!("grant")));
    assert!(effects.contains(&json!("destroy")), "{effects:?}");
}

/// P06 and P07, of what no list names: a function that runs outside of the transaction is not called in a read, and the server
/// hears nothing of the statement.
#[test]
fn functions_that_no_list_names() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    db.sql("create function reaches_out() returns int language internal volatile as 'pg_backend_pid'");
    for (role, sql) in [
        ("app", "select reaches_out()"),
        ("super", "select public.\"reaches_out\"()"),
        ("owner", "select * from items where id = reaches_out()"),
        ("owner", "explain analyze select reaches_out()"),
    ] {
        let answer = db.query(role, sql);
        assert_eq!(answer.faults(), ("usage", "egress.function", "no"), "{sql}: {}", answer.gist());
        assert!(answer.fault("message").contains("`reaches_out`"), "{}", answer.gist());
        let heard = db.log_of(role).into_iter().filter(|line| line.contains("reaches_out()")).count();
        assert_eq!(heard, 0, "{sql} was sent");
    }
    // Of the database's own people, in its own languages: the transaction holds these.
    assert_eq!(sqlstate(&db.query("super", "select sneaky()")), "25006");
}

/// P29: names and values that would move a terminal or a program's objects are text.
#[test]
fn strange_names() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    // A caller's own text with such characters is refused; what a database's people have made has them.
    db.sql(
        "create view strange as select 1 as \"\u{1b}[2J\u{202e}evil\u{9b}\", 2 as \"__proto__\", \
         '{\"__proto__\": {\"a\": 1}}'::json as \"constructor\", e'\\x1b]0;title\\x07' as value; grant select on strange to public",
    );
    let answer = db.query("app", "select * from strange");
    let shown = answer.json();
    assert_eq!(shown["columns"][1]["name"], "__proto__", "{}", answer.gist());
    assert_eq!(shown["rows"], json!([[1, 2, { "__proto__": { "a": 1 } }, "\u{1b}]0;title\u{7}"]]));
    assert!(!answer.body.contains(&0x1b), "an escape came through: {}", answer.gist());
    let table = kv.run(["query", "app", "select * from strange"]).ok();
    assert!(table.stdout.contains("__proto__") && table.stdout.contains("evil"), "{}", table.stdout);
    for mark in ['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}'] {
        assert!(!table.stdout.contains(mark), "{:?}", table.stdout);
    }
}

/// A connection that is lost in the middle: the statement is not repeated, and what is known is what is said.
#[test]
fn a_session_that_is_ended_in_the_middle() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    db.allow("app", "execute");
    let answer = std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            db.execute("app", "with w as (insert into counter values (1) returning n) select count(*) from w, (select generate_series(1, 1000000000003)) t")
        });
        db.terminate(&db.running("1000000000003"));
        call.join().expect("it does not panic")
    });
    assert_eq!((sqlstate(&answer), answer.fault("sent")), ("57P01", "yes"), "{}", answer.gist());
    assert_eq!(db.sql("select count(*) from counter"), "0");
    assert_eq!(
        db.log_of("app").iter().filter(|line| line.contains("1000000000003") && line.contains("execute")).count(),
        1
    );
    // The next call has a session again.
    assert_eq!(rows_of(&db.query("app", "select count(*) from counter")), json!([[0]]));
}

/// The one moment of which nobody can say what it came to: the commit has been sent, and its answer never comes.
#[test]
fn a_session_that_is_ended_in_its_commit() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    db.allow("app", "execute");
    // It commits, and then waits for a standby that never comes.
    db.sql(&format!("alter role {} set synchronous_commit = 'on'", db.role("app")));
    let answer = std::thread::scope(|scope| {
        let call = scope.spawn(|| db.execute("app", "insert into counter values (1)"));
        db.terminate(&db.running("commit"));
        call.join().expect("it does not panic")
    });
    assert_eq!(answer.faults(), ("upstream", "egress.reset", "unknown"), "{}", answer.gist());
    assert_eq!(db.sql("select count(*) from counter"), "1", "once, and not again");
    let outcome = kv.trail_of("outcome").pop().expect("there is one");
    assert_eq!((&outcome["sent"], &outcome["error"]), (&json!("unknown"), &json!("egress.reset")), "{outcome}");
}

/// Every mistake that people make, in the caller's terms.
#[test]
fn bad_input() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    let role = db.role("app");
    kv.run_with(["set", "WRONG", "--stdin"], "not the password").ok();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    db.connect("unreachable", &role, "PASSWORD_OF_APP", &format!("postgres://127.0.0.1:{closed}"), json!({}));
    db.connect("wrong-password", &role, "WRONG", &db.origin(), json!({}));
    db.connect("no-role", "nobody_by_this_name", "PASSWORD_OF_APP", &db.origin(), json!({}));
    db.connect("no-database", &role, "PASSWORD_OF_APP", &db.origin(), json!({ "database": "none_of_this_name" }));
    let mut wrong = Vec::new();
    for (connection, code, reason, words) in [
        ("unreachable", "upstream", "egress.connect", "connect"),
        ("wrong-password", "failed", "egress.login_refused", "28P01"),
        ("no-role", "failed", "egress.login_refused", "28P01"),
        ("no-database", "upstream", "egress.session_refused", "3D000"),
    ] {
        let answer = db.query(connection, "select 1");
        if answer.faults() != (code, reason, "no") || !answer.fault("message").contains(words) {
            wrong.push(format!("{connection}: {}", answer.gist()));
        }
    }
    for (sql, code, reason, state, words) in [
        ("select nmae from items", "usage", "upstream.invalid_input", "42703", "nmae"),
        ("select * from itmes", "upstream", "upstream.not_found", "42P01", "line 1"),
        ("select * frm items", "usage", "statement.refused", "", "parse"),
        ("select 1/0", "usage", "upstream.invalid_input", "22012", "division"),
        ("select 1; select 2", "usage", "statement.refused", "", "more than one"),
        ("delete from items", "usage", "statement.refused", "", "kv sql"),
    ] {
        let answer = db.query("app", sql);
        if (answer.fault("code"), answer.fault("reason"), sqlstate(&answer)) != (code, reason, state)
            || !answer.fault("message").contains(words)
        {
            wrong.push(format!("{sql}: {}", answer.gist()));
        }
    }
    let answer = db.query("app", "select '\\x00ff1b80'::bytea");
    if answer.outcome != "result" || answer.json()["rows"] != json!([["\\x00ff1b80"]]) {
        wrong.push(format!("bytes: {}", answer.gist()));
    }
    all_right(11, &wrong);
}

/// P23: a server that cannot prove who it is gets no password.
#[test]
fn servers_that_are_not_the_one() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    let password = kv.plant(Canary::new("a password for impostors", "kvcanary'impostor%31415926535897".to_owned()));
    kv.run_with(["set", "IMPOSTORS", "--stdin"], &password.value).ok();
    for (name, leaf) in [("expired", Leaf::Expired), ("wrong-name", Leaf::WrongName)] {
        let options = PostgresOptions {
            leaf,
            settings: vec!["log_connections=on".to_owned(), "log_line_prefix=%u|".to_owned()],
            ..PostgresOptions::default()
        };
        let impostor = RealPostgres::start(&kv.ca, &options).expect("PostgreSQL starts");
        let body = json!({
            "provider": "postgres", "name": name, "origin": impostor.origin(), "ca": kv.ca.ca_pem(),
            "bindings": { "password": "IMPOSTORS" }, "settings": { "user": "app", "database": "shop" }, "allow_private": true,
        });
        assert_eq!(kv.ask(Door::Human, "POST", "/v1/connections", body.to_string().as_bytes()).outcome, "result");
        let answer = db.query(name, "select 1");
        assert_eq!(answer.faults(), ("upstream", "egress.tls", "no"), "{}", answer.gist());
        assert!(!impostor.log().contains("app|"), "{}", impostor.log());
    }
    // Without TLS the address decides: on this machine a person may allow it, and the password still is not sent.
    let plain = db.try_connect("plain", &db.role("app"), "PASSWORD_OF_APP", &db.origin(), json!({ "tls": "off" }));
    assert_eq!(plain.outcome, "result", "{}", plain.gist());
    assert_eq!(rows_of(&db.query("plain", "select 1")), json!([[1]]));
}

/// Every session says the same of itself, whoever is behind it, and carries the passwords nowhere.
#[test]
fn what_others_see_of_a_session() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    let mut wire = Wire::connect(&kv, Door::Agent);
    let sql = "select count(*) from (select generate_series(1, 1000000000004)) t";
    let call = json!({ "connection": "app", "operation": "query", "input": { "sql": sql } });
    wire.send(request("POST", "/v1/call", &[("kv-agent", "tester")], call.to_string().as_bytes())).unwrap();
    db.running("1000000000004");
    kv.saw("pg_stat_activity", db.activity().as_bytes());
    kv.saw_processes();
    let seen = db.sql("select distinct application_name, client_hostname, usename from pg_stat_activity where datname = current_database() and client_addr is not null");
    assert_eq!(seen, format!("kv||{}", db.role("app")));
}

/// The commands, as a person types them: exit codes, and JSON of an error.
#[test]
fn commands() {
    let kv = Kv::unlocked();
    let Some(db) = kv.database() else { return };
    let ran = kv.run(["query", "app", "select id, name from items where id < 3 order by id", "--json"]).ok();
    assert_eq!(ran.json()["rows"], json!([[1, "item 1"], [2, "item 2"]]));
    let csv = kv.run(["query", "app", "select 1 as a, 'x,\"y' as b, null as c", "--csv"]).ok();
    assert_eq!(csv.stdout.replace("\r\n", "\n"), "a,b,c\n1,\"x,\"\"y\",\n");
    let ran = kv.run(["query", "app", "select 1; select 2", "--json"]);
    assert_eq!((ran.code, ran.error()["reason"].as_str()), (2, Some("statement.refused")));
    let ran = kv.run(["query", "app", "select nmae from items"]);
    assert!(ran.code != 0 && ran.stderr.contains("42703"), "{}", ran.stderr);
    let before = db.state();
    let ran = kv.run(["query", "app", "delete from items"]);
    assert!(ran.code != 0 && ran.stderr.contains("kv sql"), "{}", ran.stderr);
    assert_eq!(db.state(), before);
}
