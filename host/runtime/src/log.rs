//! The one function that a guest can call: lines for its author.
//!
//! A line has no answer and may be dropped, so logging changes nothing that a provider does. Lines are kept until the
//! step has ended: a step that is to be run again under a larger budget must not say everything twice.

use std::sync::Arc;

use kv_model::{CallId, ProviderName};
use wasmtime::component::{Linker, WasmStr};
use wasmtime::{StoreContextMut, Trap};

use crate::bindings::http::kv::provider::log::Level;
use crate::inspect::LOG;
use crate::provider::StepData;
use crate::text;

/// As `log.wit` promises.
const MAX_LINES: usize = 100;
const MAX_LINE_BYTES: usize = 4096;

/// What a call to `log` costs: the host's side of it takes about as long as a thousand instructions of the guest's.
const FUEL_PER_LINE: u64 = 1000;

/// A line that a provider wrote.
#[derive(Debug, Clone, Copy)]
pub struct LogLine<'a> {
    pub provider: &'a ProviderName,
    pub call: CallId,
    pub level: LogLevel,
    /// One line of at most 4 KiB, without control characters.
    pub text: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// Where lines go. It runs on the thread of the step and must not wait.
pub type LogSink = Arc<dyn Fn(LogLine<'_>) + Send + Sync>;

/// The lines of one step.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    kept: Vec<(LogLevel, String)>,
    dropped: usize,
}

impl Lines {
    pub(crate) fn hand_over(&self, provider: &ProviderName, call: CallId, sink: &LogSink) {
        for (level, text) in &self.kept {
            sink(LogLine { provider, call, level: *level, text });
        }
        if self.dropped > 0 {
            let text = format!("{} more lines were dropped: a step may write {MAX_LINES}", self.dropped);
            sink(LogLine { provider, call, level: LogLevel::Warn, text: &text });
        }
    }

    fn add(&mut self, level: Level, message: &str) {
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        let mut text = text::one_line(message, MAX_LINE_BYTES);
        text.truncate(text.floor_char_boundary(MAX_LINE_BYTES));
        self.kept.push((level, text));
    }
}

/// Gives guests the interface `log`.
pub(crate) fn link(linker: &mut Linker<StepData>) -> wasmtime::Result<()> {
    linker.instance(LOG)?.func_wrap("write", |mut store: StoreContextMut<'_, StepData>, (level, message)| {
        write(&mut store, level, &message)
    })
}

/// Host work is paid for in fuel, so a flood of lines, or of long ones, ends as any other endless loop does.
fn write(store: &mut StoreContextMut<'_, StepData>, level: Level, message: &WasmStr) -> wasmtime::Result<()> {
    pay(store, FUEL_PER_LINE)?;
    if store.data().lines.kept.len() == MAX_LINES {
        store.data_mut().lines.dropped += 1;
        return Ok(());
    }
    let message = message.to_str(&*store)?.into_owned();
    pay(store, message.len() as u64)?;
    store.data_mut().lines.add(level, &message);
    Ok(())
}

fn pay(store: &mut StoreContextMut<'_, StepData>, cost: u64) -> wasmtime::Result<()> {
    match store.get_fuel()?.checked_sub(cost) {
        Some(rest) => store.set_fuel(rest),
        None => Err(Trap::OutOfFuel.into()),
    }
}

/// Lines for [`tracing`], for those who set no sink of their own.
pub(crate) fn to_tracing() -> LogSink {
    Arc::new(|line| {
        let (provider, call, text) = (line.provider.as_str(), line.call, line.text);
        match line.level {
            LogLevel::Debug => tracing::debug!(provider, %call, "{text}"),
            LogLevel::Info => tracing::info!(provider, %call, "{text}"),
            LogLevel::Warn => tracing::warn!(provider, %call, "{text}"),
            LogLevel::Error => tracing::error!(provider, %call, "{text}"),
        }
    })
}
