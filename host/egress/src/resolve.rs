//! From a name to addresses. Nothing here judges an address; [`crate::vet`] does, before anything is connected.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;

/// The addresses of a name, on their way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Whoever knows addresses. The daemon uses [`SystemResolver`]; tests bring answers of their own.
pub trait Resolve: Send + Sync {
    /// `name` is in lower case and without a final dot. The caller sets the deadline.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}

/// The system's resolver, asked for absolute names only.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            // The final dot keeps search domains out: without it `api.openai.com` may be asked for as
            // `api.openai.com.some-network.example` too, whose owner could answer. It also keeps `/etc/hosts` out.
            let found = tokio::net::lookup_host((format!("{name}."), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}
