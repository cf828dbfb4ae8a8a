use super::*;

fn channel(number: u8) -> ChannelId {
    ChannelId::decode(&mut &[0, 0, 0, number][..]).unwrap()
}

/// A server may confirm a channel, write and close it before its command has looked.
#[test]
fn what_came_before_it_was_asked_for() {
    let board = Board::default();
    board.open(channel(1));
    board.inbox(channel(1)).unwrap().data(Stream::Out, b"early");
    board.close(channel(1));
    assert!(board.claim(channel(1)).is_gone());
    // It is handed over once, and one that was claimed before is not kept after its end.
    assert!(board.lock().is_empty());
    board.open(channel(2));
    let inbox = board.claim(channel(2));
    assert!(!inbox.is_gone());
    board.close(channel(2));
    assert!(inbox.is_gone() && board.lock().is_empty());
    // The end of the connection is the end of all.
    board.open(channel(3));
    let inbox = board.claim(channel(3));
    board.down();
    assert!(inbox.is_gone() && board.is_down.load(Ordering::Relaxed));
}
