//! Chat completions: `/v1/chat/completions`.
//!
//! The body goes out as the caller wrote it. What is typed here is where callers err; a parameter that the service has
//! added since passes as it is, since a schema that refused it would be wrong a week after each release of a model.

use kv_sdk::{Failure, Io, Reply, Request};

use crate::shape::{
    ANY, Checked, Id, List, MANY, Metadata, Nullable, Object, Penalty, Probability, Temperature, Text, TextOrList,
    TextOrObject, Whole,
};

/// What `chat.completions.create` takes. Parameters that are not listed here are passed on.
#[kv_sdk::input(open)]
pub struct CreateChatCompletion {
    /// The model's id, as `models.list` gives it.
    pub model: Id,
    /// The conversation so far.
    pub messages: Checked<List<Message, 1, MANY>>,
    /// The answer comes in pieces, as server-sent events, while it is being made.
    pub stream: Option<bool>,
    pub stream_options: Option<Checked<StreamOptions>>,
    /// As many tokens as the answer may have, reasoning included.
    pub max_completion_tokens: Option<Checked<Whole<1, ANY>>>,
    /// The older name of `max_completion_tokens`; reasoning models refuse it.
    pub max_tokens: Option<Checked<Whole<1, ANY>>>,
    pub temperature: Option<Checked<Temperature>>,
    pub top_p: Option<Checked<Probability>>,
    pub presence_penalty: Option<Checked<Penalty>>,
    pub frequency_penalty: Option<Checked<Penalty>>,
    /// How many answers to make; each is billed.
    pub n: Option<Checked<Whole<1, 128>>>,
    /// Texts at which the answer ends: one, or up to four.
    pub stop: Option<Checked<TextOrList<String, 1, 4>>>,
    pub tools: Option<Checked<Vec<Tool>>>,
    /// `none`, `auto`, `required`, or the tool that has to be called.
    pub tool_choice: Option<Checked<TextOrObject>>,
    pub parallel_tool_calls: Option<Checked<bool>>,
    /// `{"type": "json_schema", "json_schema": {..}}` for an answer that fits a schema.
    pub response_format: Option<Checked<ResponseFormat>>,
    /// How long a reasoning model thinks: `none`, `minimal`, `low`, `medium`, `high`, ...
    pub reasoning_effort: Option<Checked<String>>,
    pub seed: Option<Checked<i64>>,
    pub logprobs: Option<Checked<bool>>,
    pub top_logprobs: Option<Checked<Whole<0, 20>>>,
    /// Keeps the completion with the service, where `chat.completions.retrieve` finds it.
    pub store: Option<Checked<bool>>,
    pub metadata: Option<Checked<Metadata>>,
}

/// One message of a conversation.
#[kv_sdk::input(open)]
pub struct Message {
    /// `developer` is what `system` is called for reasoning models; `function` is the older name of `tool`.
    pub role: Role,
    /// Text, or a list of parts. An assistant's message that calls tools may have none.
    pub content: Option<Checked<Nullable<TextOrList<Part, 0, MANY>>>>,
    pub name: Option<Checked<Nullable<Text<MANY>>>>,
    /// The tools that an assistant's message called.
    pub tool_calls: Option<Checked<Nullable<List<ToolCall, 0, MANY>>>>,
    /// Which call the message of a tool answers.
    pub tool_call_id: Option<String>,
}

#[kv_sdk::input(open)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Assistant,
    Developer,
    Function,
    System,
    Tool,
    User,
}

/// A part of a message. Its other members go by its type: `text`, `image_url`, `input_audio`, `file`, `refusal`.
#[kv_sdk::input(open)]
pub struct Part {
    pub r#type: PartType,
    pub text: Option<String>,
    pub image_url: Option<ImageUrl>,
    pub input_audio: Option<InputAudio>,
    pub file: Option<Checked<Object>>,
}

/// `input_text` and `input_image` are of the responses API.
#[kv_sdk::input(open)]
#[serde(rename_all = "snake_case")]
pub enum PartType {
    File,
    ImageUrl,
    InputAudio,
    Refusal,
    Text,
}

#[kv_sdk::input(open)]
pub struct ImageUrl {
    /// An address that the service can reach, or `data:image/png;base64,...`.
    pub url: String,
    /// `auto`, `low` or `high`.
    pub detail: Option<String>,
}

#[kv_sdk::input(open)]
pub struct InputAudio {
    /// In base64.
    pub data: String,
    /// `wav` or `mp3`.
    pub format: String,
}

#[kv_sdk::input(open)]
pub struct ToolCall {
    pub id: String,
    pub r#type: Option<String>,
    pub function: Option<CalledFunction>,
}

#[kv_sdk::input(open)]
pub struct CalledFunction {
    pub name: String,
    /// JSON, as text.
    pub arguments: String,
}

/// A tool that the model may call. A function's name and parameters are inside of `function`; beside `type` they are
/// of the responses API.
#[kv_sdk::input(open)]
pub struct Tool {
    /// `function` or `custom`.
    pub r#type: String,
    pub function: Option<Function>,
}

#[kv_sdk::input(open)]
pub struct Function {
    /// Letters, digits, `_` and `-`.
    pub name: Checked<Text<64>>,
    pub description: Option<Checked<Nullable<Text<MANY>>>>,
    /// The JSON Schema of its arguments.
    pub parameters: Option<Checked<Object>>,
    pub strict: Option<Checked<Nullable<bool>>>,
}

#[kv_sdk::input(open)]
pub struct ResponseFormat {
    /// `text`, `json_object` or `json_schema`.
    pub r#type: String,
    pub json_schema: Option<Checked<Object>>,
}

#[kv_sdk::input(open)]
pub struct StreamOptions {
    /// A last piece says how many tokens were used.
    pub include_usage: Option<bool>,
}

/// Create a chat completion
///
/// Costs money by the token. With `stream` the answer comes as server-sent events, as the service sends them.
#[kv_sdk::operation(
    name = "chat.completions.create", effect = Write, suggest = Allow, facts(model = "/model"),
    endpoint = "POST /v1/chat/completions",
)]
pub async fn create(io: &Io, input: CreateChatCompletion) -> Result<Reply, Failure> {
    let streamed = if input.stream == Some(true) { ", streamed" } else { "" };
    let request = Request::post(["v1", "chat", "completions"])
        .json_text(io.input_text())
        .summary(format!("chat with {}{streamed}", input.model));
    io.forward_success(request).await
}
