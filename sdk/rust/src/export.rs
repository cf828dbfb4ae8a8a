//! Between the generated bindings and our own types; it exists in a component only.
//!
//! Natively nothing is exported, so that a provider's tests link like any other program's.

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "an allocator is an unsafe trait; each block is argued")]
mod allocator;
#[cfg(target_family = "wasm")]
mod guest;
#[cfg(target_family = "wasm")]
pub use self::guest::{guest_resume, guest_start};

/// What `wit-bindgen` makes of the WIT.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, unreachable_pub, reason = "generated: the canonical ABI moves values through raw memory")]
#[allow(clippy::all, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "http-provider",
        pub_export_macro: true,
        export_macro_name: "export_http_provider",
        default_bindings_module: "kv_sdk::__private::bindings",
    });
}

#[cfg(target_family = "wasm")]
pub use self::bindings::export_http_provider;

/// The component's exports; nothing natively.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    () => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "generated: the canonical ABI moves values through raw memory")]
        mod kv_export {
            use $crate::__private::bindings::exports::kv::provider::http;

            struct Component;

            impl http::Guest for Component {
                fn start(call: http::Call) -> Result<http::Step, http::Failure> {
                    $crate::__private::guest_start(&super::PROVIDER, call)
                }

                fn resume(call: http::Call, state: String, response: http::Response) -> Result<http::Step, http::Failure> {
                    $crate::__private::guest_resume(&super::PROVIDER, call, state, response)
                }
            }

            $crate::__private::export_http_provider!(Component with_types_in $crate::__private::bindings);
        }
    };
}
