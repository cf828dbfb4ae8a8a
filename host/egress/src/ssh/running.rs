//! A command that has been sent: its channel, its input, and its end: when the caller leaves, when its time is over, when
//! it wrote too much. None of that waits for the caller to read.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelWriteHalf, Sig};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::inbox::{Backlog, Inbox, Stage};
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
    clock: Option<JoinHandle<()>>,
}

impl Running {
    /// On a channel that is open and has carried nothing yet. `room` is what the command may write.
    pub(super) fn new(channel: Channel<Msg>, place: Place, room: u64, backlog: &Arc<Backlog>) -> Self {
        let inbox = place.link().inbox(channel.id());
        inbox.with_room(room, backlog);
        // What comes goes to the inbox; a reader that nobody reads would stop the whole connection.
        let (_, channel) = channel.split();
        Running { inbox, parts: Some(Parts { channel: Arc::new(channel), place, input: None, clock: None }) }
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

    /// From here on the command has until `deadline`, whoever reads or does not.
    pub(super) fn start_clock(&mut self, deadline: Instant) {
        if let Some(parts) = &mut self.parts {
            let (inbox, channel) = (Arc::clone(&self.inbox), Arc::clone(&parts.channel));
            parts.clock = Some(tokio::spawn(clock(inbox, channel, deadline)));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else { return };
        [&parts.input, &parts.clock].into_iter().flatten().for_each(JoinHandle::abort);
        if self.inbox.is_gone() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        tokio::spawn(farewell(Arc::clone(&self.inbox), parts));
    }
}

/// Ends the command when it has to. One that has exited keeps its channel for a moment: something in the background may
/// still write.
async fn clock(inbox: Arc<Inbox>, channel: Arc<ChannelWriteHalf<Msg>>, deadline: Instant) {
    let (mut until, mut has_exited) = (deadline, false);
    loop {
        match inbox.stage() {
            Stage::Gone => return,
            Stage::Beyond => break,
            Stage::Exited if !has_exited => {
                has_exited = true;
                until = Instant::now() + AFTER_EXIT;
            }
            Stage::Exited | Stage::Running => {}
        }
        tokio::select! {
            () = inbox.turn() => {}
            () = sleep_until(until) => {
                inbox.time_is_up();
                break;
            }
        }
    }
    let _ = end(&inbox, &channel).await;
}

/// The place is kept until the server has let go of the channel: it counts for the server, too.
async fn farewell(inbox: Arc<Inbox>, parts: Parts) {
    if end(&inbox, &parts.channel).await.is_err() {
        // It does not even take what is said to it, and would keep the place for ever.
        parts.place.give_up();
    }
    parts.place.link().forget(parts.channel.id());
}

/// A polite signal, a rude one, and the channel is closed. An error: the server takes nothing any more.
async fn end(inbox: &Inbox, channel: &ChannelWriteHalf<Msg>) -> Result<(), Stuck> {
    if inbox.exit_so_far().is_none() {
        said(channel.signal(Sig::TERM)).await?;
        if timeout(POLITE, inbox.gone()).await.is_ok() {
            return Ok(());
        }
        said(channel.signal(Sig::KILL)).await?;
    }
    said(channel.close()).await?;
    let _ = timeout(RUDE, inbox.gone()).await;
    Ok(())
}

/// Whether it went into the connection's queue. A connection that has ended has no queue, and needs none.
async fn said(saying: impl Future<Output = Result<(), russh::Error>>) -> Result<(), Stuck> {
    timeout(RUDE, saying).await.map(drop).map_err(|_| Stuck)
}

struct Stuck;

/// Between the signal that a program can answer and the one that it cannot.
const POLITE: Duration = Duration::from_millis(500);
/// A server answers a close at once.
const RUDE: Duration = Duration::from_secs(5);
/// Between a command's exit and the end of its channel. A caller who reads is done long before.
const AFTER_EXIT: Duration = Duration::from_secs(10);
