use kv_sdk::{Failure, Io, Reply};

use crate::paging::{self, list_input};
use crate::params::Moments;

list_input! {
    List {
        /// Only of this type, as `charge.succeeded`; `charge.*` means all of a resource.
        r#type: String,
        /// Only of these types, up to 20.
        types: Vec<String>,
        /// Only those that every webhook took, or that one did not.
        delivery_success: bool,
        /// Only those created then.
        created: Moments,
    }
}

/// List events
///
/// Of the last 30 days, the newest first.
#[kv_sdk::operation(name = "events.list", effect = Read, suggest = Allow, endpoint = "GET /v1/events")]
pub(crate) async fn list(io: &Io, input: List) -> Result<Reply, Failure> {
    paging::list(io, &["v1", "events"], input.extent()).await
}
