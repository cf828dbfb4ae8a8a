//! What has come for one command and was not taken yet. russh's task puts in, the command's caller takes out.
//!
//! It never makes the task wait: other commands come through the same connection. Its size is bounded instead, by what
//! the command may write, and the sizes of all together by a [`Backlog`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use kv_model::Exit;
use russh::Sig;
use tokio::sync::Notify;

/// Which of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Err,
    Out,
}

#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    /// For the one who watches over the command's end; the caller has a waker of its own.
    turned: Notify,
}

/// How much of all commands' output may wait for its readers.
pub(crate) struct Backlog(AtomicU64);

/// How far a command has come, for the one who watches over its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It wrote more than it may, or than there is room for.
    Beyond,
    /// The server said how it ended; its channel is still open.
    Exited,
    /// There is no channel any more.
    Gone,
    Running,
}

#[derive(Default)]
pub(super) struct State {
    /// In the order in which it came. Pieces of one stream that follow each other are one, so a server that sends single
    /// bytes costs no more than one that sends blocks.
    pieces: VecDeque<(Stream, Vec<u8>)>,
    /// How much more the command may write.
    room: u64,
    /// What its pieces are taken from.
    backlog: Option<Arc<Backlog>>,
    /// There was no room for a piece.
    full: bool,
    /// Its time was over before the server said how it ended.
    timed_out: bool,
    /// How much more it wrote than it may.
    beyond: u64,
    /// The server's answer to the command itself.
    accepted: Option<bool>,
    exit: Option<Exit>,
    /// The channel is closed: nothing can follow.
    closed: bool,
    /// The connection is gone, and the channel with it.
    broken: bool,
    reader: Option<Waker>,
}

/// What there is to do about a command.
pub(super) enum News {
    Piece(Stream, Vec<u8>),
    /// It wrote more than it may; said once for all that is beyond.
    TooMuch,
    /// Nothing more will come. `None`: the server did not say how it ended.
    Closed(Option<Exit>),
    Broken,
    /// Too much of all commands' output waits for its readers.
    Full,
    TimedOut,
}

impl Inbox {
    pub(super) fn with_room(&self, bytes: u64, backlog: &Arc<Backlog>) {
        let mut state = self.lock();
        (state.room, state.backlog) = (bytes, Some(Arc::clone(backlog)));
    }

    pub(super) fn data(&self, stream: Stream, data: &[u8]) {
        let mut state = self.lock();
        if state.timed_out || state.full {
            return;
        }
        let taken = data.get(..usize::try_from(state.room).unwrap_or(usize::MAX)).unwrap_or(data);
        let turns = state.beyond == 0 && taken.len() < data.len();
        state.room -= taken.len() as u64;
        state.beyond = state.beyond.saturating_add((data.len() - taken.len()) as u64);
        let turns = !state.put(stream, taken) || turns;
        state.wake();
        drop(state);
        if turns {
            self.turned.notify_one();
        }
    }

    /// The command's time is over. How it ended counts if that is known by now, and otherwise nothing that comes later.
    pub(super) fn time_is_up(&self) {
        let mut state = self.lock();
        if state.exit.is_none() && !state.closed && !state.broken {
            state.timed_out = true;
            state.wake();
        }
    }

    pub(super) fn stage(&self) -> Stage {
        let state = self.lock();
        match () {
            () if state.closed || state.broken => Stage::Gone,
            () if state.full || state.beyond > 0 => Stage::Beyond,
            () if state.exit.is_some() => Stage::Exited,
            () => Stage::Running,
        }
    }

    /// Something that changes the stage. For one at a time.
    pub(super) async fn turn(&self) {
        self.turned.notified().await;
    }

    pub(super) fn accepted(&self, yes: bool) {
        let mut state = self.lock();
        state.accepted.get_or_insert(yes);
        state.wake();
    }

    /// The first word counts: a process ends once.
    pub(super) fn exit(&self, exit: Exit) {
        let mut state = self.lock();
        state.exit.get_or_insert(exit);
        state.wake();
        drop(state);
        self.turned.notify_one();
    }

    pub(super) fn closed(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.wake();
        drop(state);
        self.turned.notify_one();
    }

    pub(super) fn broken(&self) {
        let mut state = self.lock();
        state.broken = true;
        state.wake();
        drop(state);
        self.turned.notify_one();
    }

    pub(super) fn beyond(&self) -> u64 {
        self.lock().beyond
    }

    pub(super) fn exit_so_far(&self) -> Option<Exit> {
        self.lock().exit.clone()
    }

    /// Whether the server took the command. Output is an answer, too.
    pub(super) fn poll_accepted(&self, cx: &mut Context<'_>) -> Poll<Option<bool>> {
        let mut state = self.lock();
        match state.accepted {
            Some(answer) => Poll::Ready(Some(answer)),
            None if state.exit.is_some() || !state.pieces.is_empty() => Poll::Ready(Some(true)),
            None if state.closed || state.broken => Poll::Ready(None),
            None => state.park(cx),
        }
    }

    /// `told`: that there was too much is known already.
    pub(super) fn poll_news(&self, told: bool, cx: &mut Context<'_>) -> Poll<News> {
        let mut state = self.lock();
        if let Some((stream, piece)) = state.pieces.pop_front() {
            state.give_back(weight(piece.len()));
            return Poll::Ready(News::Piece(stream, piece));
        }
        if state.full {
            return Poll::Ready(News::Full);
        }
        if state.timed_out {
            return Poll::Ready(News::TimedOut);
        }
        if state.beyond > 0 && !told {
            return Poll::Ready(News::TooMuch);
        }
        if state.closed {
            return Poll::Ready(News::Closed(state.exit.clone()));
        }
        if state.broken {
            return Poll::Ready(News::Broken);
        }
        state.park(cx)
    }

    /// Ends when the channel does, one way or the other. For one at a time.
    pub(super) async fn gone(&self) {
        while !self.is_gone() {
            self.turn().await;
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        let state = self.lock();
        state.closed || state.broken
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// False: there is no room for it.
    fn put(&mut self, stream: Stream, data: &[u8]) -> bool {
        if data.is_empty() {
            return true;
        }
        let is_long = self.pieces.len() >= MAX_PIECES;
        let last = match is_long {
            // A server that changes between the streams with each byte would make each byte a piece. Each stream keeps
            // its own order; how far one had come when the other went on is told less exactly then.
            true => self.pieces.iter_mut().rev().find(|(of, _)| *of == stream),
            false => self.pieces.back_mut().filter(|(of, piece)| *of == stream && piece.len() < PIECE),
        };
        let before = last.as_ref().map_or(0, |(_, piece)| weight(piece.len()));
        let after = weight(last.as_ref().map_or(0, |(_, piece)| piece.len()) + data.len());
        if !self.backlog.as_ref().is_none_or(|backlog| backlog.take(after - before)) {
            self.full = true;
            return false;
        }
        match last {
            Some((_, piece)) => piece.extend_from_slice(data),
            None => self.pieces.push_back((stream, data.to_vec())),
        }
        true
    }

    fn give_back(&self, weight: u64) {
        if let Some(backlog) = &self.backlog {
            backlog.give_back(weight);
        }
    }

    fn park<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        match &mut self.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            None => self.reader = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.give_back(self.pieces.iter().map(|(_, piece)| weight(piece.len())).sum());
    }
}

impl Default for Backlog {
    fn default() -> Self {
        Backlog(AtomicU64::new(MAX_BACKLOG))
    }
}

impl Backlog {
    fn take(&self, bytes: u64) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What a piece takes of the memory: none is smaller than what holds it.
fn weight(length: usize) -> u64 {
    if length == 0 { 0 } else { (length as u64).max(PIECE_COST) }
}

/// As RFC 4254 names it, without `SIG`. Other names are a server's own words: they are passed on if they are a name.
pub(super) fn signal_name(signal: &Sig) -> String {
    let name = match signal {
        Sig::ABRT => "ABRT",
        Sig::ALRM => "ALRM",
        Sig::FPE => "FPE",
        Sig::HUP => "HUP",
        Sig::ILL => "ILL",
        Sig::INT => "INT",
        Sig::KILL => "KILL",
        Sig::PIPE => "PIPE",
        Sig::QUIT => "QUIT",
        Sig::SEGV => "SEGV",
        Sig::TERM => "TERM",
        Sig::USR1 => "USR1",
        Sig::Custom(name) => {
            let good = |c: char| c.is_ascii_alphanumeric() || "@.-_".contains(c);
            let is_name = (1..=MAX_SIGNAL).contains(&name.len()) && name.chars().all(good);
            return if is_name { name.clone() } else { "?".to_owned() };
        }
    };
    name.to_owned()
}

/// Pieces grow to this size and no further, so that a caller gets them while they come.
const PIECE: usize = 64 << 10;
/// As many pieces wait for one reader; further output grows the last ones.
const MAX_PIECES: usize = 1024;
/// An allocation, and its place in the queue.
const PIECE_COST: u64 = 64;
/// Thirty-two commands whose readers rest, each with the most that a command may write.
const MAX_BACKLOG: u64 = 256 << 20;
const MAX_SIGNAL: usize = 32;

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    fn news(inbox: &Inbox, told: bool) -> Option<News> {
        match inbox.poll_news(told, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(news) => Some(news),
            Poll::Pending => None,
        }
    }

    #[derive(Debug, Clone)]
    enum Event {
        Data(bool, Vec<u8>),
        Exit(u32),
        Read,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(out, data)| Event::Data(out, data)),
            1 => any::<u32>().prop_map(Event::Exit),
            3 => Just(Event::Read),
        ]
    }

    proptest! {
        /// Whatever comes in whatever order: each stream is what was sent, up to the room that both have together, and
        /// the first exit counts.
        #[test]
        fn any_order(events in prop::collection::vec(event(), 0..60), room in 0..400_u64) {
            let inbox = Inbox::default();
            inbox.with_room(room, &Arc::default());
            let (mut sent, mut got) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
            let (mut total, mut exit, mut told) = (0, None, false);
            let read = |got: &mut (Vec<u8>, Vec<u8>), told: &mut bool| loop {
                match news(&inbox, *told) {
                    Some(News::Piece(Stream::Out, piece)) => got.0.extend(piece),
                    Some(News::Piece(Stream::Err, piece)) => got.1.extend(piece),
                    Some(News::TooMuch) => *told = true,
                    other => return other,
                }
            };
            for event in events {
                match event {
                    Event::Data(out, data) => {
                        let fits = data.len().min((room - (total as u64).min(room)) as usize);
                        let into = if out { &mut sent.0 } else { &mut sent.1 };
                        into.extend_from_slice(&data[..fits]);
                        total += data.len();
                        inbox.data(if out { Stream::Out } else { Stream::Err }, &data);
                    }
                    Event::Exit(code) => {
                        exit.get_or_insert(Exit::Code(code));
                        inbox.exit(Exit::Code(code));
                    }
                    Event::Read => prop_assert!(read(&mut got, &mut told).is_none()),
                }
            }
            inbox.closed();
            let end = read(&mut got, &mut told);
            prop_assert!(matches!(end, Some(News::Closed(ref last)) if *last == exit));
            prop_assert_eq!(got, sent);
            prop_assert_eq!(inbox.beyond(), (total as u64).saturating_sub(room));
            prop_assert_eq!(told, total as u64 > room);
        }
    }

    #[test]
    fn single_bytes_are_one_piece() {
        let inbox = Inbox::default();
        inbox.with_room(1 << 20, &Arc::default());
        (0..10_000).for_each(|_| inbox.data(Stream::Out, b"x"));
        assert_eq!(inbox.lock().pieces.len(), 1);
    }
    /// Whatever it is made of, the queue is short, and what it takes is given back.
    #[test]
    fn what_waits_is_bounded() {
        let backlog = Arc::new(Backlog(AtomicU64::new(1 << 20)));
        let inbox = Inbox::default();
        inbox.with_room(8 << 20, &backlog);
        for _ in 0..100_000 {
            inbox.data(Stream::Out, b"o");
            inbox.data(Stream::Err, b"e");
        }
        assert!(inbox.lock().pieces.len() <= MAX_PIECES + 1);
        assert!(backlog.0.load(Ordering::Relaxed) > (1 << 20) - 300_000);
        let (mut out, mut err) = (0, 0);
        while let Some(News::Piece(stream, piece)) = news(&inbox, false) {
            match stream {
                Stream::Out => out += piece.iter().filter(|byte| **byte == b'o').count(),
                Stream::Err => err += piece.iter().filter(|byte| **byte == b'e').count(),
            }
        }
        assert_eq!((out, err), (100_000, 100_000));
        assert_eq!(backlog.0.load(Ordering::Relaxed), 1 << 20);
        // Beyond what there is for all, the command is one that is ended.
        inbox.data(Stream::Out, &vec![b'x'; 2 << 20]);
        assert_eq!(inbox.stage(), Stage::Beyond);
        assert!(matches!(news(&inbox, false), Some(News::Full)));
        // What nobody took is given back with the inbox.
        let other = Inbox::default();
        other.with_room(8 << 20, &backlog);
        other.data(Stream::Out, &vec![b'x'; 1 << 19]);
        assert_eq!(backlog.0.load(Ordering::Relaxed), 1 << 19);
        drop(other);
        assert_eq!(backlog.0.load(Ordering::Relaxed), 1 << 20);
    }

    #[test]
    fn an_exit_that_is_known_is_the_end() {
        let inbox = Inbox::default();
        inbox.exit(Exit::Code(3));
        inbox.time_is_up();
        inbox.closed();
        assert!(matches!(news(&inbox, false), Some(News::Closed(Some(Exit::Code(3))))));
        // And one that comes too late is none.
        let inbox = Inbox::default();
        inbox.time_is_up();
        inbox.exit(Exit::Signal("TERM".to_owned()));
        inbox.closed();
        assert!(matches!(news(&inbox, false), Some(News::TimedOut)));
    }
}
