//! The types that wasmtime generates from `wit/`, a module for each world. They stay inside this crate: `distrust.rs`
//! turns them into the domain's.

pub(crate) mod http {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "http-provider",
        // What goes into a guest is lowered from the host's own values, so an input or a body is copied once, not twice.
        ownership: Borrowing { duplicate_if_necessary: false },
    });
}

pub(crate) mod sql {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "sql-provider",
        ownership: Borrowing { duplicate_if_necessary: false },
        with: {
            "kv:provider/types@0.1.0": super::http::kv::provider::types,
            "kv:provider/log@0.1.0": super::http::kv::provider::log,
        },
    });
}

pub(crate) mod ssh {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "ssh-provider",
        ownership: Borrowing { duplicate_if_necessary: false },
        with: {
            "kv:provider/types@0.1.0": super::http::kv::provider::types,
            "kv:provider/log@0.1.0": super::http::kv::provider::log,
        },
    });
}
