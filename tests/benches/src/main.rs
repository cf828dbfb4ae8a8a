//! What kv costs: the same work directly, through nginx, through the least of proxies, and through kv, in one run.
//!
//! `cargo run -p kv-benches` measures everything; a name (`step`, `redaction`, `audit`, `start`, `calls`, `stream`, `sql`, `ssh`) measures that
//! alone. Figures are of this machine and this moment: the ratios are what to quote. Everything stays on loopback, every
//! loop is bounded, and every process that is started is ended.

mod audit;
mod calls;
mod kv;
mod load;
mod nginx;
mod parts;
mod processes;
mod sql;
mod ssh;
mod stream;
mod upstream;

use std::error::Error;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|known| known == name);
    println!(
        "{} cores; {}",
        std::thread::available_parallelism()?,
        if cfg!(debug_assertions) { "dev profile" } else { "release profile" }
    );
    if wants("step") {
        parts::steps()?;
    }
    if wants("redaction") {
        parts::redaction();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        if wants("audit") {
            audit::run().await?;
        }
        if wants("start") {
            parts::start().await?;
        }
        if wants("calls") {
            calls::run().await?;
        }
        if wants("stream") {
            stream::run().await?;
        }
        if wants("sql") {
            sql::run().await?;
        }
        if wants("ssh") {
            ssh::run().await?;
        }
        Ok(())
    })
}
