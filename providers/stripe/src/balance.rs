use kv_sdk::{Failure, Io, Reply, Request};

/// Retrieve the balance
///
/// What is available, pending and reserved, by currency.
#[kv_sdk::operation(name = "balance.retrieve", effect = Read, suggest = Allow, endpoint = "GET /v1/balance")]
pub(crate) async fn retrieve(io: &Io) -> Result<Reply, Failure> {
    io.forward_success(Request::get(["v1", "balance"])).await
}
