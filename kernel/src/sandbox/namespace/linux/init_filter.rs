//! The filter of init: once the guest is forked it waits, reports and exits.

/// `struct sock_filter` instructions as bytes, for `SECCOMP_SET_MODE_FILTER`.
///
/// Anything but the listed calls, and any call of a foreign architecture, ends
/// init and with it the sandbox.
pub(super) fn bytes() -> Vec<u8> {
    // Opcodes of `uapi/linux/bpf_common.h`.
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // Offsets in `struct seccomp_data`.
    const NUMBER: u32 = 0;
    const ARCH: u32 = 4;
    // `uapi/linux/seccomp.h`.
    const ALLOW: u32 = 0x7fff_0000;
    const KILL_PROCESS: u32 = 0x8000_0000;
    // `uapi/linux/audit.h`.
    const NATIVE: u32 = if cfg!(target_arch = "aarch64") { 0xc000_00b7 } else { 0xc000_003e };
    const CALLS: [libc::c_long; 4] =
        [libc::SYS_wait4, libc::SYS_sendto, libc::SYS_exit_group, libc::SYS_restart_syscall];

    let mut bytes = Vec::new();
    let mut push = |code: u16, if_true: u8, if_false: u8, operand: u32| {
        bytes.extend(code.to_ne_bytes());
        bytes.extend([if_true, if_false]);
        bytes.extend(operand.to_ne_bytes());
    };
    push(LOAD_WORD, 0, 0, ARCH);
    push(JUMP_IF_EQUAL, 1, 0, NATIVE);
    push(RETURN, 0, 0, KILL_PROCESS);
    push(LOAD_WORD, 0, 0, NUMBER);
    for call in CALLS {
        // Equal: on to the return below; else over it.
        push(JUMP_IF_EQUAL, 0, 1, u32::try_from(call).unwrap_or(u32::MAX));
        push(RETURN, 0, 0, ALLOW);
    }
    push(RETURN, 0, 0, KILL_PROCESS);
    bytes
}
