//! What a client hears of a call before its end, if it asked to.

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};

/// As much text as one notification carries. A chunk of a stream is a few words.
const MAX_TEXT: usize = 4 << 10;

/// Where notifications go; nowhere when the client gave no token.
pub(super) struct Progress {
    to: Option<(Peer<RoleServer>, ProgressToken)>,
    /// Chunks so far. The protocol wants a number that grows.
    chunks: u32,
}

impl Progress {
    pub(super) fn of(context: &RequestContext<RoleServer>) -> Self {
        let token = context.meta.get_progress_token();
        Self { to: token.map(|token| (context.peer.clone(), token)), chunks: 0 }
    }

    /// Tells the client what just came. It waits while the client reads slowly, so a fast stream cannot pile up here.
    pub(super) async fn tell(&mut self, text: &str) {
        let Some((peer, token)) = &self.to else { return };
        self.chunks += 1;
        let end = (0..=MAX_TEXT.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let notice = ProgressNotificationParam::new(token.clone(), self.chunks.into()).with_message(&text[..end]);
        if peer.notify_progress(notice).await.is_err() {
            // The client has gone; the call ends by that itself.
            self.to = None;
        }
    }
}
