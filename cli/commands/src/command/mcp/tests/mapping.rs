//! Definitions, names and errors, as clients see them.

use kv_api::{ApiError, Code, Sent};
use kv_model::{ConnectionName, OperationName};
use serde_json::{Value, json};

use super::super::fault;
use super::super::operations::{hashed_name, plain_name};
use super::super::shown::Shown;
use super::super::store::Store;
use super::super::tools::{Core, INSTRUCTIONS, Selection};

fn definitions() -> Vec<Value> {
    Core::ALL.into_iter().map(|tool| serde_json::to_value(tool.definition()).unwrap()).collect()
}

/// Models pay for every word of these, in every session. A change is to be seen.
#[test]
fn the_definitions_are_these() {
    let found = serde_json::to_string_pretty(&definitions()).unwrap();
    assert_eq!(found.trim(), include_str!("tools.json").trim(), "if this is meant, tools.json is now:\n{found}");
}

#[test]
fn the_definitions_fit_into_three_thousand_tokens() {
    let size: usize = definitions().iter().map(|tool| tool.to_string().len()).sum::<usize>() + INSTRUCTIONS.len();
    assert!(size / 4 < 3000, "{} tokens", size / 4);
}

#[test]
fn every_tool_is_fully_and_truthfully_described() {
    for tool in definitions() {
        let name = tool["name"].as_str().unwrap();
        assert!(
            name.len() <= 40
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        );
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{name}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{name}");
        let writes = ["kv_api", "kv_sql_exec", "kv_ssh", "kv_write"].contains(&name);
        assert_eq!(tool["annotations"]["readOnlyHint"], !writes, "{name}");
        assert_eq!(tool["annotations"]["destructiveHint"], writes, "{name}");
        assert_eq!(tool["annotations"]["idempotentHint"], !writes, "{name}");
        let outside = writes || ["kv_api_get", "kv_query", "kv_read"].contains(&name);
        assert_eq!(tool["annotations"]["openWorldHint"], outside, "{name}");
    }
}

#[test]
fn operations_have_names_that_every_client_takes() {
    let name = |connection: &str, operation: &str| {
        let (connection, operation) =
            (ConnectionName::parse(connection).unwrap(), OperationName::parse(operation).unwrap());
        let name = plain_name(&connection, &operation);
        assert!(
            name.len() <= 40
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
            "{name}"
        );
        (name, hashed_name(&connection, &operation))
    };
    assert_eq!(name("openai", "chat.completions.create").0, "openai_chat_completions_create");
    let (first, second) = (name("a-b", "c.d"), name("a", "b.c.d"));
    assert_eq!(first.0, second.0);
    assert_ne!(first.1, second.1);
    let long = name("stripe-test", "billing.meters.event_summaries.list");
    assert_eq!((long.0.len(), &long.0), (40, &long.1));
    assert_ne!(long.0, name("stripe-test", "billing.meters.event_summaries.lost").0);
}

#[test]
fn selections_are_parsed() {
    assert_eq!(Selection::parse("core").unwrap(), Selection::Core);
    assert_eq!(Selection::parse("all").unwrap(), Selection::All);
    assert_eq!(Selection::parse("kv_status,kv_status").unwrap().core(), [Core::Status, Core::Wait, Core::More]);
    for wrong in ["", ",", "kv_nothing", "openai/", "/x", "core,all"] {
        assert_eq!(Selection::parse(wrong).unwrap_err().code(), Code::Usage, "{wrong}");
    }
}

#[test]
fn errors_say_what_to_ask_of_whom() {
    let error = ApiError::new(Code::PolicyDenied, "no endpoint lists `GET /x`")
        .reason("unlisted")
        .next("listed is: kv api openai GET /v1/models")
        .next("kv operation show openai/models.list")
        .next("kv connection edit openai --allow x")
        .next("use another tool")
        .details(json!({ "nearest": ["GET /v1/models"] }));
    let result = serde_json::to_value(fault::result(error.into())).unwrap();
    assert_eq!(result["isError"], true);
    assert_eq!(
        result["structuredContent"],
        json!({
            "code": "policy_denied", "reason": "unlisted", "message": "no endpoint lists `GET /x`", "sent": "no",
            "next": [
                "kv_api with provider `openai` takes GET /v1/models",
                "there is the operation openai/models.list: kv_search shows its input",
                "ask the person to run: kv connection edit openai --allow x",
                "use another tool",
            ],
            "details": { "nearest": ["GET /v1/models"] },
        })
    );
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("error: no endpoint lists `GET /x`; nothing was sent\nnext: kv_api"), "{text}");
}

/// What a database says against a statement goes over several lines; the last is a mark under the place.
#[test]
fn a_mark_under_a_statement_stays_where_it_is() {
    let message = "no such column (line 1, character 8)\nselect nme\n       ^";
    let error = ApiError::new(Code::Usage, message).sent(Sent::Yes);
    let result = serde_json::to_value(fault::result(error.into())).unwrap();
    assert_eq!(
        result["content"][0]["text"],
        "error: no such column (line 1, character 8); the request had been sent\nselect nme\n       ^"
    );
}

#[test]
fn every_code_is_an_error_that_says_whether_anything_was_sent() {
    for code in Code::ALL {
        for (sent, words) in
            [(Sent::No, "nothing was sent"), (Sent::Unknown, "it is unknown"), (Sent::Yes, "had been sent")]
        {
            let result =
                serde_json::to_value(fault::result(ApiError::new(code, "it \u{1b}[2Jfailed").sent(sent).into()))
                    .unwrap();
            assert_eq!(result["structuredContent"]["code"], code.as_str());
            let text = result["content"][0]["text"].as_str().unwrap();
            assert!(text.contains(words) && !text.contains('\u{1b}'), "{text}");
        }
    }
}

#[test]
fn the_oldest_files_go_first_and_unfinished_ones_at_once() {
    let store = Store::default();
    let keep = |text: &str| {
        let mut draft = store.draft("txt").unwrap();
        draft.write(text.as_bytes()).unwrap();
        store.keep(draft, "here", Shown::Plain).unwrap()
    };
    let first = keep("first");
    assert_eq!(store.page(&first.cursor(2).unwrap(), 2).unwrap().text, "rs");
    assert_eq!(first.cursor(5), None);
    let others: Vec<_> = (0..64).map(|_| keep("other")).collect();
    assert!(!first.path.exists());
    assert!(store.page(&first.cursor(2).unwrap(), 2).is_err());
    let mut unfinished = store.draft("txt").unwrap();
    unfinished.write(b"half").unwrap();
    let directory = others[0].path.parent().unwrap().to_owned();
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 65);
    drop(unfinished);
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 64);
    drop(store);
    assert!(!directory.exists());
}
