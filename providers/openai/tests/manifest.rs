//! What the manifest says, held against rules that no row may break, and against the list that a reader can compare
//! with the service's own documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use kv_provider_openai::{PROVIDER, manifest};
use kv_sdk::{Value, serde_json};

fn document() -> Value {
    serde_json::from_str(&manifest()).expect("the manifest is JSON")
}

struct Row {
    name: String,
    title: String,
    effect: String,
    suggest: String,
    /// `POST /v1/files`
    endpoints: Vec<String>,
    /// Of the endpoints: `openai-beta: assistants=v2`.
    headers: Vec<String>,
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn rows() -> Vec<Row> {
    let document = document();
    let mut endpoints: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for endpoint in list(&document, "endpoints") {
        endpoints.entry(text(endpoint, "operation")).or_default().push(endpoint);
    }
    let rows: Vec<Row> = list(&document, "operations")
        .iter()
        .map(|operation| {
            let own = endpoints.remove(&text(operation, "name")).unwrap_or_default();
            let header = |header: &Value| format!("{}: {}", text(header, "name"), text(header, "value"));
            Row {
                name: text(operation, "name"),
                title: text(operation, "title"),
                effect: text(operation, "effect"),
                suggest: text(operation, "suggest"),
                endpoints: own
                    .iter()
                    .map(|endpoint| text(endpoint, "method") + " " + &text(endpoint, "path"))
                    .collect(),
                headers: own.iter().flat_map(|endpoint| list(endpoint, "headers")).map(header).collect(),
            }
        })
        .collect();
    assert!(endpoints.is_empty(), "endpoints of operations that there are not: {endpoints:?}");
    rows
}

/// `/v1/files/{}`: two templates of one shape are one endpoint.
fn shape(endpoint: &str) -> String {
    let pieces = endpoint.split('/').map(|piece| if piece.starts_with('{') { "{}" } else { piece });
    pieces.collect::<Vec<_>>().join("/")
}

#[test]
fn each_operation_has_one_endpoint_of_its_own() {
    let mut names = BTreeSet::new();
    let mut shapes = BTreeSet::new();
    for row in rows() {
        assert!(names.insert(row.name.clone()), "{} is there twice", row.name);
        assert_eq!(row.endpoints.len(), 1, "{}: {:?}", row.name, row.endpoints);
        for endpoint in &row.endpoints {
            assert!(shapes.insert(shape(endpoint)), "{endpoint} is there twice");
            let (method, path) = endpoint.split_once(' ').unwrap();
            assert!(["DELETE", "GET", "POST"].contains(&method), "{endpoint}");
            assert!(path.starts_with("/v1/") && !path.ends_with('/'), "{endpoint}");
        }
        assert!(!row.title.is_empty() && !row.title.ends_with('.'), "{}: {:?}", row.name, row.title);
    }
}

#[test]
fn effects_go_with_methods_and_names() {
    for row in rows() {
        let verb = row.name.rsplit('.').next().unwrap_or_default();
        let is = |effects: &[&str]| assert!(effects.contains(&row.effect.as_str()), "{} is a {}", row.name, row.effect);
        match row.endpoints[0].split(' ').next().unwrap() {
            "GET" => is(&["read"]),
            "DELETE" => is(&["destroy", "grant"]),
            _ => match verb {
                // Posts that only ask.
                "count" | "search" | "validate" => is(&["read"]),
                "create" if row.name.starts_with("moderations") || row.name.starts_with("content_provenance") => {
                    is(&["read"])
                }
                "archive" | "deactivate" => is(&["destroy"]),
                _ => is(&["write", "grant"]),
            },
        }
    }
}

#[test]
fn what_is_suggested_goes_with_the_effect() {
    for row in rows() {
        let admin = row.endpoints[0].contains(" /v1/organization/") || row.endpoints[0].contains(" /v1/projects/");
        let allowed: &[&str] = match row.effect.as_str() {
            _ if admin => &["deny"],
            "read" => &["allow", "deny"],
            "write" => &["allow", "ask"],
            "destroy" | "grant" => &["ask", "deny"],
            other => panic!("{}: {other}", row.name),
        };
        assert!(allowed.contains(&row.suggest.as_str()), "{}: {} and {}", row.name, row.effect, row.suggest);
    }
}

#[test]
fn whatever_makes_a_credential_is_a_grant() {
    let rows = rows();
    for name in [
        "chatkit.sessions.create",
        "organization.admin_api_keys.create",
        "organization.invites.create",
        "organization.projects.service_accounts.api_keys.create",
        "organization.projects.service_accounts.create",
        "realtime.calls.create",
        "realtime.client_secrets.create",
        "realtime.sessions.create",
        "realtime.transcription_sessions.create",
        "vaults.credentials.create",
        "webhooks.create",
        "webhooks.rotate_secret",
    ] {
        let row = rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(row.effect, "grant", "{name}");
    }
}

#[test]
fn the_parts_that_want_a_version_are_told_one() {
    for row in rows() {
        let part = row.endpoints[0].split('/').nth(2).unwrap_or_default();
        let wanted: &[&str] = match part {
            "agents" | "vaults" => &["openai-beta: agents=v1"],
            "assistants" | "threads" | "vector_stores" => &["openai-beta: assistants=v2"],
            "chatkit" => &["openai-beta: chatkit_beta=v1"],
            "realtime" if row.endpoints[0].ends_with("sessions") => &["openai-beta: assistants=v2"],
            _ => &[],
        };
        assert_eq!(row.headers, wanted, "{}", row.name);
    }
}

/// A typed operation's places in the path are members of its input, and required; its facts are members too.
#[test]
fn inputs_hold_what_paths_and_facts_want() {
    let document = document();
    for operation in list(&document, "operations") {
        let name = text(operation, "name");
        let input = &operation["input"];
        assert_eq!(input.is_object(), PROVIDER.operation(&name).is_some(), "{name}");
        if input.is_null() {
            continue;
        }
        assert_eq!(input["type"], "object", "{name}");
        let endpoint =
            list(&document, "endpoints").iter().find(|endpoint| text(endpoint, "operation") == name).unwrap();
        for piece in text(endpoint, "path").split('/') {
            if let Some(place) = piece.strip_prefix('{').and_then(|piece| piece.strip_suffix('}')) {
                assert!(list(input, "required").iter().any(|required| required == place), "{name}: {place}");
            }
        }
        for (fact, pointer) in operation["facts"].as_object().into_iter().flatten() {
            let member = pointer.as_str().unwrap().trim_start_matches('/');
            assert!(input["properties"].get(member).is_some(), "{name}: {fact}");
        }
    }
}

/// A parameter that the service added last week has to pass: no schema of an input that becomes a body is closed.
#[test]
fn schemas_let_newer_parameters_through() {
    for operation in list(&document(), "operations") {
        let input = &operation["input"];
        let has_members = input["properties"].as_object().is_some_and(|members| !members.is_empty());
        if has_members {
            assert_ne!(input["additionalProperties"], false, "{}", operation["name"]);
        }
    }
}

#[test]
fn the_key_is_recognised_by_its_name_and_kind() {
    let document = document();
    let slot = &document["slots"][0];
    assert_eq!(slot["usual-names"][0], "OPENAI_API_KEY");
    let label = |key: &str| {
        let prefixes = list(slot, "prefixes");
        prefixes.iter().find(|prefix| key.starts_with(&text(prefix, "prefix"))).map(|prefix| text(prefix, "label"))
    };
    for (key, kind) in [
        ("sk-proj-abc", "project key"),
        ("sk-svcacct-abc", "service account key"),
        ("sk-admin-abc", "admin key"),
        ("sk-abc", "key"),
    ] {
        assert_eq!(label(key).as_deref(), Some(kind), "{key}");
    }
    assert_eq!(label("ghp_abc"), None);
    assert_eq!(document["auth"]["bearer"]["value"], "Bearer {key}");
    assert_eq!(document["default-auth"][0], "bearer");
    assert_eq!(document["origins"][0], "https://api.openai.com");
}

/// One line for each operation. `KV_UPDATE_SNAPSHOTS=1` writes it anew; the difference is for a person to read.
#[test]
fn the_list_of_operations() {
    let mut listed = String::new();
    for row in rows() {
        writeln!(listed, "{:<62} {:<7} {:<5} {}", row.name, row.effect, row.suggest, row.endpoints[0]).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operations.txt");
    if std::env::var_os("KV_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &listed).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (listed_lines, known_lines) = (lines(&listed), lines(&known));
    let new: Vec<_> = listed_lines.difference(&known_lines).collect();
    let gone: Vec<_> = known_lines.difference(&listed_lines).collect();
    assert!(listed == known, "operations.txt differs.\nnew: {new:#?}\ngone: {gone:#?}");
}
