//! The embedded providers, loaded and run as the daemon does.

use kv_model::{
    Call, CallId, Command, Effect, HttpRequest, Mode, OperationName, Parts, RawBody, RawRequest, Statement, Step,
};
use kv_runtime::{Budget, Provider, Runtime, StepError};

fn call(provider: &Provider, operation: &str, input: &str) -> Call {
    Call {
        id: CallId::from_bytes([1; 16]),
        operation: OperationName::parse(operation).unwrap(),
        input: input.into(),
        settings: provider.manifest.settings_with(&Default::default()),
        now_ms: 1_800_000_000_000,
        attachments: Vec::new(),
    }
}

#[test]
fn each_is_what_it_says_and_runs_as_compiled_ahead_and_as_compiled_now() {
    let runtime = Runtime::new().unwrap();
    for builtin in kv_bundle::builtins() {
        let ahead = runtime.load_trusted(builtin.component, builtin.compiled).unwrap();
        let now = runtime.load(builtin.component).unwrap();
        assert_eq!(ahead.manifest.name.as_str(), builtin.name);
        assert_eq!(ahead.digest, now.digest);
        for operation in ahead.manifest.operations.values().filter(|operation| operation.input.is_some()) {
            // An empty input breaks most schemas, so the host would never send it; the provider has to survive it.
            let call = call(&ahead, operation.name.as_str(), "{}");
            let outcomes = [ahead.start(&call, Budget::Inline), now.start(&call, Budget::Inline)]
                .map(|outcome| format!("{outcome:?}"));
            assert_eq!(outcomes[0], outcomes[1], "{}", operation.name);
            assert!(
                outcomes[0].starts_with("Ok(") || outcomes[0].starts_with("Err(Failure("),
                "{}: {}",
                operation.name,
                outcomes[0]
            );
        }
    }
}

#[test]
fn a_typed_call_becomes_a_request() {
    let runtime = Runtime::new().unwrap();
    for (provider, operation, input, wanted) in [
        (
            "openai",
            "chat.completions.create",
            r#"{"model":"gpt-5","messages":[{"role":"user","content":"hello"}]}"#,
            ("POST", "v1/chat/completions"),
        ),
        ("stripe", "charges.list", r#"{"limit":3}"#, ("GET", "v1/charges")),
    ] {
        let builtin = kv_bundle::builtins().iter().find(|builtin| builtin.name == provider).unwrap();
        let provider = runtime.load_trusted(builtin.component, builtin.compiled).unwrap();
        match provider.start(&call(&provider, operation, input), Budget::Inline) {
            Ok(Step::Send { request: Parts::Http(request), .. }) => {
                assert_eq!((request.method.as_str(), request.path.join("/").as_str()), wanted)
            }
            other => panic!("{operation}: {other:?}"),
        }
        let unknown = provider.start(&call(&provider, "no.such.operation", "{}"), Budget::Inline);
        assert!(matches!(unknown, Err(StepError::Failure(_))), "{unknown:?}");
    }
}

/// The manifest as it is embedded, read by the host: Stripe's second API is sent JSON, its first forms.
#[test]
fn a_raw_call_is_encoded_as_its_endpoint_says() {
    let builtin = kv_bundle::builtins().iter().find(|builtin| builtin.name == "stripe").unwrap();
    let provider = Runtime::new().unwrap().load_trusted(builtin.component, builtin.compiled).unwrap();
    for (path, media_type, data) in [
        ("/v2/core/accounts", "application/json", r#"{"identity":{"country":"de"}}"#),
        ("/v2/billing/meter_events", "application/json", r#"{"identity":{"country":"de"}}"#),
        ("/v1/accounts", "application/x-www-form-urlencoded", "identity[country]=de"),
    ] {
        let body = RawBody::Json(kv_model::json::parse(br#"{"identity":{"country":"de"}}"#, 100).unwrap());
        let raw = RawRequest { method: "POST".into(), path: path.into(), body, ..RawRequest::default() };
        let request = HttpRequest::from_caller(raw, &provider.manifest, CallId::from_bytes([1; 16]), &[]).unwrap();
        assert_eq!(
            (request.body().media_type.as_deref(), &request.body().data[..]),
            (Some(media_type), data.as_bytes())
        );
    }
}

fn load(runtime: &Runtime, name: &str) -> Provider {
    let builtin = kv_bundle::builtins().iter().find(|builtin| builtin.name == name).unwrap();
    runtime.load_trusted(builtin.component, builtin.compiled).unwrap()
}

/// What the provider writes itself has to pass the host's own reading, and as what it is said to be.
#[test]
fn each_statement_of_postgres_is_read_as_what_it_is() {
    let runtime = Runtime::new().unwrap();
    let provider = load(&runtime, "postgres");
    for (operation, input, effect) in [
        ("administer", r#"{"sql":"grant select on t to a"}"#, Effect::Grant),
        ("describe", r#"{"table":"public.users"}"#, Effect::Read),
        ("destroy", r#"{"sql":"truncate t"}"#, Effect::Destroy),
        ("execute", r#"{"sql":"insert into t values ($1)","params":[1],"max_changes":3}"#, Effect::Write),
        ("explain", r#"{"sql":"select 1"}"#, Effect::Read),
        ("explain", r#"{"sql":"select 1","analyze":true}"#, Effect::Read),
        ("preview", r#"{"sql":"insert into t values (1)"}"#, Effect::Write),
        ("query", r#"{"sql":"select $1::numeric","params":[0.10]}"#, Effect::Read),
        ("sample", r#"{"table":"we\"ird"}"#, Effect::Read),
        ("schemas", "{}", Effect::Read),
        ("status", "{}", Effect::Read),
        ("tables", r#"{"like":"%a%"}"#, Effect::Read),
    ] {
        let Ok(Step::Send { request: Parts::Sql(parts), delivery }) =
            provider.start(&call(&provider, operation, input), Budget::Inline)
        else {
            panic!("{operation} asks for no statement")
        };
        let name = OperationName::parse(operation).unwrap();
        let statement = Statement::from_provider(parts, delivery.effect, &provider.manifest, &name)
            .unwrap_or_else(|error| panic!("{operation}: {error}"));
        assert_eq!(statement.effect(), effect, "{operation}");
        let mode = match operation {
            // Where no limit is asked for: none where no rows are counted, else the host's own.
            "administer" => Mode::Write { max_changes: Some(kv_model::DEFAULT_MAX_CHANGES) },
            "destroy" => Mode::Write { max_changes: None },
            "execute" => Mode::Write { max_changes: Some(3) },
            "preview" => Mode::Preview,
            _ => Mode::Read,
        };
        assert_eq!(statement.mode(), mode, "{operation}");
    }
}

#[test]
fn each_command_of_ssh_has_the_effect_of_its_operation() {
    let runtime = Runtime::new().unwrap();
    let provider = load(&runtime, "ssh");
    for (operation, input, effect) in [
        ("list-dir", "{}", Effect::Read),
        ("read-file", r#"{"path":"/etc/hosts"}"#, Effect::Read),
        ("run", r#"{"argv":["cat","x"]}"#, Effect::Write),
        ("shell", r#"{"text":"ls"}"#, Effect::Write),
        ("stat", r#"{"path":"-"}"#, Effect::Read),
        ("status", "{}", Effect::Read),
        ("tail", r#"{"path":"x"}"#, Effect::Read),
        ("write-file", r#"{"path":"x","content":"y"}"#, Effect::Write),
    ] {
        let Ok(Step::Send { request: Parts::Ssh(parts), delivery }) =
            provider.start(&call(&provider, operation, input), Budget::Inline)
        else {
            panic!("{operation} asks for no command")
        };
        let name = OperationName::parse(operation).unwrap();
        let command = Command::from_provider(parts, delivery.effect, &provider.manifest, &name)
            .unwrap_or_else(|error| panic!("{operation}: {error}"));
        assert_eq!(command.effect(), effect, "{operation}");
    }
}
