//! Providers on wasmtime: loading a component, and running one step of a call in it.
//!
//! Nothing in this crate can name a secret, open a socket or read a file: it knows the domain's words and nothing else
//! of kv, so a guest cannot reach what its host cannot name. A step is a pure function that runs on the thread that
//! calls it, in an instance of its own, under a [`Budget`]; nothing is left when it ends.
//!
//! Begin with [`Runtime::load`] and [`Provider::start`]. What is believed of a guest, and what not, stands in
//! `distrust.rs`; what a component may be at all, in `inspect.rs`; the engine's settings, in `engine.rs`.

mod aot;
mod bindings;
mod budget;
mod distrust;
mod effort;
mod engine;
mod error;
mod inspect;
mod limits;
mod log;
mod provider;
mod text;
mod ticker;

pub use aot::precompile;
pub use budget::Budget;
pub use engine::Runtime;
pub use error::{EngineError, LoadError, StepError};
pub use inspect::{MAX_COMPONENT_BYTES, read_manifest};
pub use log::{LogLevel, LogLine, LogSink};
pub use provider::Provider;
