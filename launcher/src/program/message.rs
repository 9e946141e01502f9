//! Receiving a message and its descriptors, and sending reports.

use crate::sys::{NR, exit};
use crate::wire::{Event, Header, INLINE_MAX, MAGIC, MAX_SLOTS, Report, Span};
use crate::{call, wire};

#[repr(C, align(16))]
struct Buffer([u8; INLINE_MAX]);

/// Where inline messages land. Static and not on the stack: pages that no
/// message reaches are never touched, in the launcher or in any init.
static mut BUFFER: Buffer = Buffer([0; INLINE_MAX]);

/// `struct iovec`.
#[repr(C)]
struct IoVec {
    base: *mut u8,
    length: u64,
}

/// `struct msghdr` of a 64-bit kernel.
#[repr(C)]
struct MessageHeader {
    name: u64,
    name_length: u64,
    vectors: *const IoVec,
    vector_count: u64,
    control: *mut Control,
    control_length: u64,
    flags: u64,
}

/// `struct cmsghdr` with room for descriptors behind it.
#[repr(C, align(8))]
struct Control {
    length: u64,
    level: i32,
    kind: i32,
    fds: [i32; MAX_SLOTS],
}

const CONTROL_HEADER: u64 = 16;
const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
const MSG_CMSG_CLOEXEC: u64 = 0x4000_0000;
const MSG_NOSIGNAL: u64 = 0x4000;

/// A message that has been received, with the descriptors that came along.
pub struct Message {
    base: *mut u8,
    length: usize,
    mapped: bool,
    /// Descriptors by slot; those that came with the message first.
    pub slots: [u64; MAX_SLOTS],
}

impl Message {
    /// Receives one. Ends the program when the socket is closed: the isolator
    /// that owned us is gone.
    pub fn receive(socket: u64) -> Self {
        let base = (&raw mut BUFFER).cast::<u8>();
        let mut vector = IoVec { base, length: INLINE_MAX as u64 };
        let mut control = Control { length: 0, level: 0, kind: 0, fds: [-1; MAX_SLOTS] };
        let mut header = MessageHeader {
            name: 0,
            name_length: 0,
            vectors: &raw mut vector,
            vector_count: 1,
            control: &raw mut control,
            control_length: size_of::<Control>() as u64,
            flags: 0,
        };
        let received = call(NR.recvmsg, &[socket, &raw mut header as u64, MSG_CMSG_CLOEXEC]);
        let Ok(received) = received else { exit(73) };
        if received < size_of::<Header>() as u64 {
            exit(0);
        }
        let mut message =
            Self { base, length: received as usize, mapped: false, slots: [u64::MAX; MAX_SLOTS] };
        if header.control_length > CONTROL_HEADER && control.kind == SCM_RIGHTS {
            let count = ((control.length - CONTROL_HEADER) / 4) as usize;
            for (slot, fd) in message.slots.iter_mut().zip(&control.fds[..count.min(MAX_SLOTS)]) {
                *slot = *fd as u64;
            }
        }
        if message.header().magic != MAGIC {
            exit(74);
        }
        if message.header().length as usize > message.length {
            message.map();
        }
        message
    }

    /// A large message's body lies in a memfd, the first descriptor.
    fn map(&mut self) {
        const PROT_READ_WRITE: u64 = 3;
        const MAP_PRIVATE: u64 = 2;
        let length = u64::from(self.header().length);
        let body = self.slots[0];
        match call(NR.mmap, &[0, length, PROT_READ_WRITE, MAP_PRIVATE, body, 0]) {
            Ok(address) => self.base = address as *mut u8,
            Err(_) => exit(75),
        }
        self.length = length as usize;
        self.mapped = true;
        let _ = call(NR.close, &[body]);
        for index in 1..MAX_SLOTS {
            self.slots[index - 1] = self.slots[index];
        }
        self.slots[MAX_SLOTS - 1] = u64::MAX;
    }

    /// The start of the message.
    pub fn header(&self) -> Header {
        // SAFETY: `receive` has seen at least a header's worth of bytes at
        // `base`, and `map` maps no less than it. Unaligned, to need no more.
        unsafe { self.base.cast::<Header>().read_unaligned() }
    }

    /// One call of a list.
    pub fn call_at(&self, span: Span, index: u32) -> wire::Call {
        let offset = span.offset as usize + index as usize * size_of::<wire::Call>();
        if offset + size_of::<wire::Call>() > self.length {
            exit(76);
        }
        // SAFETY: the whole record lies inside the message, as just checked;
        // any bytes make a `Call`, which is plain integers.
        unsafe { self.base.add(offset).cast::<wire::Call>().read_unaligned() }
    }

    /// The address of what lies at `offset`.
    pub fn address(&self, offset: u64) -> u64 {
        if offset as usize > self.length {
            exit(76);
        }
        self.base as u64 + offset
    }

    /// Writes a word of `T` at `offset`.
    pub fn store<T>(&mut self, offset: u64, value: T) {
        if offset as usize + size_of::<T>() > self.length {
            exit(76);
        }
        // SAFETY: the target lies inside the message, as just checked, and we
        // are its only owner: one thread, and nobody keeps references into it.
        unsafe { self.base.add(offset as usize).cast::<T>().write_unaligned(value) };
    }

    /// Reads the 64-bit word at `offset`.
    pub fn word(&self, offset: u64) -> u64 {
        if offset as usize + 8 > self.length {
            exit(76);
        }
        // SAFETY: the word lies inside the message, as just checked.
        unsafe { self.base.add(offset as usize).cast::<u64>().read_unaligned() }
    }

    /// Forgets the message: it holds one run's arguments and environment, which
    /// no other run may find in a copy of our memory.
    pub fn wipe(self) {
        if self.mapped {
            let _ = call(NR.munmap, &[self.base as u64, self.length as u64]);
        } else {
            // SAFETY: `base` is BUFFER, of which `length` bytes were received.
            unsafe { crate::sys::memset(self.base, 0, self.length) };
        }
    }
}

/// Sends a report; if nobody listens any more, nobody needs it.
pub fn report(socket: u64, report: &Report) {
    let length = size_of::<Report>() as u64;
    let _ = call(NR.sendto, &[socket, report as *const Report as u64, length, MSG_NOSIGNAL, 0, 0]);
}

/// Tells that `step` failed with `errno`.
pub fn report_failure(socket: u64, step: u32, errno: i32) {
    report(socket, &Report { event: Event::Failed as u32, step, errno, ..Report::default() });
}

/// Answers the host: a sandbox runs, and here is a pidfd of its init.
pub fn report_started(socket: u64, pid: i32, pidfd: u64) {
    let mut report = Report { event: Event::Done as u32, status: pid, ..Report::default() };
    let vector = IoVec { base: (&raw mut report).cast::<u8>(), length: size_of::<Report>() as u64 };
    let mut control = Control {
        length: CONTROL_HEADER + 4,
        level: SOL_SOCKET,
        kind: SCM_RIGHTS,
        fds: [-1; MAX_SLOTS],
    };
    control.fds[0] = pidfd as i32;
    let header = MessageHeader {
        name: 0,
        name_length: 0,
        vectors: &raw const vector,
        vector_count: 1,
        control: &raw mut control,
        control_length: 24,
        flags: 0,
    };
    let _ = call(NR.sendmsg, &[socket, &raw const header as u64, MSG_NOSIGNAL]);
}
