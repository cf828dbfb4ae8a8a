//! A command that has been sent: its channel, its input, and its end if the caller leaves before it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelWriteHalf, Sig};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::inbox::Inbox;
use super::kept::Place;

/// Dropping it ends the command: a polite signal, a rude one, and the channel is closed.
pub(super) struct Running {
    pub(super) inbox: Arc<Inbox>,
    /// Nothing but taken apart when it is dropped.
    parts: Option<Parts>,
}

struct Parts {
    channel: Arc<ChannelWriteHalf<Msg>>,
    place: Place,
    input: Option<JoinHandle<()>>,
}

impl Running {
    /// On a channel that is open and has carried nothing yet. `room` is what the command may write.
    pub(super) fn new(channel: Channel<Msg>, place: Place, room: u64) -> Self {
        let inbox = place.link().inbox(channel.id());
        inbox.with_room(room);
        // What comes goes to the inbox; a reader that nobody reads would stop the whole connection.
        let (_, channel) = channel.split();
        Running { inbox, parts: Some(Parts { channel: Arc::new(channel), place, input: None }) }
    }

    /// Hands the command over, and its input after it. An error means that it never left.
    pub(super) async fn send(&mut self, command: &str, input: &Bytes) -> Result<(), russh::Error> {
        let Some(parts) = &mut self.parts else { return Ok(()) };
        parts.channel.exec(true, command).await?;
        if input.is_empty() {
            return parts.channel.eof().await;
        }
        let (channel, input) = (Arc::clone(&parts.channel), input.clone());
        // A command need not read its input, so nobody waits for it to.
        parts.input = Some(tokio::spawn(async move {
            if channel.data_bytes(input).await.is_ok() {
                let _ = channel.eof().await;
            }
        }));
        Ok(())
    }

    /// Bytes that came beyond the room.
    pub(super) fn beyond(&self) -> u64 {
        self.inbox.beyond()
    }

    /// Tells the command to end.
    pub(super) fn stop(&self) {
        if let Some(parts) = &self.parts {
            let channel = Arc::clone(&parts.channel);
            tokio::spawn(async move {
                let _ = channel.signal(Sig::TERM).await;
            });
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else { return };
        if let Some(input) = &parts.input {
            input.abort();
        }
        if self.inbox.is_gone() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        tokio::spawn(farewell(Arc::clone(&self.inbox), parts));
    }
}

/// The place is kept until the server has let go of the channel: it counts for the server, too.
async fn farewell(inbox: Arc<Inbox>, parts: Parts) {
    let channel = &parts.channel;
    if inbox.exit_so_far().is_none() {
        let _ = channel.signal(Sig::TERM).await;
        if timeout(POLITE, inbox.gone()).await.is_ok() {
            return;
        }
        let _ = channel.signal(Sig::KILL).await;
    }
    let _ = channel.close().await;
    let _ = timeout(RUDE, inbox.gone()).await;
    parts.place.link().forget(channel.id());
}

/// Between the signal that a program can answer and the one that it cannot.
const POLITE: Duration = Duration::from_millis(500);
/// A server answers a close at once.
const RUDE: Duration = Duration::from_secs(5);
