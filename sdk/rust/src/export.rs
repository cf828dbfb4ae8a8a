//! Between the generated bindings and our own types; it exists in a component only.
//!
//! Natively nothing is exported, so that a provider's tests link like any other program's.

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "an allocator is an unsafe trait; each block is argued")]
mod allocator;
#[cfg(target_family = "wasm")]
pub mod guest;

/// What `wit-bindgen` makes of the WIT, a module for each world. `types` and `log` are generated once and shared, and a
/// world's exports are in a component only where its macro stands.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, unreachable_pub, reason = "generated: the canonical ABI moves values through raw memory")]
#[allow(clippy::all, reason = "generated")]
pub mod bindings {
    pub mod http {
        wit_bindgen::generate!({
            path: "../../wit",
            world: "http-provider",
            pub_export_macro: true,
            export_macro_name: "export_http_provider",
            default_bindings_module: "kv_sdk::__private::bindings::http",
        });
    }

    pub mod sql {
        wit_bindgen::generate!({
            path: "../../wit",
            world: "sql-provider",
            pub_export_macro: true,
            export_macro_name: "export_sql_provider",
            default_bindings_module: "kv_sdk::__private::bindings::sql",
            with: {
                "kv:provider/types@0.1.0": crate::export::bindings::http::kv::provider::types,
                "kv:provider/log@0.1.0": crate::export::bindings::http::kv::provider::log,
            },
        });
    }

    pub mod ssh {
        wit_bindgen::generate!({
            path: "../../wit",
            world: "ssh-provider",
            pub_export_macro: true,
            export_macro_name: "export_ssh_provider",
            default_bindings_module: "kv_sdk::__private::bindings::ssh",
            with: {
                "kv:provider/types@0.1.0": crate::export::bindings::http::kv::provider::types,
                "kv:provider/log@0.1.0": crate::export::bindings::http::kv::provider::log,
            },
        });
    }
}

#[cfg(target_family = "wasm")]
pub use self::bindings::{http::export_http_provider, sql::export_sql_provider, ssh::export_ssh_provider};

/// The component's exports; nothing natively.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    (http) => { $crate::__export! { http, Response, export_http_provider } };
    (sql) => { $crate::__export! { sql, Response, export_sql_provider } };
    (ssh) => { $crate::__export! { ssh, Output, export_ssh_provider } };
    ($world:ident, $answer:ident, $export:ident) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "generated: the canonical ABI moves values through raw memory")]
        mod kv_export {
            use $crate::__private::bindings::$world::exports::kv::provider::$world as wire;
            use $crate::__private::guest::$world as guest;

            struct Component;

            impl wire::Guest for Component {
                fn start(call: wire::Call) -> Result<wire::Step, wire::Failure> {
                    guest::start(&super::PROVIDER, call)
                }

                fn resume(call: wire::Call, state: String, answer: wire::$answer) -> Result<wire::Step, wire::Failure> {
                    guest::resume(&super::PROVIDER, call, &state, answer)
                }
            }

            $crate::__private::$export!(Component with_types_in $crate::__private::bindings::$world);
        }
    };
}
