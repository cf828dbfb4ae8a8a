//! Native code compiled ahead: the only `unsafe` of this crate.
//!
//! The providers that are part of the program are compiled by its build and embedded, so the daemon answers at once
//! instead of compiling first. There is no cache of compiled code on disk: whoever can write such a file runs code in
//! the daemon.

use kv_model::Digest;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::effort;
use crate::engine::config;
use crate::error::LoadError;
use crate::inspect::{self, Found};
use crate::text;

/// Compiles a component for a target triple, after the same checks that a stranger's gets. What comes back is for
/// [`Runtime::load_trusted`](crate::Runtime::load_trusted) and belongs into the program's own binary.
///
/// The code uses only what every processor of the target has: the machine that builds is not the one that runs.
pub fn precompile(component: &[u8], target: &str) -> Result<Vec<u8>, LoadError> {
    inspect::check_magic(component)?;
    Found::read(component)?.check_imports()?;
    inspect::validate(component)?;
    effort::check(component)?;
    let compile = || {
        let mut config = config();
        config.target(target)?;
        Engine::new(&config)?.precompile_component(component)
    };
    let code = compile().map_err(|error| LoadError::Compile(text::one_line(&format!("{error:#}"), 300)))?;
    Ok([Digest::of(component).as_bytes(), code.as_slice()].concat())
}

/// Takes what [`precompile`] made. The digest in front catches a build that embedded the code of another component; it
/// is no protection, and needs to be none.
#[expect(unsafe_code, reason = "code compiled ahead cannot be taken in otherwise; see the argument below")]
pub(crate) fn embedded(engine: &Engine, component: &[u8], compiled: &'static [u8]) -> Result<Component, LoadError> {
    let (digest, code) = compiled.split_first_chunk::<32>().ok_or(LoadError::Stale)?;
    if digest != Digest::of(component).as_bytes() {
        return Err(LoadError::Stale);
    }
    // SAFETY: `deserialize` demands bytes that this version of wasmtime wrote and that nobody changed since. They are
    // `'static`, which here means a part of the program: `kv-bundle`'s build script writes them with `precompile`,
    // from this same source of settings, and `include_bytes!` makes them a section of the binary. Whoever can change
    // that section can change every other instruction of the program as well. wasmtime compares its version and the
    // settings with those in the header, and refuses what another engine made.
    let component = unsafe { Component::deserialize(engine, code) };
    component.map_err(|_| LoadError::Stale)
}
