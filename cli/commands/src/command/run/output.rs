//! What a command writes, on its way through the daemon's mask to kv's own output.
//!
//! It is over when the command is: something that it left behind may hold the other end open for ever, and a shell would not
//! wait for that either. What the command itself wrote is all there by then, and is read whole.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt, unfold};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use kv_api::Code;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Context;
use crate::client::Request;
use crate::problem::Problem;

/// As much as is read from the command at once.
pub(super) const CHUNK: usize = 16 << 10;
/// How long what a command left behind is listened to after it ended: time enough for a last line of, say, a pipe's other
/// end, too short for a person to wonder.
const LINGER: Duration = Duration::from_millis(250);
/// As much as is read after that, if it is there already. No pipe holds more unless root made it so, which means that nothing
/// the command itself wrote is lost, however slowly it is taken from us.
const LEFT_IN_PIPE: usize = 1 << 20;

pub(super) type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send + Sync>>;

/// When the command ended, once it has.
pub(super) type Ended = watch::Receiver<Option<Instant>>;

/// A pipe, piece by piece.
pub(super) fn pieces(from: impl AsyncRead + Unpin + Send + Sync + 'static) -> Pieces {
    Box::pin(unfold(from, |mut from| async move {
        let mut chunk = vec![0; CHUNK];
        match from.read(&mut chunk).await {
            Ok(0) => None,
            Ok(length) => {
                chunk.truncate(length);
                Some((Ok(Bytes::from(chunk)), from))
            }
            Err(error) => Some((Err(error), from)),
        }
    }))
}

/// The same, until the command has ended and what it wrote has been read.
fn until_ended(from: Pieces, ended: Ended) -> Pieces {
    Box::pin(unfold((from, ended, LEFT_IN_PIPE), |(mut from, mut ended, mut left)| async move {
        let over = async {
            // A sender that has gone cannot say when; then it was now.
            let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| *end).unwrap_or_else(Instant::now);
            sleep_until(end + LINGER).await;
        };
        let piece = tokio::select! {
            biased;
            piece = from.next() => piece?,
            () = over => return None,
        };
        if let (Ok(bytes), Some(end)) = (&piece, *ended.borrow())
            && end.elapsed() > LINGER
        {
            left = left.checked_sub(bytes.len())?;
        }
        Some((piece, (from, ended, left)))
    }))
}

/// What the command writes, masked, as it comes.
pub(super) async fn through(
    context: &Context,
    run: &str,
    from: Option<Pieces>,
    ended: Ended,
    mut to: impl AsyncWrite + Unpin,
) -> Result<(), Problem> {
    let Some(from) = from else { return Ok(()) };
    let body = BodyExt::boxed(StreamBody::new(until_ended(from, ended).map(|piece| piece.map(Frame::data))));
    let mut client = context.running().await?;
    let request = Request { method: "POST", body, ..Request::get(format!("/v1/run/{run}/mask")) };
    let mut masked = client.send(request).await?;
    while let Some(bytes) = masked.next().await.map_err(without_mask)? {
        let written = async {
            to.write_all(&bytes).await?;
            to.flush().await
        };
        // A reader that has gone (`| head`) is the command's to notice: the end of its pipe goes with this call.
        if written.await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// The daemon speaks of calls; here it is the mask that ended.
fn without_mask(problem: Problem) -> Problem {
    let why = match problem.code() {
        Code::Locked => "the vault was locked",
        _ => "the mask broke off",
    };
    Problem::new(problem.code(), format!("{why}: output that nobody masks is not shown, so the command was ended"))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn total(from: Pieces, ended: Ended) -> usize {
        until_ended(from, ended).map(|piece| piece.unwrap().len()).fold(0, async |sum, length| sum + length).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_open_is_left_after_a_time() {
        let (end, ended) = watch::channel(None);
        let begun = Instant::now();
        end.send(Some(begun)).unwrap();
        let open = stream::iter([Ok(Bytes::from_static(b"last words"))]).chain(stream::pending());
        assert_eq!(total(Box::pin(open), ended).await, 10);
        assert!(begun.elapsed() <= LINGER + Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_stops_writing_is_left_too() {
        let (end, ended) = watch::channel(None);
        end.send(Some(Instant::now())).unwrap();
        let chatter = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok(Bytes::from_static(&[0; 4096])), ()))
        });
        assert!(total(Box::pin(chatter), ended).await >= 4096);
        // As one that is always ahead: the bound is on bytes then.
        let (end, ended) = watch::channel(None);
        end.send(Some(Instant::now() - 2 * LINGER)).unwrap();
        let flood = stream::repeat_with(|| Ok(Bytes::from_static(&[0; 4096])));
        assert_eq!(total(Box::pin(flood), ended).await, LEFT_IN_PIPE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_is_read_however_late() {
        let (end, ended) = watch::channel(None);
        end.send(Some(Instant::now() - 100 * LINGER)).unwrap();
        let written = stream::iter((0..64).map(|_| Ok(Bytes::from_static(&[0; 1024]))));
        assert_eq!(total(Box::pin(written.chain(stream::pending())), ended).await, 64 << 10);
    }
}
