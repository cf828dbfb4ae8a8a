//! Responses: `/v1/responses`.

use kv_sdk::{Failure, Io, Reply, Request};

use crate::errors::about;
use crate::pairs;
use crate::shape::{
    ANY, Checked, Id, MANY, Metadata, Nullable, Object, Probability, Temperature, TextOrList, TextOrObject, Whole,
};

/// What `responses.create` takes. Parameters that are not listed here are passed on.
#[kv_sdk::input(open)]
pub struct CreateResponse {
    /// The model's id, as `models.list` gives it. A stored prompt may name it instead.
    pub model: Option<Id>,
    /// What is asked: text, or a list of items.
    pub input: Option<Checked<TextOrList<Item, 0, MANY>>>,
    /// What the model is told beforehand.
    pub instructions: Option<Checked<String>>,
    /// The answer comes in pieces, as server-sent events, while it is being made.
    pub stream: Option<bool>,
    /// The answer comes at once and is unfinished; `responses.retrieve` gives it later.
    pub background: Option<bool>,
    /// As many tokens as the answer may have, reasoning included.
    pub max_output_tokens: Option<Checked<Whole<1, ANY>>>,
    pub max_tool_calls: Option<Checked<Whole<1, ANY>>>,
    pub temperature: Option<Checked<Temperature>>,
    pub top_p: Option<Checked<Probability>>,
    /// The response that this one goes on from.
    pub previous_response_id: Option<Checked<String>>,
    /// The conversation that input and answer are added to: its id, or an object with it.
    pub conversation: Option<Checked<TextOrObject>>,
    pub tools: Option<Checked<Vec<Tool>>>,
    /// `none`, `auto`, `required`, or the tool that has to be called.
    pub tool_choice: Option<Checked<TextOrObject>>,
    pub parallel_tool_calls: Option<Checked<bool>>,
    /// `{"effort": "low"}`, `{"summary": "auto"}`, ...
    pub reasoning: Option<Checked<Object>>,
    /// `{"format": {"type": "json_schema", "name": .., "schema": {..}}}` for an answer that fits a schema.
    pub text: Option<Checked<Object>>,
    /// What else the answer is to hold: `reasoning.encrypted_content`, ...
    pub include: Option<Checked<Vec<String>>>,
    pub truncation: Option<Checked<Truncation>>,
    /// `false`: the service does not keep the response.
    pub store: Option<Checked<bool>>,
    pub metadata: Option<Checked<Metadata>>,
}

/// A message, or one of the other items that the service knows by their `type`.
#[kv_sdk::input(open)]
pub struct Item {
    pub r#type: Option<String>,
    pub role: Option<Role>,
    pub content: Option<Checked<Nullable<TextOrList<Part, 0, MANY>>>>,
}

#[kv_sdk::input(open)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Assistant,
    Developer,
    System,
    User,
}

/// `input_text`, `input_image`, `input_file`, ...; `text` and `image_url` are of the chat API.
#[kv_sdk::input(open)]
pub struct Part {
    pub r#type: String,
    pub text: Option<String>,
}

/// A tool. A function's name and parameters are beside `type`; inside of `function` they are of the chat API.
#[kv_sdk::input(open)]
pub struct Tool {
    /// `function`, `web_search`, `file_search`, `code_interpreter`, `mcp`, ...
    pub r#type: String,
    pub name: Option<String>,
    pub parameters: Option<Checked<Nullable<Object>>>,
}

#[kv_sdk::input(open)]
#[serde(rename_all = "lowercase")]
pub enum Truncation {
    Auto,
    Disabled,
}

/// Create a response
///
/// Costs money by the token. With `stream` the answer comes as server-sent events; with `background` it is fetched later
/// with `responses.retrieve`.
#[kv_sdk::operation(
    name = "responses.create", effect = Write, suggest = Allow, facts(model = "/model"),
    endpoint = "POST /v1/responses",
)]
pub async fn create(io: &Io, input: CreateResponse) -> Result<Reply, Failure> {
    let model = input.model.map_or("the model of a stored prompt".to_owned(), |model| model.to_string());
    let how = match (input.background, input.stream) {
        (Some(true), _) => ", in the background",
        (_, Some(true)) => ", streamed",
        _ => "",
    };
    let request = Request::post(["v1", "responses"])
        .json_text(io.input_text())
        .summary(format!("ask {model} for a response{how}"));
    io.forward_success(request).await
}

/// What `responses.retrieve` takes.
#[kv_sdk::input(open)]
pub struct RetrieveResponse {
    /// `resp_...`
    pub response_id: Id,
    /// What else the answer is to hold: `message.output_text.logprobs`, ...
    pub include: Option<Checked<Vec<String>>>,
    /// The rest of a response that runs in the background comes as server-sent events.
    pub stream: Option<Checked<bool>>,
    /// With `stream`: the number of the last event that is known already.
    pub starting_after: Option<Checked<u64>>,
    pub include_obfuscation: Option<Checked<bool>>,
}

/// Show a response
///
/// It must have been stored. While it runs in the background, its `status` says so.
#[kv_sdk::operation(
    name = "responses.retrieve", effect = Read, suggest = Allow, repeatable, endpoint = "GET /v1/responses/{response_id}",
)]
pub async fn retrieve(io: &Io, input: RetrieveResponse) -> Result<Reply, Failure> {
    let query = pairs::of_input(io, &["response_id"]);
    let request = Request::get(["v1", "responses", &input.response_id]).queries(query);
    io.forward_success(request).await.map_err(about("/response_id"))
}
