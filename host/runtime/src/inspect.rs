//! What a component is, found by reading it: nothing here compiles or runs any of it.
//!
//! The parser is the very version that wasmtime parses with, so that the two cannot take one file for two things.

use kv_model::Manifest;
use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload, Validator, WasmFeatures};

use crate::error::LoadError;
use crate::text;

/// The largest component tried, a Python interpreter with its libraries, has 18.5 MB.
pub const MAX_COMPONENT_BYTES: usize = 32 << 20;

/// The custom section that holds a provider's manifest.
const MANIFEST_SECTION: &str = "kv:manifest";

pub(crate) const LOG: &str = "kv:provider/log@0.1.0";
const TYPES: &str = "kv:provider/types@0.1.0";
pub(crate) const HTTP: &str = "kv:provider/http@0.1.0";
pub(crate) const SQL: &str = "kv:provider/sql@0.1.0";
pub(crate) const SSH: &str = "kv:provider/ssh@0.1.0";

// Compiling takes time and memory that grow with these, some faster than evenly. The limits are about twice what the
// largest guests of three languages have.
const MAX_MODULES: usize = 64;
/// Components within components; what `wit-component` makes has one level.
const MAX_DEPTH: usize = 4;
const MAX_COMPONENTS: usize = 64;
const MAX_FUNCTIONS: usize = 60_000;
const MAX_FUNCTION_BYTES: usize = 512 << 10;
const MAX_LOCALS: usize = 10_000;
const MAX_TYPES: usize = 20_000;

/// Reads a component's manifest: its bytes and what they say.
pub fn read_manifest(component: &[u8]) -> Result<(Vec<u8>, Manifest), LoadError> {
    let found = Found::read(component)?;
    let manifest = found.manifest()?;
    let parsed = Manifest::parse(manifest).map_err(LoadError::Manifest)?;
    Ok((manifest.to_vec(), parsed))
}

/// What a component says of itself.
#[derive(Debug, Default)]
pub(crate) struct Found<'a> {
    imports: Vec<&'a str>,
    exports: Vec<&'a str>,
    manifests: Vec<&'a [u8]>,
    nested_manifest: bool,
}

impl<'a> Found<'a> {
    /// Reads the component's outline and holds it against the limits.
    pub(crate) fn read(component: &'a [u8]) -> Result<Self, LoadError> {
        if component.len() > MAX_COMPONENT_BYTES {
            return Err(LoadError::TooLarge { bytes: component.len() });
        }
        let mut reader = Reader::default();
        for payload in Parser::new(0).parse_all(component) {
            reader.take(payload.map_err(invalid)?)?;
        }
        Ok(reader.found)
    }

    /// That it imports nothing but what every provider is given.
    pub(crate) fn check_imports(&self) -> Result<(), LoadError> {
        match self.imports.iter().find(|name| **name != LOG && **name != TYPES) {
            Some(name) => Err(LoadError::ForeignImport(text::one_line(name, 200))),
            None => Ok(()),
        }
    }

    pub(crate) fn check_exports(&self, wanted: &'static str) -> Result<(), LoadError> {
        if self.exports.contains(&wanted) {
            return Ok(());
        }
        let exports = self.exports.iter().take(8).map(|name| text::one_line(name, 100)).collect();
        Err(LoadError::WrongExports { wanted, exports })
    }

    pub(crate) fn manifest(&self) -> Result<&'a [u8], LoadError> {
        match self.manifests.as_slice() {
            _ if self.nested_manifest => Err(LoadError::NestedManifest),
            [] => Err(LoadError::NoManifest),
            [one] if one.len() > Manifest::MAX_BYTES => Err(LoadError::ManifestTooLarge { bytes: one.len() }),
            [one] => Ok(one),
            several => Err(LoadError::SeveralManifests(several.len())),
        }
    }
}

/// That the whole of it is valid, with the features that the engine has and no other.
pub(crate) fn validate(component: &[u8]) -> Result<(), LoadError> {
    Validator::new_with_features(features()).validate_all(component).map(|_| ()).map_err(invalid)
}

/// What guests may use of WebAssembly: what the compilers of three languages emit. The engine's settings say the same.
fn features() -> WasmFeatures {
    WasmFeatures::WASM1
        | WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::CALL_INDIRECT_OVERLONG
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::BULK_MEMORY_OPT
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL
}

pub(crate) fn invalid(error: wasmparser::BinaryReaderError) -> LoadError {
    // The text may quote names from the file.
    LoadError::Invalid(text::one_line(&error.to_string(), 300))
}

#[derive(Default)]
struct Reader<'a> {
    found: Found<'a>,
    /// What the parser stands in, from the outside in.
    within: Vec<Encoding>,
    modules: usize,
    components: usize,
    functions: usize,
    types: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, payload: Payload<'a>) -> Result<(), LoadError> {
        let top = self.within.len() == 1;
        match payload {
            Payload::Version { encoding, .. } => self.enter(encoding)?,
            Payload::End(_) => {
                self.within.pop();
            }
            Payload::ComponentImportSection(section) if top => {
                for import in section {
                    self.found.imports.push(import.map_err(invalid)?.name.name);
                }
            }
            Payload::ComponentExportSection(section) if top => {
                for export in section {
                    let export = export.map_err(invalid)?;
                    if export.kind == ComponentExternalKind::Instance {
                        self.found.exports.push(export.name.name);
                    }
                }
            }
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                if top {
                    self.found.manifests.push(section.data());
                } else {
                    self.found.nested_manifest = true;
                }
            }
            Payload::TypeSection(section) => count(&mut self.types, section.count(), "types", MAX_TYPES)?,
            Payload::CoreTypeSection(section) => count(&mut self.types, section.count(), "types", MAX_TYPES)?,
            Payload::ComponentTypeSection(section) => count(&mut self.types, section.count(), "types", MAX_TYPES)?,
            Payload::CodeSectionStart { count: more, .. } => {
                count(&mut self.functions, more, "functions", MAX_FUNCTIONS)?;
            }
            Payload::CodeSectionEntry(body) => check_function(&body)?,
            _ => {}
        }
        Ok(())
    }

    fn enter(&mut self, encoding: Encoding) -> Result<(), LoadError> {
        match encoding {
            Encoding::Module if self.within.is_empty() => return Err(LoadError::NotAComponent),
            Encoding::Module => count(&mut self.modules, 1, "modules", MAX_MODULES)?,
            Encoding::Component => count(&mut self.components, 1, "nested components", MAX_COMPONENTS)?,
        }
        self.within.push(encoding);
        bound("levels of nesting", self.within.len(), MAX_DEPTH)
    }
}

fn check_function(body: &wasmparser::FunctionBody<'_>) -> Result<(), LoadError> {
    bound("bytes in one function", body.range().len(), MAX_FUNCTION_BYTES)?;
    let mut locals = 0;
    for group in body.get_locals_reader().map_err(invalid)? {
        let (more, _) = group.map_err(invalid)?;
        count(&mut locals, more, "locals in one function", MAX_LOCALS)?;
    }
    Ok(())
}

fn count(sum: &mut usize, more: u32, what: &'static str, limit: usize) -> Result<(), LoadError> {
    *sum = sum.saturating_add(more as usize);
    bound(what, *sum, limit)
}

pub(crate) fn bound(what: &'static str, count: usize, limit: usize) -> Result<(), LoadError> {
    if count > limit { Err(LoadError::Bound { what, count, limit }) } else { Ok(()) }
}

/// That the bytes are WebAssembly at all, said more kindly than the parser would.
pub(crate) fn check_magic(component: &[u8]) -> Result<(), LoadError> {
    if component.starts_with(b"\0asm") { Ok(()) } else { Err(LoadError::NotWasm) }
}
