//! Builds the built-in providers: Rust to a core module, to a component with its manifest, to native code.
//!
//! It reaches no network and writes nothing outside its own folder. The providers are compiled twice: once for this
//! machine, to ask them for their manifests, and once for WebAssembly, by a cargo of their own.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use wasm_encoder::{ComponentSection, CustomSection};
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";

/// A guest's stack. Each page of it that a step touches is one to wipe afterwards; the default, 1 MiB, also moves the
/// data behind it out of the first pages.
const STACK: &str = "-zstack-size=32768";
/// A guest's first memory. A step of a usual size fits in; one that outgrows it costs two changes of page protection.
const MEMORY: &str = "--initial-memory=1048576";

/// Between two flags in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\u{1f}";

struct Source {
    name: &'static str,
    package: &'static str,
    manifest: fn() -> String,
}

const SOURCES: [Source; 4] = [
    Source { name: "openai", package: "kv-provider-openai", manifest: kv_provider_openai::manifest },
    Source { name: "postgres", package: "kv-provider-postgres", manifest: kv_provider_postgres::manifest },
    Source { name: "ssh", package: "kv-provider-ssh", manifest: kv_provider_ssh::manifest },
    Source { name: "stripe", package: "kv-provider-stripe", manifest: kv_provider_stripe::manifest },
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={}", error.to_string().trim_end().replace('\n', "\ncargo::error="));
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    for input in [
        "Cargo.lock",
        "Cargo.toml",
        "providers/openai",
        "providers/postgres",
        "providers/ssh",
        "providers/stripe",
        "sdk",
        "wit",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    check_target()?;
    let out = PathBuf::from(var("OUT_DIR")?);
    let modules = compile(&root, &out.join("target"))?;
    for source in &SOURCES {
        let module = modules.join(source.package.replace('-', "_")).with_extension("wasm");
        let component = component(&fs::read(module)?, &(source.manifest)())?;
        let compiled = kv_runtime::precompile(&component, &var("TARGET")?)
            .map_err(|error| format!("the provider `{}`: {error}", source.name))?;
        fs::write(out.join(source.name).with_extension("wasm"), component)?;
        fs::write(out.join(source.name).with_extension("cwasm"), compiled)?;
    }
    Ok(())
}

/// Without this, the cargo below would say the same in forty lines about every crate.
fn check_target() -> Result<(), Box<dyn Error>> {
    let found = Command::new(var("RUSTC")?).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    let folder = PathBuf::from(String::from_utf8(found.stdout)?.trim());
    let has_core = fs::read_dir(folder)
        .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-")));
    if has_core {
        Ok(())
    } else {
        Err(format!("the {TARGET} target is missing; type: rustup target add {TARGET}").into())
    }
}

/// Runs cargo for the providers, in a target folder of its own: the one outside is locked by the cargo that runs us.
fn compile(root: &Path, target: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let mut cargo = Command::new(var("CARGO")?);
    cargo
        .current_dir(root)
        .args(["build", "--release", "--quiet", "--locked", "--target", TARGET, "--target-dir"])
        .arg(target);
    for source in &SOURCES {
        cargo.args(["--package", source.package]);
    }
    // What cargo sets for build scripts is about this package; and neither flags nor wrappers meant for the program
    // outside may reach the guests, or two builds of one source would differ.
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        let inherited =
            ["CARGO_CFG_", "CARGO_FEATURE_", "CARGO_PKG_", "CARGO_PROFILE_", "CARGO_BUILD_", "CARGO_TARGET_", "DEP_"];
        let single = [
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTFLAGS",
            "RUSTC",
            "RUSTDOC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_MANIFEST_DIR",
            "CARGO_MANIFEST_PATH",
            "CARGO_MANIFEST_LINKS",
            "CARGO_MAKEFLAGS",
            "MAKEFLAGS",
            "OUT_DIR",
            "TARGET",
            "HOST",
            "PROFILE",
            "OPT_LEVEL",
            "DEBUG",
            "NUM_JOBS",
        ];
        if inherited.iter().any(|prefix| name_text.starts_with(prefix)) || single.contains(&&*name_text) {
            cargo.env_remove(&name);
        }
    }
    // Small rather than fast: all of it is embedded and held in memory. A step takes 9.3 us instead of 8.4, and the native
    // code of both providers 3.0 MB instead of 3.6.
    cargo
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            ["-Clink-arg=", STACK, SEPARATOR, "-Clink-arg=", MEMORY, SEPARATOR, "-Cpanic=abort"].concat(),
        )
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(
            format!("the providers do not compile to {TARGET}:\n{}", String::from_utf8_lossy(&output.stderr)).into()
        );
    }
    Ok(target.join(TARGET).join("release"))
}

/// A core module as a component that carries its manifest.
fn component(module: &[u8], manifest: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut component = ComponentEncoder::default().module(module)?.validate(true).encode()?;
    CustomSection { name: "kv:manifest".into(), data: manifest.as_bytes().into() }.append_to_component(&mut component);
    Ok(component)
}

fn var(name: &str) -> Result<String, Box<dyn Error>> {
    env::var(name).map_err(|_| format!("cargo did not set {name}").into())
}
