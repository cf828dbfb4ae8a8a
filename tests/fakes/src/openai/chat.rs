//! Chat completions, whole and streamed.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::error::Error;
use super::models::{self, Model, Trouble};
use super::state::{State, json_body, ok};
use super::text::{Said, insisted_function, last_of_user, of_content, pieces, tokens};
use super::{OpenAiOptions, text};
use crate::record::Recorded;
use crate::reply::{Content, End, Reply, sse_data};
use crate::service::unix_now;

pub(super) fn create(request: &Recorded, state: &mut State, options: &OpenAiOptions) -> Result<Reply, Error> {
    let body = json_body(request)?;
    let completion = Completion::new(&body, state, options)?;
    if body.get("stream") == Some(&Value::Bool(true)) {
        let usage = body.get("stream_options").is_some_and(|options| options["include_usage"] == true);
        return Ok(completion.stream(usage, state, options));
    }
    Ok(ok(&completion.whole()))
}

/// One answer before it is decided in which form it goes out.
struct Completion {
    id: String,
    created: u64,
    model: Model,
    choices: Vec<Message>,
    prompt_tokens: usize,
}

enum Message {
    Call { id: String, function: String, arguments: String },
    Refuse(String),
    Say(Said),
}

impl Completion {
    fn new(body: &Map<String, Value>, state: &mut State, options: &OpenAiOptions) -> Result<Completion, Error> {
        let name = body.get("model").and_then(Value::as_str).ok_or_else(Error::no_model)?;
        let messages = match body.get("messages") {
            None | Some(Value::Null) => return Err(Error::missing("messages")),
            Some(Value::Array(messages)) => messages,
            Some(other) => return Err(Error::wrong_type("messages", "an array of objects", other)),
        };
        check(messages, body)?;
        let model = models::find(name)?;
        let prompt_tokens = messages.iter().map(|message| tokens(&of_content(&message["content"])) + 4).sum();
        if prompt_tokens > CONTEXT {
            return Err(Error::too_long(name, CONTEXT, prompt_tokens));
        }
        let many = body.get("n").and_then(Value::as_u64).unwrap_or(1);
        let choices = (0..many).map(|_| message(body, messages, &model, state, options)).collect();
        Ok(Completion { id: state.ids.letters("chatcmpl-", 29), created: unix_now(), model, choices, prompt_tokens })
    }

    fn usage(&self) -> Value {
        let completion: usize = self.choices.iter().map(Message::tokens).sum();
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
            },
        })
    }

    fn whole(&self) -> Value {
        let choices: Vec<Value> =
            self.choices.iter().enumerate().map(|(index, message)| message.choice(index)).collect();
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model.full,
            "choices": choices, "usage": self.usage(), "service_tier": "default", "system_fingerprint": FINGERPRINT,
        })
    }

    fn chunk(&self, choices: Value, usage: Option<Value>) -> Value {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model.full,
            "service_tier": "default", "system_fingerprint": FINGERPRINT, "choices": choices,
        });
        if let Some(usage) = usage {
            chunk["usage"] = usage;
        }
        chunk
    }

    fn stream(&self, with_usage: bool, state: &mut State, options: &OpenAiOptions) -> Reply {
        // Once usage is asked for, every chunk has the field; it is null until the last one.
        let null = with_usage.then_some(Value::Null);
        let mut deltas: Vec<(usize, Value, Value)> = Vec::new();
        for (index, message) in self.choices.iter().enumerate() {
            deltas.extend(message.deltas().into_iter().map(|(delta, finish)| (index, delta, finish)));
        }
        let mut events: Vec<Bytes> = Vec::with_capacity(deltas.len() + 2);
        for (index, delta, finish) in deltas {
            let choice = json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": finish}]);
            let mut chunk = self.chunk(choice, null.clone());
            chunk["obfuscation"] = Value::String(state.ids.letters("", 8));
            events.push(sse_data(&chunk.to_string()));
        }
        match self.model.trouble {
            Some(Trouble::StreamCut) => return cut(events, options),
            Some(Trouble::StreamError) => {
                events.truncate(events.len() / 2);
                events.push(sse_data(&Error::broken().to_json().to_string()));
                return Reply::events(events, options.chunk_every);
            }
            _ => {}
        }
        if with_usage {
            events.push(sse_data(&self.chunk(json!([]), Some(self.usage())).to_string()));
        }
        events.push(sse_data("[DONE]"));
        Reply::events(events, options.chunk_every)
    }
}

/// Half of a stream, then a broken connection.
pub(super) fn cut(mut events: Vec<Bytes>, options: &OpenAiOptions) -> Reply {
    events.truncate(events.len().div_ceil(2));
    let mut reply = Reply::events(events, options.chunk_every);
    if let Content::Pieces(pieces) = &mut reply.content {
        pieces.end = End::Cut;
    }
    reply
}

fn check(messages: &[Value], body: &Map<String, Value>) -> Result<(), Error> {
    if messages.is_empty() {
        let message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array \
                       instead.";
        return Err(Error::invalid("messages", message));
    }
    for (index, message) in messages.iter().enumerate() {
        match message["role"].as_str() {
            Some("assistant" | "developer" | "function" | "system" | "tool" | "user") => {}
            Some(role) => {
                let text = format!(
                    "Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and \
                     'developer'."
                );
                return Err(Error::invalid(&format!("messages[{index}].role"), text));
            }
            None => return Err(Error::missing(&format!("messages[{index}].role"))),
        }
    }
    match body.get("temperature") {
        Some(Value::Number(number)) if !(0.0..=2.0).contains(&number.as_f64().unwrap_or(f64::NAN)) => {
            let text = format!(
                "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got {number} instead."
            );
            return Err(Error::invalid("temperature", text));
        }
        None | Some(Value::Number(_) | Value::Null) => {}
        Some(other) => return Err(Error::wrong_type("temperature", "a decimal", other)),
    }
    match body.get("n").map(Value::as_u64) {
        None | Some(Some(1..=128)) => Ok(()),
        Some(_) if body["n"].is_null() => Ok(()),
        Some(_) => Err(Error::invalid("n", "Invalid 'n': integer must be between 1 and 128.")),
    }
}

fn message(
    body: &Map<String, Value>,
    messages: &[Value],
    model: &Model,
    state: &mut State,
    options: &OpenAiOptions,
) -> Message {
    if model.trouble == Some(Trouble::Refusal) {
        return Message::Refuse("I'm sorry, I can't assist with that request.".to_owned());
    }
    if let Some(function) = insisted_function(body) {
        return Message::Call { id: state.ids.letters("call_", 24), function, arguments: "{}".to_owned() };
    }
    let asked = last_of_user(messages);
    let most = body.get("max_completion_tokens").or_else(|| body.get("max_tokens")).and_then(Value::as_u64);
    let format = body.get("response_format").and_then(|format| format["type"].as_str());
    if matches!(format, Some("json_object" | "json_schema")) && options.says.is_none() {
        return Message::Say(Said { text: json!({"you_said": asked}).to_string(), cut_short: false });
    }
    Message::Say(Said::to(&asked, most, options))
}

impl Message {
    fn tokens(&self) -> usize {
        match self {
            Message::Call { function, arguments, .. } => tokens(function) + tokens(arguments),
            Message::Refuse(text) => tokens(text),
            Message::Say(said) => tokens(&said.text),
        }
    }

    fn finish(&self) -> &'static str {
        match self {
            Message::Call { .. } => "tool_calls",
            Message::Say(said) if said.cut_short => "length",
            Message::Refuse(_) | Message::Say(_) => "stop",
        }
    }

    fn choice(&self, index: usize) -> Value {
        let message = match self {
            Message::Call { id, function, arguments } => json!({
                "role": "assistant", "content": null, "refusal": null, "annotations": [],
                "tool_calls": [{"id": id, "type": "function", "function": {"name": function, "arguments": arguments}}],
            }),
            Message::Refuse(text) => json!({"role": "assistant", "content": null, "refusal": text, "annotations": []}),
            Message::Say(said) => {
                json!({"role": "assistant", "content": said.text, "refusal": null, "annotations": []})
            }
        };
        json!({"index": index, "message": message, "logprobs": null, "finish_reason": self.finish()})
    }

    /// The message in pieces, each with the finish reason that goes with it (null but for the last).
    fn deltas(&self) -> Vec<(Value, Value)> {
        let mut deltas = match self {
            Message::Call { id, function, arguments } => vec![
                json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [
                    {"index": 0, "id": id, "type": "function", "function": {"name": function, "arguments": ""}}]}),
                json!({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}),
            ],
            Message::Refuse(text) => {
                let first = json!({"role": "assistant", "content": null, "refusal": ""});
                std::iter::once(first).chain(pieces(text).into_iter().map(|piece| json!({"refusal": piece}))).collect()
            }
            Message::Say(said) => {
                let first = json!({"role": "assistant", "content": "", "refusal": null});
                let rest = text::pieces(&said.text).into_iter().map(|piece| json!({"content": piece}));
                std::iter::once(first).chain(rest).collect::<Vec<_>>()
            }
        };
        deltas.push(json!({}));
        let last = deltas.len() - 1;
        let finish = |at| if at == last { json!(self.finish()) } else { Value::Null };
        deltas.into_iter().enumerate().map(|(at, delta)| (delta, finish(at))).collect()
    }
}

const FINGERPRINT: &str = "fp_fa4e000000";
const CONTEXT: usize = 128_000;
