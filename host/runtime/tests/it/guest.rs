//! Makes components of text, for tests: a core module in WAT becomes a provider.

use std::path::Path;
use std::sync::{Arc, Mutex};

use kv_model::{Call, CallId, OperationName};
use kv_runtime::{LogLevel, LogSink};
use wasm_encoder::{ComponentSection, CustomSection};
use wit_component::{ComponentEncoder, StringEncoding};

pub(crate) const MANIFEST: &str = r#"{"schema": "kv.manifest/1", "name": "guest", "version": "0.1.0", "protocol": "http",
    "origins": ["https://api.example.com"], "endpoints": [], "operations": []}"#;

/// A core module, written as WAT, as a component of the world `http-provider`, without a manifest.
pub(crate) fn component(wat: &str) -> Vec<u8> {
    let mut module = wat::parse_str(wat).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_path(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit"))).unwrap();
    let world = resolve.select_world(&[package], Some("http-provider")).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(false).encode().unwrap()
}

pub(crate) fn with_section(mut component: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    CustomSection { name: name.into(), data: data.into() }.append_to_component(&mut component);
    component
}

pub(crate) fn with_manifest(component: Vec<u8>) -> Vec<u8> {
    with_section(component, "kv:manifest", MANIFEST.as_bytes())
}

/// A provider, of a core module.
pub(crate) fn provider(wat: &str) -> Vec<u8> {
    with_manifest(component(wat))
}

pub(crate) fn call() -> Call {
    Call {
        id: CallId::from_bytes([7; 16]),
        operation: OperationName::parse("things.list").unwrap(),
        input: r#"{"limit":3}"#.into(),
        settings: Vec::new(),
        now_ms: 1_800_000_000_000,
        attachments: Vec::new(),
    }
}

/// The lines that a provider wrote.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<(LogLevel, String)>>>);

impl Lines {
    pub(crate) fn sink(&self) -> LogSink {
        let lines = Arc::clone(&self.0);
        Arc::new(move |line| lines.lock().unwrap().push((line.level, line.text.to_owned())))
    }

    pub(crate) fn take(&self) -> Vec<(LogLevel, String)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}
