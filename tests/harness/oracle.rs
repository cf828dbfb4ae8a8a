//! The end of a test: the daemon is stopped, and everything that came out is looked at.
//!
//! No secret of the test, in any encoding, is in any output, answer, log, entry or file; every request at a service carried
//! its own key exactly once and nobody else's; nobody but the services was connected to; the trail is whole.

use std::sync::atomic::Ordering;

use super::Kv;
use super::canary::count;
use super::home::lock;

impl Drop for Kv {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test has failed already; what is left is to end what it started, and nothing else.
            drop(lock(&self.daemon).take());
            eprintln!("the daemon's log:\n{}", self.log());
            return;
        }
        self.stop();
        let mut wrong = self.leaks();
        wrong.extend(self.misplaced_keys());
        if self.sink.hits() > 0 {
            wrong.push(format!("a proxy of the environment was used: {:?}", self.sink.first_bytes()));
        }
        if self.beside("tls-keys").exists() {
            wrong.push("TLS keys were written where the environment said".to_owned());
        }
        if !self.trail_is_odd.load(Ordering::SeqCst) {
            wrong.extend(self.check_trail().err());
        }
        assert!(wrong.is_empty(), "after the test:\n{}", wrong.join("\n"));
    }
}

impl Kv {
    /// Where which secret was found, in which form.
    fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        let mut search = |place: &str, bytes: &[u8]| {
            for canary in lock(&self.canaries).iter() {
                if let Some(form) = canary.found_in(bytes) {
                    leaks.push(format!("{}, {form}, is in {place}", canary.name));
                }
            }
        };
        for (what, bytes) in lock(&self.seen).iter() {
            search(what, bytes);
        }
        for (path, bytes) in self.files(&self.root()) {
            search(&path.display().to_string(), &bytes);
            search("the name of a file", path.display().to_string().as_bytes());
        }
        leaks
    }

    /// Requests that did not carry their service's key once, or carried another secret.
    fn misplaced_keys(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (service, own) in lock(&self.services).iter() {
            for request in service.requests() {
                let bytes = request.to_bytes();
                for canary in lock(&self.canaries).iter() {
                    let times = count(&bytes, canary.value.as_bytes());
                    let right = match own {
                        Some(own) if own.value == canary.value => times == 1 && request.bearer() == Some(&own.value),
                        Some(_) => times == 0,
                        None => true,
                    };
                    if !right {
                        wrong.push(format!("{} stands {times} times in {request:?}", canary.name));
                    }
                }
            }
        }
        wrong
    }
}
