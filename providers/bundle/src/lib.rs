//! The built-in providers: components, made and compiled ahead by this crate's build.
//!
//! They are part of the program, and as trusted as it is; for all that they run as every other provider does, with
//! nothing but a log to call. This crate holds bytes and runs nothing.

/// A provider that is part of the program.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    pub name: &'static str,
    /// The component, with its manifest in the section `kv:manifest`.
    pub component: &'static [u8],
    /// Native code for this target, to be loaded as trusted together with `component`.
    pub compiled: &'static [u8],
}

/// All of them, in order of their names.
pub fn builtins() -> &'static [Builtin] {
    &[
        Builtin {
            name: "openai",
            component: include_bytes!(concat!(env!("OUT_DIR"), "/openai.wasm")),
            compiled: include_bytes!(concat!(env!("OUT_DIR"), "/openai.cwasm")),
        },
        Builtin {
            name: "postgres",
            component: include_bytes!(concat!(env!("OUT_DIR"), "/postgres.wasm")),
            compiled: include_bytes!(concat!(env!("OUT_DIR"), "/postgres.cwasm")),
        },
        Builtin {
            name: "ssh",
            component: include_bytes!(concat!(env!("OUT_DIR"), "/ssh.wasm")),
            compiled: include_bytes!(concat!(env!("OUT_DIR"), "/ssh.cwasm")),
        },
        Builtin {
            name: "stripe",
            component: include_bytes!(concat!(env!("OUT_DIR"), "/stripe.wasm")),
            compiled: include_bytes!(concat!(env!("OUT_DIR"), "/stripe.cwasm")),
        },
    ]
}
