//! A provider that has been loaded, and one step in it.

use std::sync::Arc;

use kv_model::{Call, Digest, Manifest, Response, Step};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use crate::bindings::http::HttpProviderPre;
use crate::bindings::http::kv::provider::types::Failure as GuestFailure;
use crate::bindings::sql::SqlProviderPre;
use crate::bindings::ssh::SshProviderPre;
use crate::budget::Budget;
use crate::distrust::{self, CallView, ResponseView, RowsView, output_view};
use crate::engine::Inner;
use crate::error::StepError;
use crate::limits::Limits;
use crate::log::Lines;
use crate::text;

/// What a guest may hand over in one go, in bytes: a state, a result and a request's parts are all under it.
const TRANSFER_BYTES: usize = 8 << 20;
/// Providers have no resources to hold handles of.
const MAX_HANDLES: usize = 64;

/// A component that has been checked, compiled and linked. Cheap to clone.
#[derive(Clone)]
pub struct Provider {
    pub manifest: Arc<Manifest>,
    /// The SHA-256 of the component.
    pub digest: Digest,
    pre: Pre,
    runtime: Arc<Inner>,
}

/// Linked, by the protocol that it exports.
#[derive(Clone)]
pub(crate) enum Pre {
    Http(HttpProviderPre<StepData>),
    Sql(SqlProviderPre<StepData>),
    Ssh(SshProviderPre<StepData>),
}

/// What belongs to one step and goes with it.
#[derive(Debug, Default)]
pub(crate) struct StepData {
    limits: Limits,
    pub(crate) lines: Lines,
}

/// What a step in a guest comes to: the protocol's own step, or a failure.
type Answer<T> = wasmtime::Result<Result<T, GuestFailure>>;

impl Provider {
    pub(crate) fn new(manifest: Arc<Manifest>, digest: Digest, pre: Pre, runtime: Arc<Inner>) -> Self {
        Self { manifest, digest, pre, runtime }
    }

    /// The first step of a call. It has no effect but log lines: under [`Budget::Inline`] it may be tried, and when it
    /// [wants more](StepError::wants_full_budget), run again under [`Budget::Full`] elsewhere.
    pub fn start(&self, call: &Call, budget: Budget) -> Result<Step, StepError> {
        let view = CallView::of(call);
        match &self.pre {
            Pre::Http(pre) => {
                let run = |store: &mut Store<_>| {
                    pre.instantiate(&mut *store)?.kv_provider_http().call_start(store, view.lowered())
                };
                self.step(call, budget, run, distrust::http_step)
            }
            Pre::Sql(pre) => {
                let run = |store: &mut Store<_>| {
                    pre.instantiate(&mut *store)?.kv_provider_sql().call_start(store, view.lowered())
                };
                self.step(call, budget, run, distrust::sql_step)
            }
            Pre::Ssh(pre) => {
                let run = |store: &mut Store<_>| {
                    pre.instantiate(&mut *store)?.kv_provider_ssh().call_start(store, view.lowered())
                };
                self.step(call, budget, run, distrust::ssh_step)
            }
        }
    }

    /// The step after a response, with the state that the step before it asked to keep.
    pub fn resume(&self, call: &Call, state: &str, response: &Response, budget: Budget) -> Result<Step, StepError> {
        let view = CallView::of(call);
        match (&self.pre, response) {
            (Pre::Http(pre), Response::Http(response)) => {
                let response = ResponseView::of(response);
                let run = |store: &mut Store<_>| {
                    let guest = pre.instantiate(&mut *store)?;
                    guest.kv_provider_http().call_resume(store, view.lowered(), state, response.lowered())
                };
                self.step(call, budget, run, distrust::http_step)
            }
            (Pre::Sql(pre), Response::Sql(response)) => {
                let rows = RowsView::of(response);
                let run = |store: &mut Store<_>| {
                    let guest = pre.instantiate(&mut *store)?;
                    guest.kv_provider_sql().call_resume(store, view.lowered(), state, rows.lowered())
                };
                self.step(call, budget, run, distrust::sql_step)
            }
            (Pre::Ssh(pre), Response::Ssh(output)) => {
                let run = |store: &mut Store<_>| {
                    let guest = pre.instantiate(&mut *store)?;
                    guest.kv_provider_ssh().call_resume(store, view.lowered(), state, output_view(output))
                };
                self.step(call, budget, run, distrust::ssh_step)
            }
            _ => Err(StepError::OtherProtocol),
        }
    }

    /// One step in an instance of its own. The instance ends with the store, and its memory is wiped before another
    /// step gets it.
    fn step<T>(
        &self,
        call: &Call,
        budget: Budget,
        run: impl FnOnce(&mut Store<StepData>) -> Answer<T>,
        take: fn(T) -> Result<Step, StepError>,
    ) -> Result<Step, StepError> {
        self.runtime.ticker.touch();
        let mut store = self.store(budget)?;
        let answer = run(&mut store);
        let data = store.into_data();
        let outcome = match answer {
            Ok(Ok(step)) => take(step),
            Ok(Err(failure)) => Err(StepError::Failure(distrust::failure(failure))),
            Err(error) => Err(why(&error, &data.limits)),
        };
        let to_be_repeated = budget == Budget::Inline && outcome.as_ref().is_err_and(StepError::wants_full_budget);
        if !to_be_repeated {
            data.lines.hand_over(&self.manifest.name, call.id, &self.runtime.sink);
        }
        outcome
    }

    fn store(&self, budget: Budget) -> Result<Store<StepData>, StepError> {
        let mut store = Store::new(&self.runtime.engine, StepData::default());
        store.limiter(|data| &mut data.limits);
        store.set_fuel(budget.fuel()).map_err(|error| why(&error, &Limits::default()))?;
        store.set_epoch_deadline(budget.ticks());
        store.set_hostcall_fuel(TRANSFER_BYTES);
        store.set_max_component_handles(MAX_HANDLES);
        Ok(store)
    }
}

/// What an error of wasmtime's comes down to.
fn why(error: &wasmtime::Error, limits: &Limits) -> StepError {
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return StepError::OutOfFuel,
        Some(Trap::Interrupt) => return StepError::TimedOut,
        // Allocators answer a refused page with a trap of their own, so the refusal is the better reason.
        _ if limits.refused() => return StepError::Memory,
        Some(trap) => return StepError::Trap(trap.to_string().trim_start_matches("wasm trap: ").to_owned()),
        None => {}
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return StepError::Busy;
    }
    let text = text::one_line(&format!("{error:#}"), 200);
    // The one error of wasmtime's that has no type to be told by.
    if text.contains("fuel allocated for hostcalls") {
        return StepError::Transfer;
    }
    StepError::Trap(text)
}
