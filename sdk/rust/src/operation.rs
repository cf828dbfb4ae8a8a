//! A provider as data: what [`provider!`](crate::provider) and [`operation`](macro@crate::operation) produce.

use std::future::Future;
use std::pin::Pin;

use crate::{Effect, Failure, Io, Output, Reply, Response, SqlError};

/// An operation's function at work.
#[doc(hidden)]
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + 'a>>;

/// One operation.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    pub name: &'static str,
    pub title: &'static str,
    pub effect: Effect,
    pub repeatable: bool,
    /// Reads the input's text and starts the function.
    pub run: for<'a> fn(&'a Io) -> Result<Running<'a>, Failure>,
    #[cfg(not(target_family = "wasm"))]
    pub about: About,
}

/// What only the manifest says of an operation. It is no part of the component's code.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug, Clone, Copy)]
pub struct About {
    pub description: &'static str,
    pub suggest: Suggestion,
    /// Facts for policy, each a JSON pointer into the input.
    pub facts: &'static [(&'static str, &'static str)],
    /// `GET /v1/charges/{id}`
    pub endpoints: &'static [&'static str],
    /// Headers that the host adds to a request for these endpoints.
    pub headers: &'static [(&'static str, &'static str)],
    /// The input's JSON Schema.
    pub schema: fn() -> serde_json::Value,
}

/// What the person is offered when connecting.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suggestion {
    Allow,
    Ask,
    Deny,
}

/// A provider: its operations and what they share.
#[derive(Debug)]
pub struct Provider {
    pub protocol: Protocol,
    /// The schemes of a request that names none.
    pub auth: &'static [&'static str],
    pub operations: &'static [Operation],
    /// The texts of `provider.toml`.
    #[cfg(not(target_family = "wasm"))]
    pub manifest: &'static [&'static str],
    #[cfg(not(target_family = "wasm"))]
    pub version: &'static str,
}

/// What a provider speaks, and how it makes a failure of an answer that is no success.
#[derive(Debug, Clone, Copy)]
pub enum Protocol {
    Http { failure: fn(&Response) -> Failure },
    Sql { failure: fn(&SqlError) -> Failure },
    Ssh { failure: fn(&Output) -> Failure },
}

impl Protocol {
    /// As the manifest has it.
    pub fn name(&self) -> &'static str {
        match self {
            Protocol::Http { .. } => "http",
            Protocol::Sql { .. } => "sql",
            Protocol::Ssh { .. } => "ssh",
        }
    }
}

impl Provider {
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.name == name)
    }
}

/// What [`operation`](macro@crate::operation) implements for the type that it puts beside a function.
#[doc(hidden)]
pub trait Described {
    const OPERATION: Operation;
}

/// Puts a provider together: `PROVIDER`, natively `manifest()`, and in a component its exports.
///
/// `protocol` is `http`, `sql` or `ssh`, and `http` where it is left out; `manifest` are the texts of `provider.toml`, in
/// one or more pieces ([`manifest`](crate::manifest) says what is in them); `auth` the schemes that a request goes out
/// with when it names none; `failure` makes a [`Failure`] of an answer that is no success: of a [`Response`], a
/// [`SqlError`] or an [`Output`]; `operations` names functions marked with [`operation`](macro@crate::operation).
#[macro_export]
macro_rules! provider {
    (protocol: http, $($rest:tt)*) => {
        $crate::__provider! { Http, $($rest)* }
        $crate::__export! { http }
    };
    (protocol: sql, $($rest:tt)*) => {
        $crate::__provider! { Sql, $($rest)* }
        $crate::__export! { sql }
    };
    (protocol: ssh, $($rest:tt)*) => {
        $crate::__provider! { Ssh, $($rest)* }
        $crate::__export! { ssh }
    };
    (manifest: $($rest:tt)*) => {
        $crate::provider! { protocol: http, manifest: $($rest)* }
    };
}

/// The provider as data.
#[doc(hidden)]
#[macro_export]
macro_rules! __provider {
    (
        $protocol:ident,
        manifest: [$($text:expr),+ $(,)?],
        auth: [$($scheme:literal),* $(,)?],
        failure: $failure:path,
        operations: [$($operation:ty),* $(,)?] $(,)?
    ) => {
        /// The provider, as the SDK runs it.
        pub static PROVIDER: $crate::Provider = $crate::Provider {
            protocol: $crate::Protocol::$protocol { failure: $failure },
            auth: &[$($scheme),*],
            operations: &[$(<$operation as $crate::__private::Described>::OPERATION),*],
            #[cfg(not(target_family = "wasm"))]
            manifest: &[$($text),+],
            #[cfg(not(target_family = "wasm"))]
            version: env!("CARGO_PKG_VERSION"),
        };

        /// The manifest, as the build packs it into the component.
        ///
        /// Panics, with every problem named, when `provider.toml` and the functions do not make one: that is for the
        /// author to mend, at build time.
        #[cfg(not(target_family = "wasm"))]
        pub fn manifest() -> String {
            $crate::manifest::build(&PROVIDER).unwrap_or_else(|problems| panic!("{problems}"))
        }
    };
}
