//! The words of the domain. Everything here is parsed once, at the edge, and is valid for ever after.
//!
//! This crate does no I/O, knows no clock, starts no task and keeps no secret's value ([`Dsn::password_of`] takes one out
//! of bytes that its caller has, into a buffer that wipes itself). Begin with [`Request`]
//! (what may go out), [`Manifest`] (what a provider says of itself) and [`Connection`] (what a person set up).

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

mod call;
mod connection;
mod digest;
mod effect;
mod http;
mod id;
pub mod json;
mod manifest;
mod method;
mod name;
mod origin;
mod path;
mod request;
mod schema;
mod scheme;
mod sql;
mod ssh;
mod text;

pub use call::{Attachment, Call, Delivery, Failure, FailureKind, HttpResponse, Next, Payload, Step};
pub use connection::{Connection, CustomCa, Principal, SecretRef};
pub use digest::{Digest, Sha256};
pub use effect::Effect;
pub use http::{
    Body, EncodedBody, HttpRequest, MAX_BODY_BYTES, MAX_HEADERS, MAX_QUERY_BYTES, MAX_QUERY_PAIRS, Part, PartContent,
    RawBody, RawRequest, RequestError, RequestParts, encode_form, flatten_form,
};
pub use id::{CallId, SecretId, VaultId};
pub use manifest::{
    BodyEncoding, Endpoint, HeaderSource, Manifest, ManifestProblem, Matched, Operation, Protocol, RequestHeader,
    Setting, Slot, SlotKind, SlotPrefix, Suggestion,
};
pub use method::Method;
pub use name::{
    ConnectionName, NameError, OperationName, PrincipalName, ProviderName, SchemeName, SecretName, SettingName,
    SlotName,
};
pub use origin::{HostKind, Origin, OriginError, is_public};
pub use path::{MAX_PATH_BYTES, MAX_SEGMENTS, PathError, PathTemplate, Segments};
pub use request::{Parts, Request, Response};
pub use schema::{InputSchema, SchemaError, Violation};
pub use scheme::{Scheme, Template, TemplateError, TemplatePiece};
pub use sql::{
    Column, DEFAULT_MAX_CHANGES, Dsn, DsnError, MAX_PARAM_BYTES, MAX_PARAMS, MAX_ROWS, MAX_STATEMENT_BYTES, Mode,
    Reading, Rows, SqlError, SqlResponse, Statement, StatementError, StatementKind, StatementParts, Tls, Unreadable,
};
pub use ssh::{
    Command, CommandError, CommandLine, CommandOutput, CommandParts, Exit, Fingerprint, HostKey, HostKeyAlgorithm,
    HostKeyError, KnownHosts, MAX_COMMAND_BYTES, MAX_COMMAND_TIME, MAX_HOST_KEYS, MAX_KNOWN_HOSTS, MAX_OUTPUT_BYTES,
    MAX_STDIN_BYTES, PinnedKey, PinnedKeys, QuoteError, Skipped, known_hosts,
};
pub use text::{Shown, is_plain};
