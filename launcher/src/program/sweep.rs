//! An init without a PID namespace: what the guest leaves, it ends by hand.
//!
//! It is the subreaper of everything the guest starts, so whatever is orphaned
//! becomes its child, sessions and double forks or not. SIGTERM asks it to end
//! all of it, where an init of a namespace is just killed; the plan has blocked
//! that signal and SIGCHLD, and they are taken here one by one.

use crate::message::report;
use crate::run::{NO_HANG, WAIT_FOR_ANY, wait};
use crate::sys::{NR, exit};
use crate::wire::{Event, Report};
use crate::call;

const SIGKILL: u64 = 9;
const SIGTERM: u64 = 15;
const SIGCHLD: u64 = 17;

/// Waits for the guest to end, or to be told to end it, and leaves nothing.
pub fn wait_for(guest: u64, report_end: u64) -> ! {
    loop {
        match wait(WAIT_FOR_ANY, NO_HANG) {
            (Ok(0), _) => {}
            (Ok(pid), ended) if pid == guest => {
                report(report_end, &Report { event: Event::Ended as u32, ..ended });
                end_all();
                exit(0)
            }
            (Ok(_), _) => continue,
            (Err(_), _) => exit(1),
        }
        // Nothing has ended: a signal says when to look again.
        if next_signal() == Ok(SIGTERM) {
            end_all();
            exit(0)
        }
    }
}

/// Takes the next SIGTERM or SIGCHLD.
fn next_signal() -> Result<u64, i32> {
    let set: u64 = 1 << (SIGTERM - 1) | 1 << (SIGCHLD - 1);
    call(NR.rt_sigtimedwait, &[&raw const set as u64, 0, 0, size_of::<u64>() as u64])
}

/// Kills our children until there are none. The children of those become ours
/// when they die. A process with a SIGKILL pending cannot fork any more, so it
/// comes to an end unless somebody forks faster than we can read a list, time
/// after time.
fn end_all() {
    loop {
        kill_children();
        if wait(WAIT_FOR_ANY, 0).0.is_err() {
            return;
        }
    }
}

/// Kills every child that the kernel lists: pids, each followed by a space.
fn kill_children() {
    const AT_FDCWD: u64 = -100_i64 as u64;
    let path = c"/proc/thread-self/children".as_ptr() as u64;
    let Ok(list) = call(NR.openat, &[AT_FDCWD, path, 0, 0]) else { return };
    let mut pid = 0;
    loop {
        let mut bytes = [0_u8; 1024];
        let read = call(NR.read, &[list, bytes.as_mut_ptr() as u64, bytes.len() as u64]);
        let Ok(read @ 1..) = read else { break };
        for byte in &bytes[..read as usize] {
            match byte {
                b'0'..=b'9' => pid = pid * 10 + u64::from(byte - b'0'),
                _ if pid != 0 => {
                    let _ = call(NR.kill, &[pid, SIGKILL]);
                    pid = 0;
                }
                _ => {}
            }
        }
    }
    let _ = call(NR.close, &[list]);
}
