//! Sockets that launchd holds for this process, by the names which its plist gives them.
//!
//! There is no other way to them than a C function of the system's library: unlike systemd, launchd announces nothing in
//! the environment. Compiled for macOS, and not yet run on one.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::{Errno, FdFlags, fcntl_setfd};

/// A plist gives a name one path, so one socket; more than this is no list of ours.
const MAX_SOCKETS: usize = 16;

#[expect(unsafe_code, reason = "the declarations of two functions of the system's library")]
// SAFETY: these are the signatures of <launch.h> and <stdlib.h>; `size_t` is `usize` on every Apple target.
unsafe extern "C" {
    fn launch_activate_socket(name: *const c_char, fds: *mut *mut c_int, count: *mut usize) -> c_int;
    fn free(block: *mut c_void);
}

/// The sockets of this name, closed at an exec. `None`: launchd did not start this process, or knows no such name. It hands
/// a name's sockets over once; a second question gets none.
pub fn launchd_sockets(name: &str) -> io::Result<Option<Vec<OwnedFd>>> {
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let (mut fds, mut count) = (ptr::null_mut::<c_int>(), 0_usize);
    #[expect(unsafe_code, reason = "launchd hands sockets over through this function alone")]
    // SAFETY: `name` is a C string that outlives the call; `fds` and `count` are places of the right types to write to.
    let code = unsafe { launch_activate_socket(name.as_ptr(), &raw mut fds, &raw mut count) };
    match Errno::from_raw_os_error(code) {
        _ if code == 0 => {}
        // Not launchd's child; a name that the plist does not have; handed over already.
        Errno::SRCH | Errno::NOENT | Errno::ALREADY => return Ok(None),
        other => return Err(other.into()),
    }
    if fds.is_null() || count > MAX_SOCKETS {
        return Err(io::ErrorKind::InvalidData.into());
    }
    #[expect(unsafe_code, reason = "the list is the system's, and the descriptors in it are ours from here on")]
    // SAFETY: the call succeeded, so `fds` points to `count` initialised descriptors in a block from `malloc`, which it
    // leaves to its caller to free, once, as is done here after the last look at it. The descriptors are open, were made for
    // this process, and nobody else in it knows them: each is owned by exactly one `OwnedFd`.
    let sockets: Vec<OwnedFd> = unsafe {
        let sockets = std::slice::from_raw_parts(fds, count).iter().map(|fd| OwnedFd::from_raw_fd(*fd)).collect();
        free(fds.cast());
        sockets
    };
    for socket in &sockets {
        fcntl_setfd(socket, FdFlags::CLOEXEC)?;
    }
    Ok(Some(sockets))
}
