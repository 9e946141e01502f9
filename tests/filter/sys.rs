//! Raw system calls, and a thread with a filter of its own.
#![expect(unsafe_code, reason = "system calls by number are what is tested")]

use kernel::sandbox::seccomp::Filter;

/// The call `number` with these arguments: its result, or the errno.
///
/// For calls that touch no memory of ours: arguments that are addresses are
/// null or invalid, and what a call opens is closed again.
pub(crate) fn call(number: i64, arguments: [i64; 6]) -> Result<i64, i32> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the callers pass no address of live memory, see above.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or_default());
    }
    if number == libc::SYS_socket {
        let descriptor = i32::try_from(result).unwrap_or(-1);
        // SAFETY: the descriptor was made by the call above and is no one else's.
        unsafe { libc::close(descriptor) };
    }
    Ok(result)
}

/// Runs `work` in a thread that has installed `filter`, and ends it.
pub(crate) fn in_thread_under<T: Send + 'static>(
    filter: &Filter,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let program = filter.to_bytes();
    let thread = std::thread::spawn(move || {
        install(&program);
        work()
    });
    thread.join().unwrap()
}

fn install(program: &[u8]) {
    // The kernel wants `struct sock_filter`, which is aligned to four bytes.
    let words: Vec<u32> = program
        .chunks_exact(4)
        .map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(words.len() / 2).unwrap(),
        filter: words.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: a flag of this thread, without an address.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(result, 0);
    // SAFETY: `program` and the `len` instructions it points to live until the
    // call returns, and the kernel only reads them.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
