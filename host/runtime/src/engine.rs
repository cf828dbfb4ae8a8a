//! The engine and its settings: everything that a guest's surroundings are made of.

use std::sync::Arc;

use kv_model::{Digest, Manifest, Protocol};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::bindings::http::HttpProviderPre;
use crate::bindings::http::exports::kv::provider::http;
use crate::bindings::http::kv::provider::types::{Call, Failure};
use crate::bindings::sql::SqlProviderPre;
use crate::bindings::sql::exports::kv::provider::sql;
use crate::bindings::ssh::SshProviderPre;
use crate::bindings::ssh::exports::kv::provider::ssh;
use crate::error::{EngineError, LoadError};
use crate::inspect::{self, Found};
use crate::limits::{MAX_INSTANCES, MAX_MEMORIES, MAX_MEMORY_BYTES, MAX_TABLE_ELEMENTS, MAX_TABLES};
use crate::log::{self, LogSink};
use crate::provider::{Pre, Provider, StepData};
use crate::text;
use crate::ticker::Ticker;
use crate::{aot, effort};

/// As many steps as may run at the same time; one more is refused. Steps last microseconds, and a thread runs one at a
/// time, so this is many more than there are threads for.
const MAX_STEPS: u32 = 64;
/// A step of a built-in provider touches some 40 KiB of memory. What it touched is wiped in place up to this size, and
/// given back to the kernel beyond: taking a page anew costs a fault, and more than wiping it.
const KEPT_BYTES: usize = 128 << 10;
/// The stack that a guest's native frames may take, of the calling thread's.
const MAX_STACK_BYTES: usize = 512 << 10;

/// The engine. Cheap to clone; made once, after any fork, since a thread belongs to it.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) ticker: Ticker,
    pub(crate) sink: LogSink,
    linker: Linker<StepData>,
}

impl Runtime {
    /// With providers' log lines going to `tracing`.
    pub fn new() -> Result<Self, EngineError> {
        Self::with_log(log::to_tracing())
    }

    /// With providers' log lines going to `sink`.
    pub fn with_log(sink: LogSink) -> Result<Self, EngineError> {
        let settings = |error: wasmtime::Error| EngineError::Settings(format!("{error:#}"));
        let engine = Engine::new(&config()).map_err(settings)?;
        let mut linker = Linker::new(&engine);
        log::link(&mut linker).map_err(settings)?;
        let ticker = Ticker::start(&engine).map_err(EngineError::Ticker)?;
        Ok(Self { inner: Arc::new(Inner { engine, ticker, sink, linker }) })
    }

    /// Checks a component and compiles it. It may take seconds for a large one: not for a thread that others wait for.
    pub fn load(&self, component: &[u8]) -> Result<Provider, LoadError> {
        inspect::check_magic(component)?;
        let found = Found::read(component)?;
        found.check_imports()?;
        let manifest = checked_manifest(&found)?;
        inspect::validate(component)?;
        effort::check(component)?;
        let compiled = Component::from_binary(&self.inner.engine, component)
            .map_err(|error| LoadError::Compile(cleaned(&error)))?;
        self.provider(component, manifest, &compiled)
    }

    /// Takes a component that [`precompile`](crate::precompile) compiled in this program's own build. The native code
    /// in `compiled` is run as it is: it must be part of this program, and never come from a file.
    pub fn load_trusted(&self, component: &[u8], compiled: &'static [u8]) -> Result<Provider, LoadError> {
        let found = Found::read(component)?;
        found.check_imports()?;
        let manifest = checked_manifest(&found)?;
        let compiled = aot::embedded(&self.inner.engine, component, compiled)?;
        self.provider(component, manifest, &compiled)
    }

    fn provider(&self, component: &[u8], manifest: Manifest, compiled: &Component) -> Result<Provider, LoadError> {
        let wrong = |error: wasmtime::Error| LoadError::WrongTypes(cleaned(&error));
        let pre = self.inner.linker.instantiate_pre(compiled).map_err(wrong)?;
        check_types(&pre, manifest.protocol).map_err(wrong)?;
        let pre = match manifest.protocol {
            Protocol::Http => HttpProviderPre::new(pre).map(Pre::Http),
            Protocol::Sql => SqlProviderPre::new(pre).map(Pre::Sql),
            Protocol::Ssh => SshProviderPre::new(pre).map(Pre::Ssh),
        };
        let pre = pre.map_err(wrong)?;
        Ok(Provider::new(Arc::new(manifest), Digest::of(component), pre, Arc::clone(&self.inner)))
    }
}

/// The manifest, of a protocol that the component exports.
fn checked_manifest(found: &Found<'_>) -> Result<Manifest, LoadError> {
    let manifest = Manifest::parse(found.manifest()?).map_err(LoadError::Manifest)?;
    found.check_exports(interface(manifest.protocol))?;
    Ok(manifest)
}

fn interface(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => inspect::HTTP,
        Protocol::Sql => inspect::SQL,
        Protocol::Ssh => inspect::SSH,
    }
}

/// That the exported functions are of the types in `wit/`. Each step finds that out as well, but then it is too late to
/// say no to an installation. Wasmtime hides these methods from its documentation; its version is pinned.
fn check_types(pre: &InstancePre<StepData>, protocol: Protocol) -> wasmtime::Result<()> {
    let (engine, component) = (pre.engine(), pre.component().component_type());
    let Some(ComponentItem::ComponentInstance(exported)) =
        component.get_export(engine, interface(protocol)).map(|export| export.ty)
    else {
        return Err(wasmtime::Error::msg("the protocol is not exported as an interface"));
    };
    let function = |name: &str| match exported.get_export(engine, name).map(|export| export.ty) {
        Some(ComponentItem::ComponentFunc(function)) => Ok(function),
        _ => Err(wasmtime::Error::msg(format!("there is no function `{name}`"))),
    };
    let (start, resume, types) = (function("start")?, function("resume")?, pre.instance_type());
    match protocol {
        Protocol::Http => {
            start.typecheck::<(Call<'_>,), (Result<http::Step, Failure>,)>(&types)?;
            resume.typecheck::<(Call<'_>, &str, http::Response<'_>), (Result<http::Step, Failure>,)>(&types)
        }
        Protocol::Sql => {
            start.typecheck::<(Call<'_>,), (Result<sql::Step, Failure>,)>(&types)?;
            resume.typecheck::<(Call<'_>, &str, sql::Response<'_>), (Result<sql::Step, Failure>,)>(&types)
        }
        Protocol::Ssh => {
            start.typecheck::<(Call<'_>,), (Result<ssh::Step, Failure>,)>(&types)?;
            resume.typecheck::<(Call<'_>, &str, ssh::Output<'_>), (Result<ssh::Step, Failure>,)>(&types)
        }
    }
}

fn cleaned(error: &wasmtime::Error) -> String {
    text::one_line(&format!("{error:#}"), 300)
}

/// What the engine that compiles and the one that runs have in common.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    // Time: fuel is the measure, since it is the same in every run; the epoch catches what fuel does not count.
    config.consume_fuel(true).epoch_interruption(true);
    // Determinism: the payload of a NaN is the one thing in WebAssembly that depends on the machine.
    config.cranelift_nan_canonicalization(true);
    // Providers are plain functions.
    config.concurrency_support(false);
    // No compiler of a provider needs these, and each is more machinery to trust. Multi-memory and extended constant
    // expressions stay on: components with fused adapters do not load without the former.
    config
        .wasm_simd(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_memory64(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .wasm_multi_memory(true)
        .wasm_extended_const(true);
    config.max_wasm_stack(MAX_STACK_BYTES);
    // A trace of a guest's frames means nothing to anyone here, and is text of the guest's.
    // Nor are the tables kept that only traces need: they are larger than the code.
    config.wasm_backtrace_max_frames(None).wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config.generate_address_map(false).native_unwind_info(cfg!(windows));
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    config
}

/// Slots for instances, reserved once: taking one is no system call.
fn pool() -> PoolingAllocationConfig {
    let per_component = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(MAX_STEPS)
        .total_core_instances(MAX_STEPS * 8)
        .total_memories(MAX_STEPS * 2)
        .total_tables(MAX_STEPS * 2)
        .max_core_instances_per_component(per_component(MAX_INSTANCES))
        .max_memories_per_component(per_component(MAX_MEMORIES))
        .max_tables_per_component(per_component(MAX_TABLES))
        .max_memories_per_module(per_component(MAX_MEMORIES))
        .max_tables_per_module(per_component(MAX_TABLES))
        .max_memory_size(MAX_MEMORY_BYTES)
        .table_elements(MAX_TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEPT_BYTES)
        .table_keep_resident(KEPT_BYTES)
        // Wipes the pages that were touched, not all that could have been; needs Linux 6.7.
        .pagemap_scan(Enabled::Auto)
        .max_unused_warm_slots(MAX_STEPS);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_can_be_made_and_shared() {
        fn shared<T: Send + Sync + Clone>(_: &T) {}
        shared(&Runtime::new().unwrap());
    }
}
