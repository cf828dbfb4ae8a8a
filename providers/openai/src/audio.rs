//! Audio: `/v1/audio`.

use kv_sdk::{Failure, Io, Reply, Request};

use crate::pairs;
use crate::shape::{Checked, Hundredths, Id, Probability, Text, TextOrObject};
use crate::upload;

/// What `audio.speech.create` takes. Parameters that are not listed here are passed on.
#[kv_sdk::input(open)]
pub struct CreateSpeech {
    /// `gpt-4o-mini-tts`, `tts-1`, ...
    pub model: Id,
    /// The text to be spoken.
    pub input: Text<4096>,
    /// `alloy`, `coral`, `marin`, ..., or an object with the id of a custom voice.
    pub voice: Checked<TextOrObject>,
    /// How it is to be spoken; not with `tts-1`.
    pub instructions: Option<Checked<String>>,
    /// `mp3`, `opus`, `aac`, `flac`, `wav` or `pcm`; `mp3` unless said.
    pub response_format: Option<Checked<String>>,
    pub speed: Option<Checked<Hundredths<25, 400>>>,
    /// `audio`, or `sse` for server-sent events.
    pub stream_format: Option<Checked<String>>,
}

/// Turn text into speech
///
/// Costs money by the length of the text. The answer is the audio itself.
#[kv_sdk::operation(
    name = "audio.speech.create", effect = Write, suggest = Allow, facts(model = "/model"),
    endpoint = "POST /v1/audio/speech",
)]
pub async fn speech(io: &Io, input: CreateSpeech) -> Result<Reply, Failure> {
    let length = input.input.chars().count();
    let request = Request::post(["v1", "audio", "speech"])
        .json_text(io.input_text())
        .summary(format!("speak {length} characters with {}", input.model));
    io.forward_success(request).await
}

/// What `audio.transcriptions.create` takes, beside the recording. Parameters that are not listed here are passed on.
#[kv_sdk::input(open)]
pub struct CreateTranscription {
    /// `gpt-4o-transcribe`, `whisper-1`, ...
    pub model: Id,
    /// The name of the attachment that is the recording; needed only where there are several.
    pub file: Option<String>,
    /// What is spoken, as `en`, `de`, ...: better and faster than finding out.
    pub language: Option<Checked<String>>,
    /// Words or style to expect.
    pub prompt: Option<Checked<String>>,
    /// `json`, `text`, `srt`, `vtt`, `verbose_json` or `diarized_json`, as the model allows.
    pub response_format: Option<Checked<String>>,
    pub temperature: Option<Checked<Probability>>,
    /// With `verbose_json`.
    pub timestamp_granularities: Option<Checked<Vec<Granularity>>>,
    /// What else the answer is to hold: `logprobs`.
    pub include: Option<Checked<Vec<String>>>,
    /// `auto`, or how to cut the recording.
    pub chunking_strategy: Option<Checked<TextOrObject>>,
    /// The text comes in pieces, as server-sent events; `whisper-1` does not.
    pub stream: Option<Checked<bool>>,
}

#[kv_sdk::input(open)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    Segment,
    Word,
}

/// Turn speech into text
///
/// The recording is the call's attachment, of up to 25 MB. Costs money by the minute.
#[kv_sdk::operation(
    name = "audio.transcriptions.create", effect = Write, suggest = Allow, facts(model = "/model"),
    endpoint = "POST /v1/audio/transcriptions",
)]
pub async fn transcribe(io: &Io, input: CreateTranscription) -> Result<Reply, Failure> {
    let recording = upload::chosen(io, input.file.as_deref())?;
    let summary = format!("transcribe {} ({} bytes) with {}", recording.name, recording.size, input.model);
    let form = upload::form(pairs::of_input(io, &["file"]), recording);
    io.forward_success(Request::post(["v1", "audio", "transcriptions"]).multipart(form).summary(summary)).await
}
