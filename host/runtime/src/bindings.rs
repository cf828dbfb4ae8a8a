//! The types that wasmtime generates from `wit/`. They stay inside this crate: `distrust.rs` turns them into the
//! domain's.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "http-provider",
    // What goes into a guest is lowered from the host's own values, so an input or a body is copied once, not twice.
    ownership: Borrowing { duplicate_if_necessary: false },
});
