use kv_sdk::{Command, Failure, Io, Reply, json};

/// Say which machine this is
///
/// Kernel, host name and architecture.
#[kv_sdk::operation(name = "status", effect = Read, suggest = Allow)]
pub(crate) async fn status(io: &Io) -> Result<Reply, Failure> {
    let output = io.run(Command::argv(["uname", "-a"])).await?.error_for_exit()?;
    Ok(json!({ "system": output.text().trim() }).into())
}
