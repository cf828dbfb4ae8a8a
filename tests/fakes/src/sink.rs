//! A listener that nobody should ever reach.
//!
//! Redirect targets, metadata addresses and proxies of the environment point here in tests; one hit is one failure.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;

use crate::listener::accept;
use crate::service::{Host, Service};
use crate::wire::Wire;

pub struct Sink {
    service: Service,
    first_bytes: Arc<Mutex<Vec<Bytes>>>,
}

impl Sink {
    /// Starts on the current tokio runtime.
    pub fn start() -> io::Result<Sink> {
        Sink::start_on(Host::Here)
    }

    /// Starts in a thread of its own.
    pub fn start_blocking() -> io::Result<Sink> {
        Sink::start_on(Host::Thread)
    }

    fn start_on(host: Host) -> io::Result<Sink> {
        let first_bytes: Arc<Mutex<Vec<Bytes>>> = Arc::default();
        let kept = Arc::clone(&first_bytes);
        let service = Service::launch("https", host, move |listener, log, stop| {
            accept(listener, None, log, stop, move |wire, _| note(wire, Arc::clone(&kept)))
        })?;
        Ok(Sink { service, first_bytes })
    }

    /// Connections so far; a test wants 0.
    pub fn hits(&self) -> usize {
        self.service.connections()
    }

    /// What each connection sent first, up to 4 KiB: enough to see a credential in it.
    pub fn first_bytes(&self) -> Vec<Bytes> {
        self.first_bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `https://127.0.0.1:PORT`.
    pub fn origin(&self) -> String {
        self.service.origin()
    }

    /// `127.0.0.1:PORT`.
    pub fn authority(&self) -> String {
        self.service.address().to_string()
    }

    pub fn port(&self) -> u16 {
        self.service.port()
    }
}

async fn note(mut wire: Wire, kept: Arc<Mutex<Vec<Bytes>>>) {
    let mut buffer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(1), wire.read(&mut buffer)).await;
    let length = read.ok().and_then(Result::ok).unwrap_or(0);
    buffer.truncate(length);
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < KEPT {
        kept.push(buffer.into());
    }
}

const KEPT: usize = 1024;
