//! What the models say, and how it is counted and cut into pieces.

use serde_json::{Map, Value};

use super::OpenAiOptions;

/// What was said, and whether the limit of tokens cut it short.
pub(super) struct Said {
    pub(super) text: String,
    pub(super) cut_short: bool,
}

impl Said {
    /// An answer to `asked`, in at most `most` tokens.
    pub(super) fn to(asked: &str, most: Option<u64>, options: &OpenAiOptions) -> Said {
        let text = match &options.says {
            Some(says) => says.clone(),
            None => format!("You said: {asked}"),
        };
        let Some(most) = most else { return Said { text, cut_short: false } };
        let pieces = pieces(&text);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let cut_short = pieces.len() > most;
        Said { text: pieces[..pieces.len().min(most)].concat(), cut_short }
    }
}

/// Words with the space before them, which is about what tokens look like.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (at, letter) in text.char_indices() {
        if letter.is_whitespace() && at > start {
            pieces.push(&text[start..at]);
            start = at;
        }
    }
    if start < text.len() {
        pieces.push(&text[start..]);
    }
    pieces
}

pub(super) fn tokens(text: &str) -> usize {
    pieces(text).len()
}

/// The text of a message's content: a string, or the text parts of a list.
pub(super) fn of_content(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join(" ")
        }
        _ => String::new(),
    }
}

/// The last message of the user.
pub(super) fn last_of_user(messages: &[Value]) -> String {
    messages
        .iter()
        .rev()
        .find(|message| message["role"] == "user")
        .map(|message| of_content(&message["content"]))
        .unwrap_or_default()
}

/// The function that a request insists on calling, if it does.
pub(super) fn insisted_function(body: &Map<String, Value>) -> Option<String> {
    // Chat nests the name in `function`, responses do not; both say "required" for "any of them".
    let name_in = |value: &Value| {
        let name = value["function"]["name"].as_str().or_else(|| value["name"].as_str());
        name.map(str::to_owned)
    };
    match body.get("tool_choice")? {
        Value::String(choice) if choice == "required" => body.get("tools")?.as_array()?.iter().find_map(name_in),
        choice @ Value::Object(_) => name_in(choice),
        _ => None,
    }
}
