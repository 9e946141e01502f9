//! Steps that give privileges up.

use super::super::encode::{Encoder, List};
use super::errno;

/// rt_sigprocmask(2) with the kernel's own set of 64 bits.
pub(super) fn signals(e: &mut Encoder, list: List, how: i32, signals: &[i32]) {
    let set: u64 = signals.iter().map(|signal| 1_u64 << (signal - 1)).sum();
    let set = e.bytes(&set.to_ne_bytes());
    e.call(list, libc::SYS_rt_sigprocmask, &[how.into(), set.into(), 0.into(), 8.into()]);
}

pub(super) fn no_new_privs(e: &mut Encoder, list: List) {
    let yes = libc::PR_SET_NO_NEW_PRIVS;
    e.call(list, libc::SYS_prctl, &[yes.into(), 1.into(), 0.into(), 0.into(), 0.into()]);
}

pub(super) fn drop_capabilities(e: &mut Encoder, list: List) {
    // More than any kernel has; those it does not know are EINVAL.
    for capability in 0..=47_i32 {
        e.call(list, libc::SYS_prctl, &[libc::PR_CAPBSET_DROP.into(), capability.into()])
            .tolerate = errno(libc::EINVAL);
    }
    // SECBIT_NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, each locked, and
    // KEEP_CAPS locked off (`uapi/linux/securebits.h`).
    const LOCKED: i32 = 0b1110_1111;
    e.call(list, libc::SYS_prctl, &[libc::PR_SET_SECUREBITS.into(), LOCKED.into()]);
    // _LINUX_CAPABILITY_VERSION_3, this process; three sets of 64 bits, empty.
    let mut header = 0x2008_0522_u32.to_ne_bytes().to_vec();
    header.extend_from_slice(&0_u32.to_ne_bytes());
    let header = e.bytes(&header);
    let sets = e.bytes(&[0; 24]);
    e.call(list, libc::SYS_capset, &[header.into(), sets.into()]);
}

pub(super) fn seccomp(e: &mut Encoder, list: List, filter: &[u8]) {
    let instructions = e.bytes(filter);
    // `struct sock_fprog`: a 16-bit length, padding, a pointer.
    let mut program = u16::try_from(filter.len() / 8).unwrap_or(u16::MAX).to_ne_bytes().to_vec();
    program.resize(16, 0);
    let program = e.bytes(&program);
    e.patch_pointer(list, program.plus(8), instructions);
    // SECCOMP_SET_MODE_FILTER, no flags.
    e.call(list, libc::SYS_seccomp, &[1.into(), 0.into(), program.into()]);
}
