//! One request into a connection, the head of one answer out of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::Notify;

use crate::connect::Sender;
use crate::error::{SendError, Sent};
use crate::limits::Limits;

pub(crate) enum Failure {
    /// hyper gives the request itself back, by value, only if it never began to write it. That is the proof that a
    /// second try cannot be a second sending.
    NeverWritten(Box<Request<Full<Bytes>>>),
    Failed(SendError),
}

pub(crate) async fn exchange(
    sender: &mut Sender,
    mut request: Request<Full<Bytes>>,
    limits: &Limits,
) -> Result<Response<Incoming>, Failure> {
    let interim = Arc::new(Interim::default());
    let counted = Arc::clone(&interim);
    let most = limits.interim;
    hyper::ext::on_informational(&mut request, move |_| counted.count(most));
    let answer = async {
        match sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    };
    let answer = tokio::select! {
        biased;
        answer = tokio::time::timeout(limits.first_byte, answer) => answer,
        () = interim.flood.notified() => return Err(Failure::Failed(SendError::Protocol { sent: Sent::Unknown })),
    };
    match answer {
        Ok(Ok(response)) => check(response, limits).map_err(Failure::Failed),
        Ok(Err(mut error)) => Err(match error.take_message() {
            Some(request) => Failure::NeverWritten(Box::new(request)),
            None => Failure::Failed(sort(&error.into_error(), limits)),
        }),
        Err(_) => Err(Failure::Failed(SendError::TimeoutFirstByte(limits.first_byte))),
    }
}

/// Counts the 1xx answers of one request. `Link`s in a 103 and whatever else they say are ignored.
#[derive(Default)]
struct Interim {
    seen: AtomicUsize,
    flood: Notify,
}

impl Interim {
    fn count(&self, most: usize) {
        if self.seen.fetch_add(1, Ordering::Relaxed) >= most {
            self.flood.notify_one();
        }
    }
}

fn check(response: Response<Incoming>, limits: &Limits) -> Result<Response<Incoming>, SendError> {
    // 101 would hand the connection over to a protocol that nobody cleans; 600 and more mean nothing.
    if !(200..600).contains(&response.status().as_u16()) {
        return Err(SendError::Protocol { sent: Sent::Yes });
    }
    let headers = response.headers();
    // An encoding below the framing is one that nobody would decode.
    if headers.get_all(TRANSFER_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(SendError::Protocol { sent: Sent::Yes });
    }
    if headers.len() > limits.headers || size(headers) > limits.head_bytes {
        return Err(SendError::TooLarge { bytes: limits.head_bytes, headers: limits.headers });
    }
    Ok(response)
}

fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

fn sort(error: &hyper::Error, limits: &Limits) -> SendError {
    if error.is_parse_too_large() {
        SendError::TooLarge { bytes: limits.head_bytes, headers: limits.headers }
    } else if error.is_parse() {
        SendError::Protocol { sent: Sent::Unknown }
    } else {
        SendError::Reset
    }
}
