//! Server-sent events, read as they come: the text of a chat, put together from its pieces.
//!
//! Bytes in, text out. What is no chat that is known here stays what it was, a text of events.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// As long as one event may be, and as much text as is put together. Answers of models are far shorter; what is longer
/// is still in the file.
const MAX_EVENT: usize = 1 << 20;
const MAX_TEXT: usize = 4 << 20;
/// As many choices, and calls of tools in one, as are told apart.
const MAX_PARTS: u64 = 128;

/// A stream under way.
#[derive(Default)]
pub(super) struct Chat {
    line: Vec<u8>,
    data: Vec<u8>,
    /// An event was too long, or the text is: what was put together is not all.
    cut: bool,
    size: usize,
    about: Map<String, Value>,
    choices: BTreeMap<u64, Choice>,
    /// The whole answer, where the service sends it at the end.
    whole: Option<Value>,
    error: Option<Value>,
}

#[derive(Default)]
struct Choice {
    text: String,
    refusal: String,
    finish: Option<Value>,
    tools: BTreeMap<u64, Tool>,
}

#[derive(Default)]
struct Tool {
    id: String,
    name: String,
    arguments: String,
}

/// What a stream came to.
pub(super) struct Spoken {
    /// The text of the first choice.
    pub(super) text: String,
    /// Everything else: who, why it ended, tools that are to be called, what it cost.
    pub(super) about: Value,
    pub(super) failed: bool,
}

impl Chat {
    /// Takes bytes; gives the text that they added.
    pub(super) fn take(&mut self, bytes: &[u8]) -> String {
        let mut added = String::new();
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(&mut added),
                b'\r' => {}
                _ if self.line.len() < MAX_EVENT => self.line.push(*byte),
                _ => self.cut = true,
            }
        }
        added
    }

    fn end_line(&mut self, added: &mut String) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            if !data.is_empty() {
                self.event(&data, added);
            }
        } else if let Some(data) = line.strip_prefix(b"data:") {
            let data = data.strip_prefix(b" ").unwrap_or(data);
            if self.data.len() + data.len() > MAX_EVENT {
                self.cut = true;
                return;
            }
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data);
        }
    }

    fn event(&mut self, data: &[u8], added: &mut String) {
        // `[DONE]`, and whatever else is no JSON, says nothing.
        let Ok(Value::Object(mut event)) = kv_model::json::parse(data, MAX_EVENT) else { return };
        if let Some(error) = event.get("error").filter(|error| !error.is_null()) {
            self.error = Some(error.clone());
        }
        match event.get("type").and_then(Value::as_str) {
            Some("response.output_text.delta") => {
                if let Some(text) = event.get("delta").and_then(Value::as_str) {
                    self.say(0, text, added);
                }
                return;
            }
            Some("response.completed" | "response.incomplete" | "response.failed") => {
                let failed = event.get("type").and_then(Value::as_str) == Some("response.failed");
                self.whole = event.remove("response");
                if failed {
                    self.error = self.whole.as_ref().map(|whole| whole["error"].clone());
                }
                return;
            }
            Some("error") if self.error.is_none() => self.error = Some(Value::Object(event.clone())),
            _ => {}
        }
        if let Some(Value::Array(choices)) = event.remove("choices") {
            choices.iter().for_each(|choice| self.choice(choice, added));
            for name in ["id", "model", "usage", "service_tier"] {
                if let Some(value) = event.remove(name).filter(|value| !value.is_null()) {
                    self.about.insert(name.to_owned(), value);
                }
            }
        }
    }

    fn choice(&mut self, choice: &Value, added: &mut String) {
        let index = choice["index"].as_u64().unwrap_or(0);
        if index >= MAX_PARTS {
            self.cut = true;
            return;
        }
        let delta = &choice["delta"];
        for text in [&delta["content"], &choice["text"]].into_iter().filter_map(Value::as_str) {
            self.say(index, text, added);
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.tool(index, call);
        }
        let refusal = delta["refusal"].as_str().unwrap_or_default();
        let fits = self.fits(refusal.len());
        let known = self.choices.entry(index).or_default();
        if fits {
            known.refusal.push_str(refusal);
        }
        if !choice["finish_reason"].is_null() {
            known.finish = Some(choice["finish_reason"].clone());
        }
    }

    fn say(&mut self, index: u64, text: &str, added: &mut String) {
        if self.fits(text.len()) {
            self.choices.entry(index).or_default().text.push_str(text);
            if index == 0 {
                added.push_str(text);
            }
        }
    }

    fn tool(&mut self, index: u64, call: &Value) {
        let at = call["index"].as_u64().unwrap_or(0);
        let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (id, name, arguments) =
            (part(&call["id"]), part(&call["function"]["name"]), part(&call["function"]["arguments"]));
        if at >= MAX_PARTS || !self.fits(id.len() + name.len() + arguments.len()) {
            self.cut = true;
            return;
        }
        let tool = self.choices.entry(index).or_default().tools.entry(at).or_default();
        tool.id.push_str(&id);
        tool.name.push_str(&name);
        tool.arguments.push_str(&arguments);
    }

    fn fits(&mut self, more: usize) -> bool {
        let fits = self.size + more <= MAX_TEXT;
        self.cut |= !fits;
        self.size += if fits { more } else { 0 };
        fits
    }

    /// What was said, if this was a chat.
    pub(super) fn end(mut self) -> Option<Spoken> {
        let mut last = String::new();
        self.end_line(&mut last);
        self.end_line(&mut last);
        if self.choices.is_empty() && self.whole.is_none() && self.error.is_none() {
            return None;
        }
        let failed = self.error.is_some();
        let text = self.choices.get(&0).map(|choice| choice.text.clone()).unwrap_or_default();
        let mut about = self.about;
        let several = self.choices.len() > 1;
        let choices: Vec<Value> = self.choices.iter().map(|(index, choice)| choice.about(*index, several)).collect();
        if choices.iter().any(|choice| choice.as_object().is_some_and(|choice| choice.len() > 1)) {
            about.insert("choices".to_owned(), choices.into());
        }
        if let Some(whole) = self.whole {
            about.insert("response".to_owned(), whole);
        }
        if let Some(error) = self.error {
            about.insert("error".to_owned(), error);
        }
        if self.cut {
            about.insert("cut".to_owned(), true.into());
        }
        Some(Spoken { text, about: Value::Object(about), failed })
    }
}

impl Choice {
    fn about(&self, index: u64, several: bool) -> Value {
        let mut about = Map::new();
        about.insert("index".to_owned(), index.into());
        if several {
            about.insert("text".to_owned(), self.text.as_str().into());
        }
        if !self.refusal.is_empty() {
            about.insert("refusal".to_owned(), self.refusal.as_str().into());
        }
        if let Some(finish) = &self.finish {
            about.insert("finish_reason".to_owned(), finish.clone());
        }
        let tools: Vec<Value> = self
            .tools
            .values()
            .map(|tool| json!({ "id": tool.id, "name": tool.name, "arguments": tool.arguments }))
            .collect();
        if !tools.is_empty() {
            about.insert("tool_calls".to_owned(), tools.into());
        }
        Value::Object(about)
    }
}
