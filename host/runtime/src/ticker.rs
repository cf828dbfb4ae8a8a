//! The thread that moves the engine's epoch while steps run, and sleeps while none do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

use crate::budget::TICK;

/// An engine in which no step began for so long gets no more ticks, so an idle daemon has no wake-ups. It must be
/// longer than any step may run, or a step would lose its deadline.
const IDLE: Duration = Duration::from_secs(1);
const IDLE_TICKS: u32 = (IDLE.as_millis() / TICK.as_millis()) as u32;

/// Stops its thread when dropped.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    /// A step began since the last tick.
    active: AtomicBool,
    parked: AtomicBool,
    stop: AtomicBool,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (for_thread, engine) = (Arc::clone(&shared), engine.weak());
        let handle = thread::Builder::new()
            .name("kv-epoch".into())
            .stack_size(64 << 10)
            .spawn(move || for_thread.run(&engine))?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// A step begins. While steps follow each other within a tick this is one relaxed load: `active` is still set, so
    /// the tick to come counts as one with work, and the thread does not park for another second.
    pub(crate) fn touch(&self) {
        if self.shared.active.load(Ordering::Relaxed) {
            return;
        }
        // Either this store comes before the thread's last look at `active`, and it stays up, or the thread's store to
        // `parked` comes before this load, and it is woken. That takes one order of all four accesses.
        self.shared.active.store(true, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_parked(&self) -> bool {
        self.shared.parked.load(Ordering::SeqCst)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Shared {
    fn run(&self, engine: &EngineWeak) {
        let mut idle = 0;
        while !self.stop.load(Ordering::SeqCst) {
            if idle < IDLE_TICKS {
                thread::sleep(TICK);
            } else {
                self.park();
                idle = 0;
            }
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
            idle = if self.active.swap(false, Ordering::SeqCst) { 0 } else { idle + 1 };
        }
    }

    fn park(&self) {
        self.parked.store(true, Ordering::SeqCst);
        while !self.active.load(Ordering::SeqCst) && !self.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        self.parked.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn until(condition: impl Fn() -> bool) {
        let begin = Instant::now();
        while !condition() {
            assert!(begin.elapsed() < Duration::from_secs(30), "it never came");
            thread::yield_now();
        }
    }

    #[test]
    fn parks_when_idle_and_wakes_for_a_step() {
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config).unwrap();
        let ticker = Ticker::start(&engine).unwrap();
        ticker.touch();
        until(|| ticker.is_parked());
        ticker.touch();
        until(|| !ticker.is_parked());
    }
}
