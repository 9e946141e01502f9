//! A thread whose system calls of one kind fail.
#![expect(unsafe_code, reason = "a filter is installed by system calls")]

/// Runs `work` in a thread in which, and in whatever it starts, the call `number`
/// fails with `errno`.
pub(crate) fn in_thread_without<T: Send>(
    number: libc::c_long,
    errno: i32,
    work: impl FnOnce() -> T + Send,
) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            fail(u32::try_from(number).unwrap(), errno.cast_unsigned());
            work()
        });
        thread.join().unwrap()
    })
}

fn fail(number: u32, errno: u32) {
    // Opcodes of `uapi/linux/bpf_common.h`, actions of `uapi/linux/seccomp.h`.
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ERRNO: u32 = 0x0005_0000;
    const ALLOW: u32 = 0x7fff_0000;
    let instruction = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let filter = [
        instruction(LOAD_WORD, 0, 0, 0),
        instruction(JUMP_IF_EQUAL, 0, 1, number),
        instruction(RETURN, 0, 0, ERRNO | errno),
        instruction(RETURN, 0, 0, ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_ptr().cast_mut() };
    // SAFETY: a flag of this thread, without an address.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(result, 0);
    // SAFETY: `program` and the four instructions it points to are locals that
    // live until the call returns; the kernel copies them.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
