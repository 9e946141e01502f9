//! A thread whose system calls of one kind fail.
#![expect(unsafe_code, reason = "a filter is installed by system calls")]

/// Runs `work` in a thread in which, and in whatever it starts, the call `number`
/// fails with `errno`: always, or where its first argument is this one.
pub(crate) fn in_thread_without<T: Send>(
    number: libc::c_long,
    first: Option<i32>,
    errno: i32,
    work: impl FnOnce() -> T + Send,
) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            fail(u32::try_from(number).unwrap(), first, errno.cast_unsigned());
            work()
        });
        thread.join().unwrap()
    })
}

fn fail(number: u32, first: Option<i32>, errno: u32) {
    // Opcodes of `uapi/linux/bpf_common.h`, actions of `uapi/linux/seccomp.h`.
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ERRNO: u32 = 0x0005_0000;
    const ALLOW: u32 = 0x7fff_0000;
    let instruction = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // Offsets in `struct seccomp_data`: the number, the first argument's low word.
    const NUMBER: u32 = 0;
    const FIRST: u32 = 16;
    // Without an argument to compare, the comparison comes out equal both ways.
    let (equal, other) = (0, u8::from(first.is_some()));
    let first = first.unwrap_or_default().cast_unsigned();
    let filter = [
        instruction(LOAD_WORD, 0, 0, NUMBER),
        instruction(JUMP_IF_EQUAL, 0, 3, number),
        instruction(LOAD_WORD, 0, 0, FIRST),
        instruction(JUMP_IF_EQUAL, equal, other, first),
        instruction(RETURN, 0, 0, ERRNO | errno),
        instruction(RETURN, 0, 0, ALLOW),
    ];
    let program = libc::sock_fprog { len: 6, filter: filter.as_ptr().cast_mut() };
    // SAFETY: a flag of this thread, without an address.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(result, 0);
    // SAFETY: `program` and the six instructions it points to are locals that
    // live until the call returns; the kernel copies them.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
