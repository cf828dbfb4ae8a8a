//! What a process does to itself so that others see less of it.
//!
//! [`WipingAllocator`] overwrites every block of memory as it is freed, so that a copy of a secret which some library
//! made (a header buffer, a parsed string) does not outlive its use. [`harden`] makes the process non-dumpable and
//! forbids core files. [`unwanted_variables`] names the variables that would change how TLS, logging or loading work.
//!
//! [`raise_file_limit`] makes room for many connections. On macOS, `launchd_sockets` asks for the sockets that launchd holds.
//!
//! The unsafe code of the host is here and in one function of the runtime that loads providers compiled by our own build.

#[cfg(target_os = "macos")]
mod launchd;

use std::alloc::{GlobalAlloc, Layout, System};

#[cfg(not(target_vendor = "apple"))]
use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[cfg(target_os = "macos")]
pub use launchd::launchd_sockets;

/// The system's allocator, with every block overwritten by zeros before it is given back.
///
/// `realloc` is not forwarded: the default of the trait allocates, copies and frees, so a buffer that grows leaves no
/// copy behind.
pub struct WipingAllocator;

#[expect(unsafe_code, reason = "an allocator is an unsafe trait; each block says why it is sound")]
// SAFETY: every method forwards to `System`, which upholds the contract of `GlobalAlloc`; `dealloc` only writes inside
// the block that its caller gives back.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc` (a layout of non-zero size), which is `System`'s own.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller hands over a live block of `layout.size()` bytes from this allocator, which nobody else
        // uses any more: it may be written, and then it goes back to where it came from. The barrier keeps the compiler
        // from dropping the write as dead.
        unsafe {
            std::ptr::write_bytes(block, 0, layout.size());
            std::arch::asm!("/* {0} */", in(reg) block, options(nostack, preserves_flags));
            System.dealloc(block, layout);
        }
    }
}

/// What could not be done, in words for the person.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Warnings(pub Vec<String>);

/// Makes this process non-dumpable (no core file, no attaching, no reading of `/proc/PID/mem` by the same user) and sets
/// the core limit to nothing. Call it first of all, and [`still_hardened`] before each unlock.
pub fn harden() -> Warnings {
    let mut warnings = Vec::new();
    if let Err(why) = forbid_dumps() {
        warnings.push(format!("this process can be dumped by its own user: {why}"));
    }
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        warnings.push(format!("core files could not be forbidden: {error}"));
    }
    if let Some(tracer) = tracer() {
        warnings.push(format!("process {tracer} is tracing this one and can read its memory"));
    }
    Warnings(warnings)
}

/// Raises the soft limit of open files to the hard one, and gives back what it is then. Each connection is a file, and
/// the soft limit of many systems is 1,024.
pub fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // macOS says "none" for the hard limit, and takes no soft one over OPEN_MAX.
    const OPEN_MAX: u64 = 10_240;
    for wanted in [limit.maximum, Some(limit.maximum.map_or(OPEN_MAX, |most| most.min(OPEN_MAX)))] {
        if setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum: limit.maximum }).is_ok() {
            break;
        }
    }
    // What holds now, whatever became of that.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(not(target_vendor = "apple"))]
fn forbid_dumps() -> Result<(), String> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| error.to_string())
}

#[cfg(target_vendor = "apple")]
fn forbid_dumps() -> Result<(), String> {
    Err("macOS forbids it by how the program is signed, which this one does not look at".to_owned())
}

/// Keeps all memory of this process out of swap, where the limit allows it.
#[cfg(not(target_vendor = "apple"))]
pub fn lock_memory() -> Result<(), String> {
    // Only pages as they are touched: locking all that is mapped would count the providers' reserved address space.
    let flags =
        rustix::mm::MlockAllFlags::CURRENT | rustix::mm::MlockAllFlags::FUTURE | rustix::mm::MlockAllFlags::ONFAULT;
    rustix::mm::mlockall(flags).map_err(|error| error.to_string())
}

/// Keeps all memory of this process out of swap: macOS has no call for it, and encrypts its swap.
#[cfg(target_vendor = "apple")]
pub fn lock_memory() -> Result<(), String> {
    Err("macOS locks no whole process".to_owned())
}

/// Whether the process is still as [`harden`] left it: an exec or a change of credentials would undo it, and a tracer
/// may have come.
pub fn still_hardened() -> Result<(), String> {
    #[cfg(not(target_vendor = "apple"))]
    match dumpable_behavior() {
        Ok(DumpableBehavior::NotDumpable) => {}
        Ok(_) => return Err("the daemon's memory can be read by other programs of its user".to_owned()),
        Err(error) => return Err(format!("whether the daemon can be dumped is unknown: {error}")),
    }
    match tracer() {
        None => Ok(()),
        Some(tracer) => Err(format!("process {tracer} is tracing the daemon and can read its memory")),
    }
}

/// The process that traces this one.
pub fn tracer() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    line.trim().parse().ok().filter(|pid| *pid != 0)
}

/// Variables that the daemon starts without, and so does whoever it starts: they would redirect its traffic, change the
/// roots that it trusts, write session keys or secrets to a file, or load code into it.
pub const SCRUBBED: [&str; 14] = [
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "OPENSSL_CONF",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "RUST_LOG",
    "RUST_MIN_STACK",
    "SSLKEYLOGFILE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TOKIO_CONSOLE",
    "TOKIO_CONSOLE_BIND",
];
const SCRUBBED_PREFIXES: [&str; 4] = ["LD_", "DYLD_", "MALLOC_", "GLIBC_"];

/// Whether a variable is one of [`SCRUBBED`], in any case, or begins like one that steers the loader.
pub fn is_scrubbed(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    SCRUBBED.contains(&upper.as_str()) || SCRUBBED_PREFIXES.iter().any(|prefix| upper.starts_with(prefix))
}

/// The names in this process's environment that should not be there. The daemon replaces itself without them before it
/// starts a thread, since a variable can only be removed safely while there is one.
pub fn unwanted_variables() -> Vec<String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(|name| is_scrubbed(name)).collect()
}
