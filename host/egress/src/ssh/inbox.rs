//! What has come for one command and was not taken yet. russh's task puts in, the command's caller takes out.
//!
//! It never makes the task wait: other commands come through the same connection. Its size is bounded instead, by what
//! the command may write.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use kv_model::Exit;
use russh::Sig;

/// Which of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Err,
    Out,
}

#[derive(Default)]
pub(super) struct Inbox(Mutex<State>);

#[derive(Default)]
pub(super) struct State {
    /// In the order in which it came. Pieces of one stream that follow each other are one, so a server that sends single
    /// bytes costs no more than one that sends blocks.
    pieces: VecDeque<(Stream, Vec<u8>)>,
    /// How much more the command may write.
    room: u64,
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
}

impl Inbox {
    pub(super) fn with_room(&self, bytes: u64) {
        self.lock().room = bytes;
    }

    pub(super) fn data(&self, stream: Stream, data: &[u8]) {
        let mut state = self.lock();
        let taken = data.get(..usize::try_from(state.room).unwrap_or(usize::MAX)).unwrap_or(data);
        state.room -= taken.len() as u64;
        state.beyond = state.beyond.saturating_add((data.len() - taken.len()) as u64);
        match state.pieces.back_mut() {
            Some((last, piece)) if *last == stream && piece.len() < PIECE => piece.extend_from_slice(taken),
            _ if taken.is_empty() => {}
            _ => state.pieces.push_back((stream, taken.to_vec())),
        }
        state.wake();
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
    }

    pub(super) fn closed(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.wake();
    }

    pub(super) fn broken(&self) {
        let mut state = self.lock();
        state.broken = true;
        state.wake();
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
            return Poll::Ready(News::Piece(stream, piece));
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

    /// Ends when the channel does, one way or the other.
    pub(super) async fn gone(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if state.closed || state.broken {
                return Poll::Ready(());
            }
            state.park(cx)
        })
        .await;
    }

    pub(super) fn is_gone(&self) -> bool {
        let state = self.lock();
        state.closed || state.broken
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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
            inbox.with_room(room);
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
        inbox.with_room(1 << 20);
        (0..10_000).for_each(|_| inbox.data(Stream::Out, b"x"));
        assert_eq!(inbox.lock().pieces.len(), 1);
    }
}
