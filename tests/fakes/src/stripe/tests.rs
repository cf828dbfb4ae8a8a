use serde_json::{Value, json};

use super::*;
use crate::Protocols;
use crate::testing::{Client, block_on, parsed};

fn key() -> String {
    StripeOptions::default().key
}

/// Runs `test` with a client of a fresh fake.
fn with_client(test: impl AsyncFnOnce(&Client<'_>)) {
    with_options(StripeOptions::default(), test);
}

fn with_options(options: StripeOptions, test: impl AsyncFnOnce(&Client<'_>)) {
    block_on(async {
        let ca = TestCa::new();
        let key = options.key.clone();
        let service = FakeStripe::start(&ca, options).unwrap();
        test(&Client::new(&ca, &service, &key)).await;
    });
}

async fn made(client: &Client<'_>, path: &str, form: &str) -> Value {
    let (status, body) = client.form("POST", path, form).await;
    assert_eq!(status, 200, "{path} {form}: {body}");
    body
}

async fn get(client: &Client<'_>, path: &str) -> Value {
    client.form("GET", path, "").await.1
}

fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap()
}

#[test]
fn a_wrong_key_is_shown_by_its_end() {
    with_client(async |client| {
        let wrong = Client { key: "sk_test_abcdefghijkl6789".to_owned(), protocols: Protocols::Http1, ..*client };
        let (status, body) = wrong.form("GET", "/v1/balance", "").await;
        assert_eq!(status, 401);
        assert_eq!(body["error"]["message"], "Invalid API Key provided: sk_test_************6789");
    });
    for (key, shown) in [("", ""), ("abc", "***"), ("sk_test_abc", "sk_test_***"), ("éééééééé", "****éééé")]
    {
        assert_eq!(error::starred(key), shown);
    }
}

#[test]
fn nested_fields_are_kept_and_unset() {
    with_client(async |client| {
        let form = "email=a%2Bb%40example.com&name=Zo%C3%AB+%26+Co&metadata[k]=v&metadata[k2]=a%3Db&address[line1]=1+St&address[city]=X";
        let customer = made(client, "/v1/customers", form).await;
        assert!(id(&customer).starts_with("cus_"));
        assert_eq!((&customer["name"], &customer["address"]["city"]), (&json!("Zoë & Co"), &json!("X")));
        let path = format!("/v1/customers/{}", id(&customer));
        let updated = made(client, &path, "description=&metadata[k]=").await;
        assert_eq!((&updated["metadata"], &updated["description"]), (&json!({"k2": "a=b"}), &Value::Null));
        assert_eq!(made(client, &path, "metadata=").await["metadata"], json!({}));
        assert_eq!(client.form("DELETE", &path, "").await.1["deleted"], true);
        assert_eq!(get(client, &path).await["deleted"], true);
    });
}

#[test]
fn lists_page_both_ways() {
    with_client(async |client| {
        let mut ids = Vec::new();
        for number in 0..5 {
            ids.push(id(&made(client, "/v1/customers", &format!("email=u{number}%40x.y")).await).to_owned());
        }
        ids.reverse();
        let page = async |query: String| {
            let list = get(client, &format!("/v1/customers?{query}")).await;
            let ids: Vec<String> =
                list["data"].as_array().unwrap().iter().map(|object| id(object).to_owned()).collect();
            (ids, list["has_more"] == true)
        };
        assert_eq!(page("limit=2".to_owned()).await, (ids[..2].to_vec(), true));
        assert_eq!(page(format!("limit=2&starting_after={}", ids[1])).await, (ids[2..4].to_vec(), true));
        assert_eq!(page(format!("limit=2&starting_after={}", ids[3])).await, (ids[4..].to_vec(), false));
        assert_eq!(page(format!("limit=2&ending_before={}", ids[4])).await, (ids[2..4].to_vec(), true));
        assert_eq!(page("email=u3%40x.y&created%5Bgte%5D=1".to_owned()).await, (vec![ids[1].clone()], false));
        for query in [
            "limit=0",
            "limit=101",
            "limit=x",
            "starting_after=cus_no",
            "created%5Bxx%5D=1",
            "foo=1",
            "starting_after=a&ending_before=b",
        ] {
            assert_eq!(client.form("GET", &format!("/v1/customers?{query}"), "").await.0, 400, "{query}");
        }
    });
}

#[test]
fn payments_go_through_their_states() {
    with_client(async |client| {
        let intent = made(client, "/v1/payment_intents", "amount=2000&currency=eur").await;
        assert_eq!(intent["status"], "requires_payment_method");
        let path = format!("/v1/payment_intents/{}", id(&intent));
        let paid =
            made(client, &format!("{path}/confirm"), "payment_method=pm_card_visa&expand[0]=latest_charge").await;
        assert_eq!((&paid["status"], &paid["latest_charge"]["object"]), (&json!("succeeded"), &json!("charge")));
        let (status, body) = client.form("POST", &format!("{path}/cancel"), "").await;
        assert_eq!((status, &body["error"]["code"]), (400, &json!("payment_intent_unexpected_state")));

        let held = "amount=2000&currency=usd&confirm=true&capture_method=manual&payment_method=pm_card_visa";
        let held = made(client, "/v1/payment_intents", held).await;
        assert_eq!(held["status"], "requires_capture");
        let path = format!("/v1/payment_intents/{}/capture", id(&held));
        let taken = made(client, &path, "amount_to_capture=1500").await;
        assert_eq!((&taken["status"], &taken["amount_received"]), (&json!("succeeded"), &json!(1500)));
        let kinds: Vec<String> = get(client, "/v1/events?limit=100").await["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["type"].as_str().unwrap().to_owned())
            .collect();
        assert!(
            kinds.contains(&"payment_intent.succeeded".to_owned()) && kinds.contains(&"charge.captured".to_owned())
        );
    });
}

#[test]
fn cards_decline_as_their_names_say() {
    with_client(async |client| {
        for card in cards::CARDS {
            let form = format!("amount=2000&currency=usd&confirm=true&payment_method=pm_card_{}", card.name);
            let (status, body) = client.form("POST", "/v1/payment_intents", &form).await;
            match card.outcome {
                cards::Outcome::Succeed => assert_eq!(body["status"], "succeeded", "{}", card.name),
                cards::Outcome::NeedsAction => assert_eq!(body["status"], "requires_action", "{}", card.name),
                cards::Outcome::Decline(decline) => {
                    let error = &body["error"];
                    assert_eq!(
                        (status, &error["type"], &error["code"]),
                        (402, &json!("card_error"), &json!(decline.code))
                    );
                    assert_eq!(error["decline_code"].as_str(), decline.decline_code);
                    assert_eq!(error["payment_intent"]["status"], "requires_payment_method");
                }
            }
        }
    });
    let live = StripeOptions { key: ["sk_live_", "0000000000000000"].concat(), ..StripeOptions::default() };
    with_options(live, async |client| {
        let (status, body) =
            client.form("POST", "/v1/payment_intents", "amount=2000&currency=usd&payment_method=pm_card_visa").await;
        assert_eq!((status, &body["error"]["code"]), (400, &json!("resource_missing")));
        assert_eq!(get(client, "/v1/balance").await["livemode"], true);
    });
}

#[test]
fn refunds_stop_at_what_was_paid() {
    with_client(async |client| {
        let charge = made(client, "/v1/charges", "amount=500&currency=usd&source=tok_visa").await;
        let refund = |amount: &str| format!("charge={}{amount}", id(&charge));
        made(client, "/v1/refunds", &refund("&amount=300")).await;
        let (status, body) = client.form("POST", "/v1/refunds", &refund("&amount=300")).await;
        assert_eq!(status, 400);
        let message = "Refund amount ($3.00) is greater than unrefunded amount on charge ($2.00)";
        assert_eq!(body["error"]["message"], message);
        made(client, "/v1/refunds", &refund("")).await;
        let (_, body) = client.form("POST", "/v1/refunds", &refund("")).await;
        assert_eq!(body["error"]["code"], "charge_already_refunded");
    });
}

#[test]
fn the_same_idempotency_key_gets_the_same_answer() {
    with_client(async |client| {
        let call = async |path: &str, form: &str, key: &str| {
            let headers = [("content-type", "application/x-www-form-urlencoded"), ("idempotency-key", key)];
            client.call("POST", path, &headers, form.to_owned()).await
        };
        let first = call("/v1/customers", "email=a%40b.c", "k").await;
        let again = call("/v1/customers", "email=a%40b.c", "k").await;
        assert_eq!(first.body(), again.body());
        assert_eq!(again.headers()["idempotent-replayed"], "true");
        assert_eq!(again.headers()["original-request"], first.headers()["request-id"]);
        assert_ne!(again.headers()["request-id"], first.headers()["request-id"]);
        for (path, form) in [("/v1/customers", "email=x%40b.c"), ("/v1/products", "name=x")] {
            let (status, body) = parsed(&call(path, form, "k").await);
            assert_eq!((status, &body["error"]["type"]), (400, &json!("idempotency_error")), "{path}");
        }
        let declined = "amount=2000&currency=usd&confirm=true&payment_method=pm_card_chargeDeclined";
        let (one, two) =
            (call("/v1/payment_intents", declined, "d").await, call("/v1/payment_intents", declined, "d").await);
        assert_eq!((one.status().as_u16(), one.body()), (402, two.body()));
        // What was refused before any work can be mended under the same key.
        assert_eq!(call("/v1/customers", "foo=1", "m").await.status(), 400);
        assert_eq!(call("/v1/customers", "name=1", "m").await.status(), 200);
        assert_eq!(get(client, "/v1/customers").await["data"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn subscriptions_bring_their_invoice() {
    with_client(async |client| {
        let price =
            made(client, "/v1/prices", "currency=usd&unit_amount=1000&recurring[interval]=month&product_data[name]=P")
                .await;
        let customer = made(client, "/v1/customers", "email=a%40b.c").await;
        let form = format!("customer={}&items[0][price]={}&items[0][quantity]=2", id(&customer), id(&price));
        let (status, body) = client.form("POST", "/v1/subscriptions", &form).await;
        assert_eq!((status, &body["error"]["code"]), (400, &json!("resource_missing")));
        let trial = made(client, "/v1/subscriptions", &format!("{form}&trial_period_days=7")).await;
        assert_eq!(trial["status"], "trialing");
        made(
            client,
            &format!("/v1/customers/{}", id(&customer)),
            "invoice_settings[default_payment_method]=pm_card_visa",
        )
        .await;
        let active = made(client, "/v1/subscriptions", &format!("{form}&expand[]=latest_invoice")).await;
        assert_eq!((&active["status"], &active["latest_invoice"]["amount_paid"]), (&json!("active"), &json!(2000)));
        let path = format!("/v1/subscriptions/{}", id(&active));
        assert_eq!(client.form("DELETE", &path, "").await.1["status"], "canceled");
        assert_eq!(get(client, "/v1/subscriptions").await["data"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn payouts_need_a_balance() {
    with_client(async |client| {
        let (status, body) = client.form("POST", "/v1/payouts", "amount=100001&currency=usd").await;
        assert_eq!((status, &body["error"]["code"]), (400, &json!("balance_insufficient")));
        let payout = made(client, "/v1/payouts", "amount=40000&currency=usd").await;
        let usd = async || get(client, "/v1/balance").await["available"][1]["amount"].clone();
        assert_eq!(usd().await, 60_000);
        made(client, &format!("/v1/payouts/{}/cancel", id(&payout)), "").await;
        assert_eq!(usd().await, 100_000);
    });
}

#[test]
fn wrong_requests_have_their_own_errors() {
    with_client(async |client| {
        let cases = [
            ("POST", "/v1/payment_intents", "currency=usd", 400, "parameter_missing", "amount"),
            ("POST", "/v1/payment_intents", "amount=x&currency=usd", 400, "parameter_invalid_integer", "amount"),
            ("POST", "/v1/payment_intents", "amount=&currency=usd", 400, "parameter_invalid_empty", "amount"),
            ("POST", "/v1/payment_intents", "amount=10&currency=usd", 400, "amount_too_small", "amount"),
            ("POST", "/v1/payment_intents", "amount=1000&currency=usd&foo[bar]=1", 400, "parameter_unknown", "foo"),
            (
                "POST",
                "/v1/payment_intents",
                "amount=1000&currency=usd&customer=cus_no",
                400,
                "resource_missing",
                "customer",
            ),
            ("GET", "/v1/customers/cus_no", "", 404, "resource_missing", "id"),
            ("POST", "/v1/customers/cus_no", "name=x", 404, "resource_missing", "id"),
            ("POST", "/v1/customers", "email=nonsense", 400, "email_invalid", "email"),
        ];
        for (method, path, form, status, code, param) in cases {
            let (got, body) = client.form(method, path, form).await;
            let error = &body["error"];
            assert_eq!(
                (got, &error["code"], &error["param"]),
                (status, &json!(code), &json!(param)),
                "{method} {path} {form}"
            );
        }
        assert_eq!(client.form("GET", "/v1/nothing", "").await.0, 404);
        assert_eq!(client.form("DELETE", "/v1/charges/x", "").await.0, 404);
        assert_eq!(client.json("POST", "/v1/customers", json!({"name": "x"})).await.0, 400);
        let answer = client.call("GET", "/v1/balance", &[("stripe-version", "nonsense")], "").await;
        assert_eq!(answer.status(), 400);
        let answer = client.call("GET", "/v1/balance", &[("stripe-version", "2024-06-20")], "").await;
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["stripe-version"].to_str().unwrap()),
            (200, "2024-06-20")
        );
    });
    with_options(StripeOptions { requests_before_limit: Some(1), ..StripeOptions::default() }, async |client| {
        assert_eq!(client.form("GET", "/v1/balance", "").await.0, 200);
        assert_eq!(client.form("GET", "/v1/balance", "").await.0, 429);
    });
}

#[test]
fn search_pages_by_token() {
    with_client(async |client| {
        for number in 0..3 {
            made(client, "/v1/customers", &format!("email=u{number}%40x.y&metadata[k]=v")).await;
        }
        let query = "/v1/customers/search?limit=2&query=metadata%5B%27k%27%5D%3A%27v%27+AND+email~%27x.y%27";
        let first = get(client, query).await;
        assert_eq!((first["data"].as_array().unwrap().len(), &first["has_more"]), (2, &json!(true)));
        let second = get(client, &format!("{query}&page={}", first["next_page"].as_str().unwrap())).await;
        assert_eq!((second["data"].as_array().unwrap().len(), &second["has_more"]), (1, &json!(false)));
        assert_eq!(client.form("GET", "/v1/customers/search?query=nonsense", "").await.0, 400);
    });
}

#[test]
fn no_request_makes_it_panic() {
    use proptest::prelude::*;
    let fake = FakeStripe::new(StripeOptions { balance: vec![("usd".to_owned(), 1000)], ..StripeOptions::default() });
    let names: Vec<&str> = resources::RESOURCES.iter().map(|resource| resource.path).collect();
    let paths = format!("/v1/({}|balance|é|)(/x|/|/search|)(/confirm|/capture|/cancel|/pay|/lines|)", names.join("|"));
    let forms = "((amount|currency|customer|items\\[0\\]\\[price\\]|expand\\[\\]|metadata\\[0\\]|limit|created\\[gt\\]|confirm|unit_amount|recurring\\[interval\\]|payment_method|trial_period_days|query|name|email|invoice_settings)=(1000|-1|99999999999999999999|usd|x|pm_card_visa|true|a\\.b\\.c|month|)&){0,5}";
    proptest!(|(method in "GET|POST|DELETE|PUT", path in paths.as_str(), form in forms)| {
        let headers = vec![
            ("authorization".to_owned(), format!("Bearer {}", key()).into()),
            ("content-type".to_owned(), "application/x-www-form-urlencoded".into()),
        ];
        let request = Recorded {
            connection: 1, version: http::Version::HTTP_11, method, target: format!("{path}?{form}"), headers,
            body: form.into(), complete: true, raw: bytes::Bytes::new(),
        };
        fake.reply(&request);
    });
}
