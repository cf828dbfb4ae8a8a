//! Services that pretend: OpenAI, Stripe, and servers that misbehave on purpose, all on loopback.
//!
//! They speak the real wire formats (HTTP/1.1 and HTTP/2 over TLS, server-sent events, multipart, nested forms), so that
//! a client which works here works against the service itself, and they write down everything that reached them, so that a
//! test can say what a service saw. `kv demo` runs on them too.
//!
//! Nothing here listens on anything but 127.0.0.1, reads a file, or opens a connection (one exception: [`bare_proxy`],
//! which forwards to the one address that it was given). No credential in here is real, and none of this code is ever on
//! the path of a call to a real service.
//!
//! Begin with [`Service`], the running thing; [`Fake`] is what an author of a provider implements to fake a further
//! service; [`FakeOpenAi`] and [`FakeStripe`] are the two large ones; [`Scripted`] plays hostile servers step by step and
//! [`hostile::catalogue`] lists the usual ones; [`Sink`] catches connections that should never have been made.

// The `json!` of an object with as many fields as Stripe's has needs more than the usual 128.
#![recursion_limit = "256"]

mod ca;
pub mod compress;
mod echo;
pub mod h2;
pub mod hostile;
mod http_server;
mod ids;
mod last_rites;
mod listener;
mod multipart;
pub mod openai;
mod pgbouncer;
mod postgres;
mod proxy;
mod record;
mod reply;
mod script;
mod scripted;
mod service;
mod shelf;
mod sink;
mod sshd;
pub mod stripe;
mod urlencoded;
mod wire;

pub use ca::{Leaf, LeafFiles, TestCa};
pub use echo::{Echo, Encode, Place, Split, What};
pub use http_server::{Fake, Fixed, ServeOptions, serve};
pub use listener::Protocols;
pub use openai::{FakeOpenAi, OpenAiOptions};
pub use pgbouncer::RealPgbouncer;
pub use postgres::{POSTGRES_PASSWORD, PostgresOptions, RealPostgres, postgres_is_installed};
pub use proxy::bare_proxy;
pub use record::{Recorded, TimedOut};
pub use reply::{Content, End, Pieces, Reply, sse_data, sse_event};
pub use script::{Choose, Script, Step};
pub use scripted::Scripted;
pub use service::{Host, PATIENCE, Service};
pub use sink::Sink;
pub use sshd::{HostCertificate, KeyPair, RealSshd, SshdOptions, children, current_user, is_root, sshd_is_installed};
pub use stripe::{FakeStripe, StripeOptions};

#[cfg(test)]
mod testing;
