//! What the launcher's host side needs of the system and the standard library
//! does not offer. The one file of this back end with unsafe code.

#![expect(unsafe_code, reason = "the raw layer of the namespace back end")]

use std::ffi::{CStr, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use neuroflow_launcher::wire::{Call, Header, Report};

/// Plain old data that may travel as its bytes.
///
/// # Safety
///
/// `repr(C)`, no padding, and any bytes are a value.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: words of 4 and 8 bytes; the 8-byte ones lie at multiples of 8 and the
// sizes are multiples of 8 (`records_have_no_padding` adds them up).
unsafe impl Plain for Header {}
// SAFETY: as above.
unsafe impl Plain for Call {}
// SAFETY: as above.
unsafe impl Plain for Report {}

/// The bytes of a record.
pub(super) fn bytes_of<T: Plain>(record: &T) -> &[u8] {
    // SAFETY: `T` has no padding, so all its bytes are initialised, and the
    // slice borrows `record`.
    unsafe { std::slice::from_raw_parts(ptr::from_ref(record).cast(), size_of::<T>()) }
}

/// A record from its bytes, if there are as many as it has.
pub(super) fn from_bytes<T: Plain>(bytes: &[u8]) -> Option<T> {
    if bytes.len() != size_of::<T>() {
        return None;
    }
    // SAFETY: as many bytes as `T` has, any of which make a value; unaligned.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Starts `/proc/self/fd/<n>` of the new process with an empty environment, in a
/// session of its own, with default signals, and with these descriptors and no
/// other: `targets` pairs ours with the number it shall have there. 0, 1 and 2
/// are /dev/null.
///
/// posix_spawn and not fork: the host may be large and have many threads, and
/// this neither copies its page tables nor runs its code.
pub(super) fn spawn(
    program: RawFd,
    name: &CStr,
    targets: &[(BorrowedFd<'_>, RawFd)],
) -> io::Result<libc::pid_t> {
    let first_unused = targets.iter().map(|(_, to)| to + 1).max().unwrap_or(3);
    let path = std::ffi::CString::new(format!("/proc/self/fd/{program}"))?;
    let mut actions = FileActions::new()?;
    for null in 0..3 {
        actions.open(null, c"/dev/null", libc::O_RDWR)?;
    }
    for (from, to) in targets {
        actions.dup2(from.as_raw_fd(), *to)?;
    }
    actions.close_from(first_unused)?;
    let attributes = Attributes::new()?;

    let argv = [name.as_ptr().cast_mut(), ptr::null_mut()];
    let envp: [*mut c_char; 1] = [ptr::null_mut()];
    let mut pid = 0;
    // SAFETY: all pointers are to live locals: a NUL-terminated path, arrays
    // that end with NULL, and initialised actions and attributes.
    let error = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            path.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            argv.as_ptr(),
            envp.as_ptr(),
        )
    };
    if error == 0 { Ok(pid) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// What posix_spawn does with descriptors in the child.
struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<Self> {
        let mut actions = std::mem::MaybeUninit::uninit();
        // SAFETY: init writes the whole object, or fails.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: the call above succeeded.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    fn open(&mut self, fd: RawFd, path: &CStr, flags: libc::c_int) -> io::Result<()> {
        // SAFETY: `self.0` is initialised, and the path is copied by the call.
        check(unsafe {
            libc::posix_spawn_file_actions_addopen(&raw mut self.0, fd, path.as_ptr(), flags, 0)
        })
    }

    fn dup2(&mut self, from: RawFd, to: RawFd) -> io::Result<()> {
        // SAFETY: `self.0` is initialised; the rest are numbers.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, from, to) })
    }

    fn close_from(&mut self, first: RawFd) -> io::Result<()> {
        // SAFETY: `self.0` is initialised; the rest is a number.
        check(unsafe { posix_spawn_file_actions_addclosefrom_np(&raw mut self.0, first) })
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once. It cannot fail on Linux.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

unsafe extern "C" {
    /// glibc 2.34; the libc crate does not declare it.
    fn posix_spawn_file_actions_addclosefrom_np(
        actions: *mut libc::posix_spawn_file_actions_t,
        first: libc::c_int,
    ) -> libc::c_int;
}

/// New session, no signal blocked or ignored.
struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Self> {
        let mut attributes = std::mem::MaybeUninit::uninit();
        // SAFETY: init writes the whole object, or fails.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: the call above succeeded.
        let mut attributes = Self(unsafe { attributes.assume_init() });

        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset writes the whole set.
        unsafe { libc::sigemptyset(none.as_mut_ptr()) };
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset writes the whole set.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: `attributes` and the set are initialised.
        check(unsafe { libc::posix_spawnattr_setsigmask(&raw mut attributes.0, none.as_ptr()) })?;
        // SAFETY: likewise.
        check(unsafe { libc::posix_spawnattr_setsigdefault(&raw mut attributes.0, all.as_ptr()) })?;
        let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID;
        let flags = libc::c_short::try_from(flags).unwrap_or(0);
        // SAFETY: likewise; the flags are a number.
        check(unsafe { libc::posix_spawnattr_setflags(&raw mut attributes.0, flags) })?;
        Ok(attributes)
    }
}

/// glibc 2.26; `spawn.h`.
const POSIX_SPAWN_SETSID: libc::c_int = 0x80;

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once. It cannot fail on Linux.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

/// The posix_spawn family returns its error.
fn check(error: libc::c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// The revision of Landlock this kernel offers, 0 for none: it is asked, which
/// fails where Landlock is not built in or not switched on.
pub(super) fn landlock_abi() -> u32 {
    const LANDLOCK_CREATE_RULESET_VERSION: libc::c_int = 1;
    let no_attributes = ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call takes no attributes and returns a number.
    let abi = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            no_attributes,
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(abi).unwrap_or(0)
}

/// Whether the kernel would take a seccomp filter: it is asked for the action
/// that ours needs most.
pub(super) fn seccomp_available() -> bool {
    const SECCOMP_GET_ACTION_AVAIL: libc::c_int = 2;
    let kill_process: u32 = 0x8000_0000;
    // SAFETY: the call reads 4 bytes at the address of a live local.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &raw const kill_process)
    };
    answer == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_no_padding() {
        assert_eq!(size_of::<Header>(), 4 * 4 + 8 + 4 * 4 + 4 * 8);
        assert_eq!(size_of::<Call>(), 4 * 4 + 8 + 6 * 8);
        assert_eq!(size_of::<Report>(), 4 * 4 + 3 * 8);
    }
}
