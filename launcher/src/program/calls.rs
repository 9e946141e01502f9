//! Making the calls of a list, in order, until one fails.

use crate::call;
use crate::message::Message;
use crate::sys::{self, NR, exit};
use crate::wire::{
    Call, NO_SLOT, POINTER, PSEUDO_LIVES, PSEUDO_POINTERS, PSEUDO_STORE, PSEUDO_USER_NAMESPACE, SLOT,
    Span,
};

/// A call that failed: the plan's step it belongs to, and what the system said.
pub struct Failure {
    pub step: u32,
    pub errno: i32,
}

/// Makes every call of `span`.
pub fn make(message: &mut Message, span: Span) -> Result<(), Failure> {
    for index in 0..span.count {
        let record = message.call_at(span, index);
        let fail = |errno| Failure { step: record.step, errno };
        match make_one(message, &record) {
            Ok(result) if record.save != NO_SLOT => {
                match message.slots.get_mut(record.save as usize) {
                    Some(slot) => *slot = result,
                    None => exit(77),
                }
            }
            Ok(_) => {}
            Err(errno) if record.tolerate != 0 && errno == record.tolerate as i32 => {}
            Err(errno) => return Err(fail(errno)),
        }
    }
    Ok(())
}

fn make_one(message: &mut Message, record: &Call) -> Result<u64, i32> {
    match record.number {
        PSEUDO_STORE => {
            let value = slot(message, record.args[1]);
            message.store(record.args[0], value as u32);
            Ok(0)
        }
        PSEUDO_POINTERS => {
            for index in 0..record.args[1] {
                let at = record.args[0] + index * 8;
                let address = message.address(message.word(at));
                message.store(at, address);
            }
            Ok(0)
        }
        PSEUDO_USER_NAMESPACE => user_namespace(message, record),
        PSEUDO_LIVES => lives(slot(message, record.args[0])),
        number => {
            let mut args = [0; 6];
            for (index, arg) in args.iter_mut().enumerate() {
                *arg = match record.kinds[index] {
                    POINTER => message.address(record.args[index]),
                    SLOT => slot(message, record.args[index]),
                    _ => record.args[index],
                };
            }
            // SAFETY: the list comes from the host, which trusts us no more
            // than we trust it: the kernel crate's encoder is the one place
            // that writes such calls, and its pointers are offsets into this
            // message, checked above, with the lengths it put beside them.
            let result = unsafe { sys::syscall6(number, args) };
            if (-4095..0).contains(&result) { Err(-result as i32) } else { Ok(result as u64) }
        }
    }
}

fn slot(message: &Message, index: u64) -> u64 {
    message.slots.get(index as usize).copied().unwrap_or_else(|| exit(77))
}

/// Looks whether a process has ended: its pidfd is readable then.
fn lives(pidfd: u64) -> Result<u64, i32> {
    /// `struct pollfd`.
    #[repr(C)]
    struct Poll {
        fd: i32,
        events: i16,
        returned: i16,
    }
    const POLLIN: i16 = 1;
    const ESRCH: i32 = 3;
    let mut poll = Poll { fd: pidfd as i32, events: POLLIN, returned: 0 };
    let now = [0_u64; 2];
    match call(NR.ppoll, &[&raw mut poll as u64, 1, now.as_ptr() as u64, 0])? {
        0 => Ok(0),
        _ => Err(ESRCH),
    }
}

/// Makes a user namespace with the given maps and returns a descriptor of it.
///
/// A namespace needs a process to be made by; ours only waits to be killed.
fn user_namespace(message: &Message, record: &Call) -> Result<u64, i32> {
    const CLONE_NEWUSER: u64 = 0x1000_0000;
    const SIGKILL: u64 = 9;
    const PR_SET_PDEATHSIG: u64 = 1;
    let own = call(NR.getpid, &[])?;
    let pid = crate::run::clone(CLONE_NEWUSER, None)?;
    if pid == 0 {
        // If we end first it ends too, even if that was before it could ask.
        let _ = call(NR.prctl, &[PR_SET_PDEATHSIG, SIGKILL]);
        if call(NR.getppid, &[]) != Ok(own) {
            exit(0);
        }
        loop {
            let _ = call(NR.ppoll, &[0, 0, 0, 0]);
        }
    }
    let maps = write_map(pid, b"uid_map", message.address(record.args[0]), record.args[1])
        .and_then(|()| write_map(pid, b"gid_map", message.address(record.args[2]), record.args[3]));
    let namespace = maps.and_then(|()| open(pid, b"ns/user", 0));
    let _ = call(NR.kill, &[pid, SIGKILL]);
    let _ = call(NR.wait4, &[pid, 0, 0, 0]);
    namespace
}

fn write_map(pid: u64, name: &[u8], text: u64, length: u64) -> Result<(), i32> {
    const O_WRONLY: u64 = 1;
    let file = open(pid, name, O_WRONLY)?;
    let written = call(NR.write, &[file, text, length]);
    let _ = call(NR.close, &[file]);
    written.map(|_| ())
}

/// Opens `/proc/<pid>/<name>`.
fn open(pid: u64, name: &[u8], flags: u64) -> Result<u64, i32> {
    const AT_FDCWD: u64 = -100_i64 as u64;
    const O_CLOEXEC: u64 = 0o2_000_000;
    let mut path = [0_u8; 40];
    let mut length = 0;
    let mut push = |bytes: &[u8]| {
        for byte in bytes {
            path[length] = *byte;
            length += 1;
        }
    };
    push(b"/proc/");
    let mut digits = [0_u8; 10];
    let mut at = digits.len();
    let mut rest = pid;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    push(&digits[at..]);
    push(b"/");
    push(name);
    call(NR.openat, &[AT_FDCWD, path.as_ptr() as u64, flags | O_CLOEXEC])
}
