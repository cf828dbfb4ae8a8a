//! Speech to text and text to speech: the text names the file, the speech is silence.

use bytes::Bytes;
use serde_json::{Value, json};

use super::OpenAiOptions;
use super::error::Error;
use super::models;
use super::state::{json_body, multipart_body, ok, required};
use super::text::{pieces, tokens};
use crate::multipart::{self, Part};
use crate::record::Recorded;
use crate::reply::{Content, Pieces, Reply, sse_data};

/// Transcriptions and translations alike.
pub(super) fn transcribe(request: &Recorded, options: &OpenAiOptions) -> Result<Reply, Error> {
    let parts = multipart_body(request)?;
    let model = multipart::text(&parts, "model").ok_or_else(Error::no_model)?;
    models::find(model)?;
    let file = multipart::named(&parts, "file").ok_or_else(|| Error::missing("file"))?;
    let text = heard(file)?;
    if multipart::text(&parts, "stream") == Some("true") && model != "whisper-1" {
        return Ok(stream(&text, options));
    }
    let usage = json!({"type": "duration", "seconds": 1});
    match multipart::text(&parts, "response_format").unwrap_or("json") {
        "json" => Ok(ok(&json!({"text": text, "usage": usage}))),
        "text" => Ok(Reply::bytes(200, "text/plain; charset=utf-8", text + "\n")),
        "srt" => {
            Ok(Reply::bytes(200, "text/plain; charset=utf-8", format!("1\n00:00:00,000 --> 00:00:01,000\n{text}\n\n")))
        }
        "vtt" => Ok(Reply::bytes(
            200,
            "text/vtt; charset=utf-8",
            format!("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{text}\n\n"),
        )),
        "verbose_json" => {
            let segment = json!({
                "id": 0, "seek": 0, "start": 0.0, "end": 1.0, "text": text, "tokens": [50364], "temperature": 0.0,
                "avg_logprob": -0.2, "compression_ratio": 0.8, "no_speech_prob": 0.01,
            });
            let language = multipart::text(&parts, "language").unwrap_or("english");
            Ok(ok(&json!({
                "task": "transcribe", "language": language, "duration": 1.0, "text": text, "segments": [segment],
                "usage": usage,
            })))
        }
        other => Err(Error::invalid("response_format", format!("Invalid value for 'response_format': '{other}'."))),
    }
}

fn heard(file: &Part) -> Result<String, Error> {
    let name = file.file_name.as_deref().ok_or_else(|| Error::missing("file"))?;
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_lowercase();
    if !FORMATS.contains(&ending.as_str()) {
        let message = format!("Unrecognized file format. Supported formats: {FORMATS:?}");
        return Err(Error::invalid("file", message.replace('"', "'")));
    }
    Ok(format!("{} bytes of {name}", file.body.len()))
}

fn stream(text: &str, options: &OpenAiOptions) -> Reply {
    let mut events: Vec<Bytes> = pieces(text)
        .into_iter()
        .map(|piece| sse_data(&json!({"type": "transcript.text.delta", "delta": piece}).to_string()))
        .collect();
    let output = tokens(text);
    let usage = json!({
        "type": "tokens", "input_tokens": 14, "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
        "output_tokens": output, "total_tokens": 14 + output,
    });
    events.push(sse_data(&json!({"type": "transcript.text.done", "text": text, "usage": usage}).to_string()));
    events.push(sse_data("[DONE]"));
    Reply::events(events, options.chunk_every)
}

pub(super) fn speak(request: &Recorded, options: &OpenAiOptions) -> Result<Reply, Error> {
    let body = json_body(request)?;
    let model = body.get("model").and_then(Value::as_str).ok_or_else(Error::no_model)?;
    let input = required(&body, "input")?;
    required(&body, "voice")?;
    models::find(model)?;
    let (content_type, sound) = match body.get("response_format").and_then(Value::as_str).unwrap_or("mp3") {
        "mp3" => ("audio/mpeg", silent_mp3(tokens(input))),
        "wav" => ("audio/wav", silent_wav(tokens(input))),
        "pcm" => ("audio/pcm", vec![0; SAMPLES * 2 * tokens(input).clamp(1, 1000)]),
        other => {
            let message = format!("Invalid value: '{other}'. This fake makes 'mp3', 'wav' and 'pcm'.");
            return Err(Error::invalid("response_format", message));
        }
    };
    let pieces = sound.chunks(4096).map(Bytes::copy_from_slice).collect();
    let content = Content::Pieces(Pieces { pieces, every: options.chunk_every, ..Pieces::default() });
    Ok(Reply::new(200, content).with("content-type", content_type))
}

/// MPEG-1 layer III frames, 128 kbit/s at 44.1 kHz, with nothing in them.
fn silent_mp3(words: usize) -> Vec<u8> {
    let mut frame = vec![0; 417];
    frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
    frame.repeat(words.clamp(1, 1000) * 10)
}

fn silent_wav(words: usize) -> Vec<u8> {
    let data = vec![0_u8; SAMPLES * 2 * words.clamp(1, 1000)];
    let length = data.len() as u32;
    let mut wav = Vec::with_capacity(44 + data.len());
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + length).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&24_000_u32.to_le_bytes());
    wav.extend_from_slice(&48_000_u32.to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&length.to_le_bytes());
    wav.extend_from_slice(&data);
    wav
}

/// A quarter of a second a word.
const SAMPLES: usize = 6_000;
const FORMATS: [&str; 10] = ["flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm"];
