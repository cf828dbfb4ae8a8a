//! Reading a request's body: bounded in size, in time, and together with all others in memory; parsed once.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use kv_api::wire;
use kv_model::json;
use serde::de::DeserializeOwned;

use crate::budget::{self, Account, Full};
use crate::fault::Fault;
use crate::pace::Pace;

/// As long as a whole body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

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
    let too_large =
        || Fault::usage(format!("the request's body is over {limit} bytes")).reason("request.body_too_large");
    let declared = request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let (account, pace) = (account(&request)?, request.extensions().get::<Arc<Pace>>().cloned());
    let mut body = request.into_body();
    let whole = async {
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Fault::usage("the request's body broke off"))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > limit {
                return Err(too_large());
            }
            account.grow(data.len()).await.map_err(Full::fault)?;
            bytes.extend_from_slice(&data);
        }
        if let Some(pace) = pace {
            pace.whole();
        }
        Ok(bytes.freeze())
    };
    tokio::time::timeout(BODY_TIMEOUT, whole)
        .await
        .unwrap_or_else(|_| Err(Fault::usage("the request's body took over 60 s to arrive")))
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
