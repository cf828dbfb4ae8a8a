//! Lists that come in pages, collected within bounds.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Failure, Io, Request, Response};

/// One page of a list. Items that need no looking at are best as `Box<RawValue>`: each step reads all pages so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page<T = Value> {
    pub items: Vec<T>,
    /// Where the next page begins; `None`: this is the last.
    pub next: Option<String>,
}

/// What was collected.
#[derive(Debug, Clone)]
pub struct Collected<T = Value> {
    pub items: Vec<T>,
    /// There is more than was collected.
    pub more: bool,
}

impl Io {
    /// Asks for page after page until the list ends, `most` items are there, or the transcript is full.
    ///
    /// `ask` gets where the page begins (`None` at first) and how many items are still wanted; `read` gets each answer and
    /// takes its items and the next beginning from it. Of an answer only the page is kept.
    pub async fn collect<T: Serialize + DeserializeOwned>(
        &self,
        most: usize,
        mut ask: impl FnMut(Option<&str>, usize) -> Request,
        read: impl Fn(Response) -> Result<Page<T>, Failure>,
    ) -> Result<Collected<T>, Failure> {
        let mut collected = Collected { items: Vec::new(), more: false };
        let mut next: Option<String> = None;
        loop {
            let wanted = most.saturating_sub(collected.items.len());
            let page = self.send_with(ask(next.as_deref(), wanted), &read).await?;
            // A service that sends empty pages and promises more would keep us for ever.
            let ends = page.next.is_none() || page.items.is_empty();
            collected.more = page.next.is_some();
            collected.items.extend(page.items);
            if collected.items.len() > most {
                collected.items.truncate(most);
                collected.more = true;
            }
            if ends || collected.items.len() >= most || self.room() == 0 {
                return Ok(collected);
            }
            next = page.next;
        }
    }
}
