//! Fake services that this kv is connected to.

use std::ops::Deref;
use std::sync::Arc;

use kv_fakes::{FakeOpenAi, FakeStripe, OpenAiOptions, Script, Scripted, Service, StripeOptions};

use serde_json::json;

use super::Kv;
use super::canary::Canary;
use super::home::lock;
use super::wire::Door;

/// A service, and the key with which kv is to speak to it.
pub(crate) struct Connected {
    pub(crate) service: Arc<Service>,
    pub(crate) key: Canary,
}

impl Deref for Connected {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl Kv {
    pub(crate) fn openai(&self) -> Connected {
        self.openai_with(OpenAiOptions::default())
    }

    pub(crate) fn openai_with(&self, options: OpenAiOptions) -> Connected {
        let key = self.plant(Canary::openai());
        let options = OpenAiOptions { key: key.value.clone(), ..options };
        let service = FakeOpenAi::start_blocking(&self.ca, options).expect("there is a free port");
        self.connect("openai", "openai", service, key)
    }

    pub(crate) fn stripe(&self) -> Connected {
        let key = self.plant(Canary::stripe());
        let options = StripeOptions { key: key.value.clone(), ..Default::default() };
        let service = FakeStripe::start_blocking(&self.ca, options).expect("there is a free port");
        self.connect("stripe", "stripe", service, key)
    }

    /// A service in OpenAI's place that does as it is told.
    pub(crate) fn scripted(&self, name: &str, script: impl Into<Script>) -> Connected {
        let service = Scripted::start_blocking(&self.ca, script).expect("there is a free port");
        self.connect("openai", name, service, self.plant(Canary::openai()))
    }

    /// Stores the key and makes a connection of this name.
    #[track_caller]
    pub(crate) fn connect(&self, provider: &str, name: &str, service: Service, key: Canary) -> Connected {
        let secret = format!("KEY_OF_{}", name.to_ascii_uppercase().replace('-', "_"));
        self.run_with(["set", &secret, "--stdin"], &key.value).ok();
        self.connect_to(provider, name, &service.origin(), &secret);
        let service = Arc::new(service);
        lock(&self.services).push((Arc::clone(&service), Some(key.clone())));
        Connected { service, key }
    }

    /// Makes a connection as the person's commands do.
    #[track_caller]
    pub(crate) fn connect_to(&self, provider: &str, name: &str, origin: &str, secret: &str) {
        let ca = self.ca.ca_pem();
        let body = json!({
            "provider": provider, "name": name, "origin": origin, "ca": ca, "bindings": { "key": secret },
            "allow_private": true,
        });
        let made = self.ask(Door::Human, "POST", "/v1/connections", body.to_string().as_bytes());
        assert_eq!(made.outcome, "result", "{}", made.gist());
    }

    /// A service whose requests may carry no key, or not exactly one: what came is the test's to look at.
    pub(crate) fn key_is_not_counted(&self, service: &Connected) {
        for (known, key) in lock(&self.services).iter_mut() {
            if Arc::ptr_eq(known, &service.service) {
                *key = None;
            }
        }
    }
}
