//! Reading a request's body: bounded in size, in time, and together with all others in memory; parsed once.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Body, Incoming};
use kv_api::wire;
use kv_model::json;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::budget::{self, Account, Full};
use crate::fault::Fault;
use crate::pace::Pace;

/// As long as a whole body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// As long as it may rest between two pieces: what has come of it is memory that others wait for, and a caller on the
/// same machine has the next piece at hand.
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);

/// A body of JSON.
pub(crate) async fn json<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Fault> {
    let account = account(&request)?;
    let bytes = read(request, wire::MAX_JSON_BYTES).await?;
    parse(&bytes, &account).await
}

/// A body of JSON followed by attachments, if the head's length is given.
pub(crate) async fn json_and_rest<T: DeserializeOwned>(request: Request<Incoming>) -> Result<(T, Bytes), Fault> {
    let head = match request.headers().get(wire::HEAD_LENGTH_HEADER) {
        None => return Ok((json(request).await?, Bytes::new())),
        Some(length) => length
            .to_str()
            .ok()
            .and_then(|text| text.parse::<usize>().ok())
            .filter(|length| *length <= wire::MAX_JSON_BYTES)
            .ok_or_else(|| {
                Fault::usage(format!(
                    "`{}` is no length of at most {} bytes",
                    wire::HEAD_LENGTH_HEADER,
                    wire::MAX_JSON_BYTES
                ))
            })?,
    };
    let account = account(&request)?;
    let mut bytes = read(request, wire::MAX_REQUEST_BYTES).await?;
    if bytes.len() < head {
        return Err(Fault::usage("the body is shorter than its head"));
    }
    let rest = bytes.split_off(head);
    Ok((parse(&bytes, &account).await?, rest))
}

async fn read(request: Request<Incoming>, limit: usize) -> Result<Bytes, Fault> {
    let declared = request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let (account, pace) = (account(&request)?, request.extensions().get::<Arc<Pace>>().cloned());
    let whole = timeout(BODY_TIMEOUT, gather(request.into_body(), limit, &account));
    let bytes = whole.await.unwrap_or_else(|_| Err(too_slow("the request's body took over 60 s to arrive")))?;
    if let Some(pace) = pace {
        pace.whole();
    }
    Ok(bytes)
}

/// All of a body that keeps coming. Waiting for memory is no rest of the caller's, and does not count as one.
async fn gather(mut body: impl Body<Data = Bytes> + Unpin, limit: usize, account: &Account) -> Result<Bytes, Fault> {
    let mut bytes = BytesMut::new();
    loop {
        let piece = timeout(PIECE_TIMEOUT, body.frame());
        let piece = piece.await.map_err(|_| too_slow("nothing more of the request's body came for 10 s"))?;
        let Some(frame) = piece else { return Ok(bytes.freeze()) };
        let frame = frame.map_err(|_| Fault::usage("the request's body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        account.grow(data.len()).await.map_err(Full::fault)?;
        bytes.extend_from_slice(&data);
    }
}

fn too_large(limit: usize) -> Fault {
    Fault::usage(format!("the request's body is over {limit} bytes")).reason("request.body_too_large")
}

fn too_slow(message: &str) -> Fault {
    Fault::usage(message).reason("request.body_too_slow")
}

/// What the worker gave the request to take its memory from.
fn account(request: &Request<Incoming>) -> Result<Account, Fault> {
    request.extensions().get::<Account>().cloned().ok_or_else(|| Fault::broken("a request came without its account"))
}

async fn parse<T: DeserializeOwned>(bytes: &[u8], account: &Account) -> Result<T, Fault> {
    account.grow(budget::weight(bytes)).await.map_err(Full::fault)?;
    let value = json::parse(bytes, wire::MAX_JSON_BYTES)
        .map_err(|error| Fault::usage(error.to_string()).reason("request.json"))?;
    serde_json::from_value(value)
        .map_err(|error| Fault::usage(format!("the request is not understood: {error}")).reason("request.form"))
}

#[cfg(test)]
mod tests {
    use http_body_util::channel::{Channel, Sender};
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::budget::Budgets;
    use crate::worker::Door;

    async fn send(sender: &mut Sender<Bytes>) {
        sender.send_data(Bytes::from_static(b"piece")).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_rests_is_given_up() {
        for pieces in [0, 1, 3] {
            let account = Budgets::default().of_request(Door::Agent);
            let (mut sender, body) = Channel::<Bytes>::new(pieces + 1);
            for _ in 0..pieces {
                send(&mut sender).await;
            }
            let begun = Instant::now();
            let fault = gather(body, 100, &account).await.unwrap_err();
            assert_eq!((fault.stable_code(), begun.elapsed().as_secs()), ("request.body_too_slow", 10), "{pieces}");
            drop(sender);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_goes_on_is_read() {
        let account = Budgets::default().of_request(Door::Agent);
        let (mut sender, body) = Channel::<Bytes>::new(1);
        let sends = async move {
            for _ in 0..4 {
                sleep(PIECE_TIMEOUT.saturating_sub(Duration::from_millis(5))).await;
                send(&mut sender).await;
            }
        };
        let (got, ()) = tokio::join!(gather(body, 100, &account), sends);
        assert_eq!(got.unwrap().len(), 20);
    }
}
