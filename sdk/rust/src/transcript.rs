//! What a call has been answered so far: the state that the host keeps between two steps.
//!
//! It is compact JSON, written and read by the same component. It holds digests of the requests, never the requests.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Exit, Failure, Output, Payload, Response};

/// As long as the host lets a state be.
pub(crate) const MAX_STATE_BYTES: usize = 1 << 20;
/// What an entry takes beside its value: a digest of up to 20 digits, brackets, the tag.
const ENTRY_BYTES: usize = 40;

/// The answers in the order of their requests.
#[derive(Default)]
pub(crate) struct Transcript {
    entries: Vec<Entry>,
    bytes: usize,
}

/// The digest of a request, and what was kept of its answer.
type Entry = (u64, Result<Box<RawValue>, Failure>);

#[derive(Serialize)]
struct WrittenState<'a> {
    entries: &'a [Entry],
    asked: u64,
}

#[derive(Deserialize)]
struct ReadState {
    entries: Vec<Entry>,
    /// The request that the next answer belongs to.
    asked: u64,
}

impl Transcript {
    /// The state's text, to go with the request of this digest.
    pub(crate) fn write(&self, asked: u64) -> Result<String, Failure> {
        let text = serde_json::to_string(&WrittenState { entries: &self.entries, asked })
            .map_err(|error| Failure::internal(format!("the state cannot be written: {error}")))?;
        if text.len() > MAX_STATE_BYTES {
            let bytes = text.len();
            return Err(Failure::internal(format!(
                "the answers so far take {bytes} bytes, over the limit of {MAX_STATE_BYTES}"
            )));
        }
        Ok(text)
    }

    /// The transcript, and the digest of the request whose answer comes with it.
    pub(crate) fn read(state: &str) -> Result<(Self, u64), Failure> {
        let ReadState { entries, asked } = serde_json::from_str(state)
            .map_err(|error| Failure::internal(format!("the state that the host kept is not one: {error}")))?;
        let bytes = entries.iter().map(size).sum();
        Ok((Self { entries, bytes }, asked))
    }

    pub(crate) fn keep<T: Serialize>(&mut self, asked: u64, result: &Result<T, Failure>) -> Result<(), Failure> {
        let kept = match result {
            Ok(value) => Ok(serde_json::value::to_raw_value(value)
                .map_err(|error| Failure::internal(format!("an answer cannot be kept as JSON: {error}")))?),
            Err(failure) => Err(failure.clone()),
        };
        let entry = (asked, kept);
        self.bytes += size(&entry);
        self.entries.push(entry);
        Ok(())
    }

    pub(crate) fn recall<T: DeserializeOwned>(&self, place: usize) -> Result<T, Failure> {
        let lost = |why: &str| Failure::internal(format!("an answer that was kept cannot be read again: {why}"));
        match self.entries.get(place) {
            Some((_, Ok(value))) => serde_json::from_str(value.get()).map_err(|error| lost(&error.to_string())),
            Some((_, Err(failure))) => Err(failure.clone()),
            None => Err(lost("it is not there")),
        }
    }

    /// The digest of the request at a place, if it has been answered.
    pub(crate) fn asked(&self, place: usize) -> Option<u64> {
        self.entries.get(place).map(|(asked, _)| *asked)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn room(&self) -> usize {
        MAX_STATE_BYTES.saturating_sub(self.bytes + 2 * ENTRY_BYTES)
    }
}

fn size((_, kept): &Entry) -> usize {
    ENTRY_BYTES
        + match kept {
            Ok(value) => value.get().len(),
            // A message may be escaped; twice its length covers all but control characters.
            Err(failure) => 100 + 2 * (failure.message.len() + failure.code.as_deref().map_or(0, str::len)),
        }
}

/// A whole answer, as the transcript keeps it.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredResponse {
    status: u16,
    headers: Vec<(String, String)>,
    body: StoredBody,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredBody {
    /// Bytes that are no text, in hexadecimal.
    Hex(String),
    Text(String),
}

/// What a command wrote, as the transcript keeps it.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredOutput {
    exit: Exit,
    stdout: StoredBody,
    stderr: StoredBody,
    truncated: bool,
}

impl From<Response> for StoredResponse {
    fn from(response: Response) -> Self {
        let body = match response.body {
            Payload::Text(text) => StoredBody::Text(text),
            Payload::Bytes(bytes) => StoredBody::Hex(to_hex(&bytes)),
        };
        Self { status: response.status, headers: response.headers, body }
    }
}

impl TryFrom<StoredResponse> for Response {
    type Error = Failure;

    fn try_from(stored: StoredResponse) -> Result<Self, Failure> {
        let body = match stored.body {
            StoredBody::Text(text) => Payload::Text(text),
            hex @ StoredBody::Hex(_) => Payload::Bytes(hex.into_bytes()?),
        };
        Ok(Response::new(stored.status, stored.headers, body))
    }
}

impl From<Output> for StoredOutput {
    fn from(output: Output) -> Self {
        Self {
            exit: output.exit,
            stdout: StoredBody::of(output.stdout),
            stderr: StoredBody::of(output.stderr),
            truncated: output.truncated,
        }
    }
}

impl TryFrom<StoredOutput> for Output {
    type Error = Failure;

    fn try_from(stored: StoredOutput) -> Result<Self, Failure> {
        let mut output = Output::new(stored.exit, stored.stdout.into_bytes()?, stored.stderr.into_bytes()?);
        output.truncated = stored.truncated;
        Ok(output)
    }
}

impl StoredBody {
    fn of(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| StoredBody::Hex(to_hex(error.as_bytes())), StoredBody::Text)
    }

    fn into_bytes(self) -> Result<Vec<u8>, Failure> {
        match self {
            StoredBody::Text(text) => Ok(text.into_bytes()),
            StoredBody::Hex(hex) => {
                from_hex(&hex).ok_or_else(|| Failure::internal("the bytes that the host kept are damaged"))
            }
        }
    }
}

fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = hex.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}
