use super::*;

fn sent(request: guest::Request, delivery: types::Delivery) -> Result<(RequestParts, Delivery), StepError> {
    match http_step(guest::Step::Send(guest::Send { request, delivery }))? {
        Step::Send { request: Parts::Http(request), delivery } => Ok((request, delivery)),
        other => panic!("a request became {other:?}"),
    }
}

fn request() -> guest::Request {
    guest::Request {
        method: "POST".into(),
        path: vec!["v1".into(), "charges".into()],
        query: vec![("expand".into(), "a b".into())],
        headers: vec![("Prefer".into(), "x".into())],
        body: guest::Body::Empty,
        auth: vec!["bearer".into()],
    }
}

fn delivery() -> types::Delivery {
    types::Delivery {
        effect: types::Effect::Write,
        summary: "charge 1.00 EUR".into(),
        repeatable: true,
        delay_ms: 500,
        then: types::Next::Forward,
        options: Vec::new(),
    }
}

#[test]
fn what_is_within_bounds_arrives_as_it_was() {
    let (parts, how) = sent(request(), delivery()).unwrap();
    assert_eq!((parts.method.as_str(), parts.path.join("/")), ("POST", "v1/charges".into()));
    assert_eq!(parts.query, [("expand".to_owned(), "a b".to_owned())]);
    assert_eq!(parts.headers, [("Prefer".to_owned(), "x".to_owned())]);
    assert_eq!(parts.auth, ["bearer"]);
    let wanted = Delivery {
        effect: Effect::Write,
        summary: "charge 1.00 EUR".into(),
        repeatable: true,
        delay_ms: 500,
        next: Next::Forward,
    };
    assert_eq!(how, wanted);
}

#[test]
fn every_case_has_its_counterpart() {
    for (from, to) in [
        (types::Effect::Read, Effect::Read),
        (types::Effect::Write, Effect::Write),
        (types::Effect::Destroy, Effect::Destroy),
        (types::Effect::Grant, Effect::Grant),
    ] {
        assert_eq!(sent(request(), types::Delivery { effect: from, ..delivery() }).unwrap().1.effect, to);
    }
    for (from, to) in [
        (types::Next::Forward, Next::Forward),
        (types::Next::ForwardSuccess("s".into()), Next::ForwardSuccess("s".into())),
        (types::Next::Resume("r".into()), Next::Resume("r".into())),
    ] {
        assert_eq!(sent(request(), types::Delivery { then: from, ..delivery() }).unwrap().1.next, to);
    }
    let bytes = || guest::BytesBody { media_type: "image/png".into(), data: vec![1, 2] };
    let parts = vec![
        guest::Part { name: "a".into(), filename: None, content: guest::PartContent::Text("t".into()) },
        guest::Part { name: "b".into(), filename: Some("f".into()), content: guest::PartContent::Bytes(bytes()) },
        guest::Part { name: "c".into(), filename: None, content: guest::PartContent::Attachment("file".into()) },
    ];
    for (from, to) in [
        (guest::Body::Empty, "Empty"),
        (guest::Body::Json("{}".into()), "Json(\"{}\")"),
        (guest::Body::Form(vec![("a".into(), "b".into())]), "Form([(\"a\", \"b\")])"),
        (guest::Body::Bytes(bytes()), "Bytes { media_type: \"image/png\", data: [1, 2] }"),
        (guest::Body::Attachment("file".into()), "Attachment(\"file\")"),
        (
            guest::Body::Multipart(parts),
            "Multipart([Part { name: \"a\", filename: None, content: Text(\"t\") }, \
             Part { name: \"b\", filename: Some(\"f\"), content: Bytes { media_type: \"image/png\", data: [1, 2] } }, \
             Part { name: \"c\", filename: None, content: Attachment(\"file\") }])",
        ),
    ] {
        let (parts, _) = sent(guest::Request { body: from, ..request() }, delivery()).unwrap();
        assert_eq!(format!("{:?}", parts.body), to);
    }
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    let long = |bytes: usize| "x".repeat(bytes);
    let pairs = |count: usize, bytes: usize| vec![(long(bytes), String::new()); count];
    let part = |name: String| guest::Part { name, filename: None, content: guest::PartContent::Text(String::new()) };
    for (change, why) in [
        (guest::Request { method: long(17), ..request() }, "a method over 16 bytes"),
        (guest::Request { path: vec![String::new(); 33], ..request() }, "too many path segments"),
        (guest::Request { path: vec![long(4097)], ..request() }, "a path over 4096 bytes"),
        (guest::Request { query: pairs(501, 0), ..request() }, "too many query pairs"),
        (guest::Request { query: pairs(5, 4000), ..request() }, "a query over 16 KiB"),
        (guest::Request { headers: pairs(33, 1), ..request() }, "too many headers"),
        (guest::Request { headers: pairs(1, 4097), ..request() }, "a header over 4096 bytes"),
        (guest::Request { auth: vec![String::new(); 9], ..request() }, "too many schemes"),
        (guest::Request { auth: vec![long(257)], ..request() }, "a scheme's name over 256 bytes"),
        (guest::Request { body: guest::Body::Form(pairs(5001, 0)), ..request() }, "too many pairs in a form"),
        (
            guest::Request { body: guest::Body::Multipart(vec![part(String::new()); 65]), ..request() },
            "too many parts in a body",
        ),
        (
            guest::Request { body: guest::Body::Multipart(vec![part(long(257))]), ..request() },
            "a name or media type over 256 bytes",
        ),
        (
            guest::Request { body: guest::Body::Attachment(long(257)), ..request() },
            "a name or media type over 256 bytes",
        ),
    ] {
        match sent(change, delivery()) {
            Err(StepError::Malformed(what)) => assert_eq!(what, why),
            other => panic!("{why}: {other:?}"),
        }
    }
    let state = types::Delivery { then: types::Next::ForwardSuccess(long(MAX_STATE_BYTES + 1)), ..delivery() };
    assert!(matches!(sent(request(), state), Err(StepError::Malformed("a state over 1 MiB"))));
    let state = types::Delivery { then: types::Next::Resume(long(MAX_STATE_BYTES)), ..delivery() };
    assert!(sent(request(), state).is_ok());
    let late = types::Delivery { delay_ms: MAX_DELAY_MS + 1, ..delivery() };
    assert!(matches!(sent(request(), late), Err(StepError::Malformed(_))));
    let option = types::Delivery { options: vec![("a\nb\u{202e}".into(), String::new())], ..delivery() };
    assert!(matches!(sent(request(), option), Err(StepError::UnknownOption(name)) if name == "a b"));
}

#[test]
fn a_result_is_json_of_bounded_depth() {
    let result = |text: &str| http_step(guest::Step::Done(text.into()));
    for good in ["null", "{\"a\":[1,\"[[[[\\\"{{\"]}", " 1 ", &format!("{}{}", "[".repeat(64), "]".repeat(64))] {
        assert!(matches!(result(good), Ok(Step::Done(text)) if text == good), "{good}");
    }
    for bad in ["", "nul", "{}{}", "\"\n\"", "{\"a\":}", "[".repeat(65).as_str(), "\u{feff}1"] {
        assert!(matches!(result(bad), Err(StepError::Malformed(_))), "{bad}");
    }
}

#[test]
fn a_failure_is_one_whatever_its_details() {
    let from = |field: Option<&str>, code: Option<&str>| {
        failure(types::Failure {
            kind: types::FailureKind::Conflict,
            message: "it is there\nalready".into(),
            field: field.map(Into::into),
            code: code.map(Into::into),
            retry_after_ms: Some(5),
        })
    };
    let good = from(Some("/items/0/price"), Some("card_declined"));
    assert_eq!((good.kind, good.message.as_str()), (FailureKind::Conflict, "it is there\n  | already"));
    assert_eq!((good.field.as_deref(), good.code.as_deref()), (Some("/items/0/price"), Some("card_declined")));
    assert_eq!(good.retry_after_ms, Some(5));
    for bad in ["amount", "/a\u{1b}[1m", "/a\u{202e}", &format!("/{}", "a".repeat(256))] {
        assert_eq!(from(Some(bad), None).field, None, "{bad}");
    }
    for bad in ["", "a b", "ä", &"a".repeat(101)] {
        assert_eq!(from(None, Some(bad)).code, None, "{bad}");
    }
}
