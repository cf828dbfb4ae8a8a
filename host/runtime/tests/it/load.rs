//! Files that are no providers: broken, lying, and made to keep a compiler busy.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use crate::guest::{self, component, with_manifest, with_section};
use kv_model::Manifest;
use kv_runtime::{Budget, LoadError, MAX_COMPONENT_BYTES, Runtime, precompile, read_manifest};
use proptest::prelude::*;
use wasm_encoder as enc;

/// Answers null to everything, and is small.
const PLAIN: &str = r#"(module
  (memory (export "memory") 2)
  (data (i32.const 512) "null")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
  (func $done (result i32)
    (i32.store8 (i32.const 1032) (i32.const 1))
    (i32.store (i32.const 1036) (i32.const 512))
    (i32.store (i32.const 1040) (i32.const 4))
    (i32.const 1024))
  (func (export "kv:provider/http@0.1.0#start")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32 i32 i32) (result i32) (call $done))
  (func (export "kv:provider/http@0.1.0#resume") (param i32) (result i32) (call $done)))"#;

/// What a load may take, whatever the file: a second on an idle machine.
const LONGEST: Duration = Duration::from_secs(5);

fn plain() -> Vec<u8> {
    with_manifest(component(PLAIN))
}

fn load(bytes: &[u8]) -> LoadError {
    let begin = Instant::now();
    let error = Runtime::new().unwrap().load(bytes).err().expect("it loaded");
    assert!(begin.elapsed() < LONGEST, "it took {:?}", begin.elapsed());
    error
}

#[test]
fn a_provider_loads() {
    let provider = Runtime::new().unwrap().load(&plain()).unwrap();
    assert_eq!(provider.manifest.name.as_str(), "guest");
    assert_eq!(provider.digest, kv_model::Digest::of(&plain()));
    assert!(provider.start(&guest::call(), Budget::Inline).is_ok());
}

#[test]
fn cut_at_every_byte() {
    let (runtime, plain) = (Runtime::new().unwrap(), plain());
    for length in 0..plain.len() {
        assert!(runtime.load(&plain[..length]).is_err(), "{length} of {} bytes", plain.len());
        assert!(read_manifest(&plain[..length]).is_err(), "{length} of {} bytes", plain.len());
    }
}

#[test]
fn every_byte_flipped_is_refused_or_harmless() {
    let (runtime, plain) = (Runtime::new().unwrap(), component(PLAIN));
    for index in 0..plain.len() {
        let mut changed = plain.clone();
        changed[index] ^= 1 << (index % 8);
        if let Ok(provider) = runtime.load(&with_manifest(changed)) {
            let _ = provider.start(&guest::call(), Budget::Inline);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2000), component in any::<bool>()) {
        let head: &[u8] = if component { b"\0asm\x0d\0\x01\0" } else { b"\0asm\x01\0\0\0" };
        let runtime = Runtime::new().unwrap();
        prop_assert!(runtime.load(&bytes).is_err());
        prop_assert!(runtime.load(&[head, &bytes].concat()).is_err());
    }
}

#[test]
fn the_manifest_is_read_without_the_rest() {
    // Neither imports nor exports of a provider, and code that could not run.
    let odd = with_manifest(wat::parse_str(r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#).unwrap());
    let (text, manifest) = read_manifest(&odd).unwrap();
    assert_eq!((text.as_slice(), manifest.name.as_str()), (guest::MANIFEST.as_bytes(), "guest"));
}

#[test]
fn there_is_one_manifest_and_it_is_small() {
    assert!(matches!(load(&component(PLAIN)), LoadError::NoManifest));
    assert!(matches!(load(&with_manifest(plain())), LoadError::SeveralManifests(2)));
    let large = vec![b' '; Manifest::MAX_BYTES + 1];
    assert!(matches!(load(&with_section(component(PLAIN), "kv:manifest", &large)), LoadError::ManifestTooLarge { .. }));
    for text in ["", "{}", "null", "\u{0}"] {
        assert!(
            matches!(load(&with_section(component(PLAIN), "kv:manifest", text.as_bytes())), LoadError::Manifest(_)),
            "{text}"
        );
    }
}

#[test]
fn a_provider_name_is_no_path() {
    for name in ["../x", "a/b", "..", "", "a\\u0000", "A", "open ai", "\u{43e}penai", &"a".repeat(41)] {
        let manifest = guest::MANIFEST.replace("\"guest\"", &format!("\"{name}\""));
        assert!(
            matches!(load(&with_section(component(PLAIN), "kv:manifest", manifest.as_bytes())), LoadError::Manifest(_)),
            "{name}"
        );
    }
}

#[test]
fn other_protocols_are_refused() {
    // The component exports `http`, so another protocol in its manifest is a lie.
    for protocol in ["sql", "ssh", "carrier-pigeon"] {
        let manifest = guest::MANIFEST.replace("\"http\"", &format!("\"{protocol}\""));
        let error = load(&with_section(component(PLAIN), "kv:manifest", manifest.as_bytes()));
        assert!(matches!(error, LoadError::Manifest(_) | LoadError::WrongExports { .. }), "{protocol}: {error}");
    }
}

#[test]
fn too_large_is_not_even_read() {
    assert!(matches!(
        load(&{
            let mut large = plain();
            large.resize(MAX_COMPONENT_BYTES + 1, 0);
            large
        }),
        LoadError::TooLarge { .. }
    ));
    // A section that says it has a gigabyte and has not.
    let mut lying = component(PLAIN);
    lying.extend([0, 0x80, 0x80, 0x80, 0x80, 0x04]);
    assert!(matches!(load(&lying), LoadError::Invalid(_)));
}

/// A module as the one part of a component, with a manifest.
fn bomb(module: &enc::Module) -> Vec<u8> {
    let mut component = enc::Component::new();
    component.section(&enc::ModuleSection(module));
    with_manifest(component.finish())
}

fn function(locals: u32, instructions: &[enc::Instruction<'_>]) -> enc::Module {
    let mut module = enc::Module::new();
    let mut types = enc::TypeSection::new();
    types.ty().function([], []);
    let mut functions = enc::FunctionSection::new();
    functions.function(0);
    let mut code = enc::CodeSection::new();
    let mut body = enc::Function::new((locals > 0).then_some((locals, enc::ValType::I64)));
    for instruction in instructions {
        body.instruction(instruction);
    }
    body.instruction(&enc::Instruction::End);
    code.function(&body);
    module.section(&types).section(&functions).section(&code);
    module
}

#[test]
fn compile_bombs() {
    use enc::Instruction as I;
    assert!(matches!(load(&bomb(&function(100_000, &[]))), LoadError::Invalid(_) | LoadError::Bound { .. }));
    assert!(matches!(load(&bomb(&function(20_000, &[]))), LoadError::Bound { what: "locals in one function", .. }));
    let huge = vec![I::Nop; 600_000];
    assert!(matches!(load(&bomb(&function(0, &huge))), LoadError::Bound { what: "bytes in one function", .. }));
    let targets = Cow::from(vec![0; 700_000]);
    let table = [I::I32Const(0), I::BrTable(targets, 0)];
    assert!(matches!(load(&bomb(&function(0, &table))), LoadError::Bound { what: "bytes in one function", .. }));

    let mut types = enc::TypeSection::new();
    for _ in 0..1_000_000 {
        types.ty().function([], []);
    }
    let mut module = enc::Module::new();
    module.section(&types);
    assert!(matches!(load(&bomb(&module)), LoadError::Bound { what: "types", .. }));

    let mut component = enc::Component::new();
    for _ in 0..65 {
        component.section(&enc::ModuleSection(&enc::Module::new()));
    }
    assert!(matches!(load(&with_manifest(component.finish())), LoadError::Bound { what: "modules", .. }));
}

#[test]
fn compiled_ahead_for_this_very_component() {
    let (runtime, plain) = (Runtime::new().unwrap(), plain());
    let compiled: &'static [u8] = precompile(&plain, TARGET).unwrap().leak();
    let provider = runtime.load_trusted(&plain, compiled).unwrap();
    assert!(provider.start(&guest::call(), Budget::Inline).is_ok());

    let other = with_section(plain.clone(), "another", b"");
    assert!(matches!(runtime.load_trusted(&other, compiled), Err(LoadError::Stale)));
    assert!(matches!(runtime.load_trusted(&plain, &compiled[..20]), Err(LoadError::Stale)));
    assert!(matches!(runtime.load_trusted(&plain, &compiled[..32]), Err(LoadError::Stale)));
    assert!(matches!(precompile(&plain, "riscv9-acme-none"), Err(LoadError::Compile(_))));
    assert!(matches!(precompile(b"", TARGET), Err(LoadError::NotWasm)));
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const TARGET: &str = "x86_64-unknown-linux-gnu";
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
const TARGET: &str = "aarch64-unknown-linux-gnu";
#[cfg(all(target_arch = "aarch64", target_os = "macos"))]
const TARGET: &str = "aarch64-apple-darwin";
#[cfg(all(target_arch = "x86_64", target_os = "macos"))]
const TARGET: &str = "x86_64-apple-darwin";

#[test]
fn a_small_file_that_keeps_the_compiler_busy() {
    use enc::Instruction as I;
    // Each local is followed through each block: unrefused, the largest of these takes half a minute.
    let blocks = |locals: u32, rounds: u32| {
        let one = |n: u32| {
            [
                I::Block(enc::BlockType::Empty),
                I::LocalGet(n % locals),
                I::I32WrapI64,
                I::BrIf(0),
                I::LocalSet(n * 13 % locals),
                I::End,
            ]
        };
        let mut instructions = Vec::new();
        for n in 0..rounds {
            instructions.extend(one(n).into_iter().flat_map(|instruction| match instruction {
                set @ I::LocalSet(_) => vec![I::LocalGet(n * 7 % locals), set],
                other => vec![other],
            }));
        }
        bomb(&function(locals, &instructions))
    };
    for (locals, rounds) in [(10_000, 20_000), (4000, 20_000), (10_000, 3000)] {
        match precompile(&blocks(locals, rounds), TARGET) {
            Err(LoadError::Bound { what: "units of work for the compiler", .. }) => {}
            other => panic!("{locals} locals, {rounds} rounds: {:?}", other.map(|code| code.len())),
        }
    }
    assert!(precompile(&blocks(100, 1000), TARGET).is_ok());
}

/// As many arguments as a function may have, in as many calls as fit.
#[test]
fn calls_with_a_thousand_arguments() {
    let mut module = enc::Module::new();
    let mut types = enc::TypeSection::new();
    types.ty().function([enc::ValType::I32; 1000], [enc::ValType::I32; 1000]);
    let mut functions = enc::FunctionSection::new();
    functions.function(0);
    let mut code = enc::CodeSection::new();
    let mut body = enc::Function::new([]);
    for local in 0..1000 {
        body.instruction(&enc::Instruction::LocalGet(local));
    }
    for _ in 0..100_000 {
        body.instruction(&enc::Instruction::Call(0));
    }
    body.instruction(&enc::Instruction::End);
    code.function(&body);
    module.section(&types).section(&functions).section(&code);
    assert!(matches!(
        precompile(&bomb(&module), TARGET),
        Err(LoadError::Bound { what: "units of work for the compiler", .. })
    ));
}
