//! Writing lists of system calls in the launcher's format.

use neuroflow_launcher::wire::{
    Call, Header, IMMEDIATE, Kind, MAGIC, NO_SLOT, POINTER, SLOT, Span,
};

/// One argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arg {
    /// The number itself. Negative numbers are sign-extended.
    Number(i64),
    /// The address of what [`Encoder::bytes`] and its kin have stored.
    Data(Data),
    /// What a slot holds.
    Slot(u32),
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<i32> for Arg {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Arg {
    fn from(number: u64) -> Self {
        // The kernel sees 64 bits; what they are called does not matter.
        Self::Number(number.cast_signed())
    }
}

impl From<Data> for Arg {
    fn from(data: Data) -> Self {
        Self::Data(data)
    }
}

/// Something stored in the message: its offset in the data part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Data(u64);

impl Data {
    /// The place `bytes` further on.
    pub(super) fn plus(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

/// Which list a call goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// The launcher's, when it has answered: for the next run.
    Next,
    /// Init's; the launcher's own in a set-up.
    Init,
    /// The guest's.
    Guest,
    /// Init's, once the guest is forked.
    After,
}

/// A message being written.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    lists: [Vec<Call>; 4],
    data: Vec<u8>,
    /// The step that calls are recorded under.
    step: u32,
}

/// What the header of a message says beside its lists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clone {
    /// Namespaces.
    pub(super) flags: u64,
    /// Slot of the report socket.
    pub(super) report_slot: u32,
    /// Slot of the cgroup to be born in.
    pub(super) cgroup_slot: Option<u32>,
    /// Steps to name when cloning init or forking the guest fails.
    pub(super) clone_step: u32,
    /// Likewise.
    pub(super) fork_step: u32,
}

impl Encoder {
    /// Calls from here on belong to the plan's step `step`.
    pub(super) fn step(&mut self, step: usize) {
        self.step = u32::try_from(step).unwrap_or(u32::MAX);
    }

    /// Stores bytes, aligned for any structure.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Data {
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        let at = self.data.len() as u64;
        self.data.extend_from_slice(bytes);
        Data(at)
    }

    /// Stores a C string. The text has no NUL: paths and names of a policy were
    /// checked for that.
    pub(super) fn text(&mut self, text: impl AsRef<[u8]>) -> Data {
        let at = self.bytes(text.as_ref());
        self.data.push(0);
        at
    }

    /// Stores C strings and a NULL-terminated array of pointers to them, and
    /// records the call that turns offsets into pointers.
    pub(super) fn texts<'t>(
        &mut self,
        list: List,
        texts: impl IntoIterator<Item = &'t [u8]>,
    ) -> Data {
        let offsets: Vec<Data> = texts.into_iter().map(|text| self.text(text)).collect();
        // The launcher adds the message's address; `finish` knows where the data
        // part begins and adds that to the words it finds through this record.
        let words: Vec<u8> = offsets.iter().flat_map(|data| data.0.to_ne_bytes()).collect();
        let at = self.bytes(&words);
        self.data.extend_from_slice(&0_u64.to_ne_bytes());
        self.pseudo(
            list,
            neuroflow_launcher::wire::PSEUDO_POINTERS,
            &[at.into(), Arg::from(offsets.len() as u64)],
            NO_SLOT,
        );
        at
    }

    /// Has the word at `at` point to `target` when the list reaches this call.
    pub(super) fn patch_pointer(&mut self, list: List, at: Data, target: Data) {
        let start = usize::try_from(at.0).unwrap_or(usize::MAX);
        self.data[start..start + 8].copy_from_slice(&target.0.to_ne_bytes());
        self.pseudo(
            list,
            neuroflow_launcher::wire::PSEUDO_POINTERS,
            &[at.into(), 1.into()],
            NO_SLOT,
        );
    }

    /// Records a call.
    pub(super) fn call(&mut self, list: List, number: libc::c_long, args: &[Arg]) -> &mut Call {
        self.record(list, u32::try_from(number).unwrap_or(u32::MAX), args)
    }

    /// Records a call whose result goes to `slot`.
    pub(super) fn call_into(&mut self, slot: u32, list: List, number: libc::c_long, args: &[Arg]) {
        self.call(list, number, args).save = slot;
    }

    /// Records something the launcher does itself.
    pub(super) fn pseudo(&mut self, list: List, number: u32, args: &[Arg], save: u32) {
        self.record(list, number, args).save = save;
    }

    fn record(&mut self, list: List, number: u32, args: &[Arg]) -> &mut Call {
        let mut call = Call {
            number,
            step: self.step,
            save: NO_SLOT,
            tolerate: 0,
            kinds: [IMMEDIATE; 8],
            args: [0; 6],
        };
        for (index, arg) in args.iter().enumerate() {
            (call.kinds[index], call.args[index]) = match *arg {
                Arg::Number(number) => (IMMEDIATE, number.cast_unsigned()),
                Arg::Data(data) => (POINTER, data.0),
                Arg::Slot(slot) => (SLOT, slot.into()),
            };
        }
        let calls = &mut self.lists[list as usize];
        calls.push(call);
        let last = calls.len() - 1;
        &mut calls[last]
    }

    /// The finished message.
    pub(super) fn finish(mut self, kind: Kind, clone: Clone) -> Vec<u8> {
        let mut offset = size_of::<Header>();
        let mut spans = [Span::default(); 4];
        for (span, calls) in spans.iter_mut().zip(&self.lists) {
            *span = Span { offset: word(offset), count: word(calls.len()) };
            offset += size_of_val(calls.as_slice());
        }
        let data_start = offset as u64;
        self.move_pointers(data_start);

        let [next, init, guest, after] = spans;
        let header = Header {
            magic: MAGIC,
            kind: kind as u32,
            length: word(offset + self.data.len()),
            report_slot: clone.report_slot,
            clone_flags: clone.flags,
            cgroup_slot: clone.cgroup_slot.unwrap_or(NO_SLOT),
            clone_step: clone.clone_step,
            fork_step: clone.fork_step,
            needs_next: u32::from(next.count > 0),
            next,
            init,
            guest,
            after,
        };
        let mut message = Vec::with_capacity(offset + self.data.len());
        message.extend_from_slice(super::sys::bytes_of(&header));
        for call in self.lists.iter().flatten() {
            message.extend_from_slice(super::sys::bytes_of(call));
        }
        message.extend_from_slice(&self.data);
        message
    }

    /// Offsets into the data part become offsets into the message.
    fn move_pointers(&mut self, data_start: u64) {
        for call in self.lists.iter_mut().flatten() {
            if call.number == neuroflow_launcher::wire::PSEUDO_POINTERS {
                let at = usize::try_from(call.args[0]).unwrap_or(usize::MAX);
                let words = usize::try_from(call.args[1]).unwrap_or(0);
                for chunk in self.data[at..].chunks_exact_mut(8).take(words) {
                    let mut bytes = [0; 8];
                    bytes.copy_from_slice(chunk);
                    let moved = u64::from_ne_bytes(bytes) + data_start;
                    chunk.copy_from_slice(&moved.to_ne_bytes());
                }
            }
            for (kind, arg) in call.kinds.iter().zip(&mut call.args) {
                if *kind == POINTER {
                    *arg += data_start;
                }
            }
        }
    }
}

/// Lengths in a message; one of 4 GiB cannot be sent and is refused before.
fn word(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
