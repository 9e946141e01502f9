//! The kernel's door: one raw system call per architecture, the program's entry
//! point, and the few memory routines that the compiler expects to find.

use core::arch::{asm, global_asm};

/// A system call with six arguments; a negative result is `-errno`.
///
/// # Safety
///
/// The arguments must be what this system call expects: pointers valid for as
/// long and as far as the kernel uses them.
#[cfg(target_arch = "x86_64")]
pub unsafe fn syscall6(number: u32, args: [u64; 6]) -> i64 {
    let result: i64;
    // SAFETY: the x86-64 system call convention: number in rax, arguments in
    // rdi rsi rdx r10 r8 r9; the instruction destroys rcx and r11. What the call
    // does to memory is our caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") u64::from(number) => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// A system call with six arguments; a negative result is `-errno`.
///
/// # Safety
///
/// As for the other architecture above.
#[cfg(target_arch = "aarch64")]
pub unsafe fn syscall6(number: u32, args: [u64; 6]) -> i64 {
    let result: i64;
    // SAFETY: the AArch64 convention: number in x8, arguments in x0 to x5, the
    // result in x0. What the call does to memory is our caller's promise.
    unsafe {
        asm!("svc 0", in("x8") u64::from(number), inlateout("x0") args[0] => result,
            in("x1") args[1], in("x2") args[2], in("x3") args[3],
            in("x4") args[4], in("x5") args[5], options(nostack));
    }
    result
}

// The kernel enters with the stack pointer at argc, aligned to 16 bytes. A
// function expects to be entered by a call, so the entry point makes one.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {main}", "ud2",
    main = sym crate::main);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, xzr", "mov x30, xzr", "bl {main}", "brk 1",
    main = sym crate::main);

/// Copies memory; the compiler emits calls to it for large moves.
///
/// # Safety
///
/// As C's `memcpy`: both valid for `count` bytes, not overlapping.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    let mut at = 0;
    while at < count {
        // SAFETY: `at < count`, and both are valid for `count` bytes. Volatile,
        // so that the compiler does not turn this loop into a call of itself.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
        at += 1;
    }
    to
}

/// Copies memory that may overlap; the compiler emits calls to it for loops.
///
/// # Safety
///
/// As C's `memmove`: both valid for `count` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if to.cast_const() <= from {
        // SAFETY: both are valid for `count` bytes; copying upwards reads every
        // byte before it is overwritten, since the target lies below.
        return unsafe { memcpy(to, from, count) };
    }
    let mut left = count;
    while left > 0 {
        left -= 1;
        // SAFETY: `left < count`; downwards, since the target lies above.
        unsafe { to.add(left).write_volatile(from.add(left).read_volatile()) };
    }
    to
}

/// Fills memory; the compiler emits calls to it for large arrays.
///
/// # Safety
///
/// As C's `memset`: `to` is valid for `count` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    let mut at = 0;
    while at < count {
        // SAFETY: `at < count` and `to` is valid for `count` bytes. Volatile for
        // the same reason as above.
        unsafe { to.add(at).write_volatile(byte as u8) };
        at += 1;
    }
    to
}

/// Names what `core`, which is compiled to unwind, refers to. This program is
/// compiled to abort, so it is never called.
#[unsafe(no_mangle)]
pub extern "C" fn rust_eh_personality() {}

/// There is nobody to tell; ends the process.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    exit(70)
}

/// Ends this process, all its threads.
pub fn exit(code: u32) -> ! {
    loop {
        // SAFETY: exit_group takes a number and does not return.
        unsafe { syscall6(NR.exit_group, [u64::from(code), 0, 0, 0, 0, 0]) };
    }
}

/// The numbers of the system calls the launcher makes on its own account; those
/// of the plan come with the message. From the kernel's `asm/unistd_64.h` and
/// `asm-generic/unistd.h`.
pub struct Numbers {
    pub clone: u32,
    pub clone3: u32,
    pub close: u32,
    pub close_range: u32,
    pub epoll_create1: u32,
    pub epoll_ctl: u32,
    pub epoll_pwait: u32,
    pub exit_group: u32,
    pub fcntl: u32,
    pub ioctl: u32,
    pub getpid: u32,
    pub getppid: u32,
    pub kill: u32,
    pub mmap: u32,
    pub munmap: u32,
    pub openat: u32,
    pub ppoll: u32,
    pub prctl: u32,
    pub prlimit64: u32,
    pub read: u32,
    pub recvmsg: u32,
    pub rt_sigtimedwait: u32,
    pub sendmsg: u32,
    pub sendto: u32,
    pub wait4: u32,
    pub write: u32,
}

#[cfg(target_arch = "x86_64")]
pub const NR: Numbers = Numbers {
    clone: 56,
    clone3: 435,
    close: 3,
    close_range: 436,
    epoll_create1: 291,
    epoll_ctl: 233,
    epoll_pwait: 281,
    exit_group: 231,
    fcntl: 72,
    ioctl: 16,
    getpid: 39,
    getppid: 110,
    kill: 62,
    mmap: 9,
    munmap: 11,
    openat: 257,
    ppoll: 271,
    prctl: 157,
    prlimit64: 302,
    read: 0,
    recvmsg: 47,
    rt_sigtimedwait: 128,
    sendmsg: 46,
    sendto: 44,
    wait4: 61,
    write: 1,
};

#[cfg(target_arch = "aarch64")]
pub const NR: Numbers = Numbers {
    clone: 220,
    clone3: 435,
    close: 57,
    close_range: 436,
    epoll_create1: 20,
    epoll_ctl: 21,
    epoll_pwait: 22,
    exit_group: 94,
    fcntl: 25,
    ioctl: 29,
    getpid: 172,
    getppid: 173,
    kill: 129,
    mmap: 222,
    munmap: 215,
    openat: 56,
    ppoll: 73,
    prctl: 167,
    prlimit64: 261,
    read: 63,
    recvmsg: 212,
    rt_sigtimedwait: 137,
    sendmsg: 211,
    sendto: 206,
    wait4: 260,
    write: 64,
};
