//! What a function of the application sees of the guest that calls it.

use std::fmt;
use std::time::Duration;

/// Bytes that one call copies out of the guest at once, into memory of the host.
pub(in crate::sandbox::wasm) const MOST_BYTES: u32 = 16 << 20;

/// One call of a host function: the memory and the time of the guest behind it.
///
/// Addresses and lengths come from the guest and mean nothing before they are
/// checked, so every access checks them, and memory of the host is taken only for
/// what is really there. The memory is the one that the module exports as
/// `memory`.
pub struct HostCall<'a> {
    side: Box<dyn Side + 'a>,
}

/// The guest's side of a call, as the engine has it.
pub(in crate::sandbox::wasm) trait Side: Send {
    /// Bytes of the guest's memory; an error where it has none.
    fn size(&mut self) -> Result<u64, AccessError>;
    /// Takes `units` of fuel.
    fn charge(&mut self, units: u64) -> Result<(), AccessError>;
    /// Fills `buffer` from memory that is known to be there.
    fn read(&mut self, at: u32, buffer: &mut [u8]) -> Result<(), AccessError>;
    /// Writes `bytes` to memory that is known to be there.
    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), AccessError>;
    /// What is left of the run's time.
    fn time_left(&mut self) -> Duration;
}

/// Why a function could not have what it asked of the guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// Not all of it lies in the guest's memory.
    #[error("{len} bytes at {at} are not in the module's memory of {size} bytes")]
    OutOfBounds {
        /// The address.
        at: u32,
        /// How many bytes.
        len: u64,
        /// Bytes of the memory.
        size: u64,
    },
    /// More than is copied into the host at once.
    #[error("{len} bytes are more than the {most} that are read at once")]
    TooLong {
        /// How many bytes.
        len: u32,
        /// Most of them.
        most: u32,
    },
    /// The bytes are not UTF-8.
    #[error("the {len} bytes at {at} are not UTF-8")]
    NotText {
        /// The address.
        at: u32,
        /// How many bytes.
        len: u32,
    },
    /// The module exports no memory by the name of `memory`.
    #[error("the module exports no memory named `memory`")]
    NoMemory,
    /// The fuel does not last for it; the run ends, whatever the function returns.
    #[error("the fuel is used up")]
    OutOfFuel,
    /// The call is over: the run has ended or the function has returned.
    #[error("the call is over")]
    Over,
}

impl<'a> HostCall<'a> {
    #[cfg_attr(not(feature = "wasm"), expect(dead_code, reason = "made by the engine alone"))]
    pub(in crate::sandbox::wasm) fn new(side: impl Side + 'a) -> Self {
        Self { side: Box::new(side) }
    }

    /// Bytes of the guest's memory.
    ///
    /// # Errors
    ///
    /// [`AccessError::NoMemory`], [`AccessError::Over`].
    pub fn memory_size(&mut self) -> Result<u64, AccessError> {
        self.side.size()
    }

    /// Copies `len` bytes at `at`, at most 16 MiB. Costs a unit of fuel a byte.
    ///
    /// # Errors
    ///
    /// [`AccessError`], before anything is allocated.
    pub fn read(&mut self, at: u32, len: u32) -> Result<Vec<u8>, AccessError> {
        if len > MOST_BYTES {
            // What is out of bounds as well is told as that.
            self.check(at, len.into())?;
            return Err(AccessError::TooLong { len, most: MOST_BYTES });
        }
        self.check(at, len.into())?;
        self.side.charge(len.into())?;
        let mut bytes = vec![0; len as usize];
        self.side.read(at, &mut bytes)?;
        Ok(bytes)
    }

    /// Like [`read`](Self::read), as text.
    ///
    /// # Errors
    ///
    /// As for `read`, and [`AccessError::NotText`].
    pub fn read_text(&mut self, at: u32, len: u32) -> Result<String, AccessError> {
        String::from_utf8(self.read(at, len)?).map_err(|_| AccessError::NotText { at, len })
    }

    /// Fills `buffer` with the bytes at `at`. Costs a unit of fuel a byte.
    ///
    /// # Errors
    ///
    /// [`AccessError`]; `buffer` is unchanged then.
    pub fn read_into(&mut self, at: u32, buffer: &mut [u8]) -> Result<(), AccessError> {
        self.check(at, buffer.len() as u64)?;
        self.side.charge(buffer.len() as u64)?;
        self.side.read(at, buffer)
    }

    /// Writes `bytes` to `at`: all of them or none. Costs a unit of fuel a byte.
    ///
    /// # Errors
    ///
    /// [`AccessError`]; the memory is unchanged then.
    pub fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), AccessError> {
        self.check(at, bytes.len() as u64)?;
        self.side.charge(bytes.len() as u64)?;
        self.side.write(at, bytes)
    }

    /// Takes `units` of the guest's fuel, for work that the function does on its
    /// behalf.
    ///
    /// # Errors
    ///
    /// [`AccessError::OutOfFuel`]; the run has ended then.
    pub fn charge(&mut self, units: u64) -> Result<(), AccessError> {
        self.side.charge(units)
    }

    /// What is left of the run's time; nothing once it is over.
    #[must_use]
    pub fn time_left(&mut self) -> Duration {
        self.side.time_left()
    }

    fn check(&mut self, at: u32, len: u64) -> Result<(), AccessError> {
        let size = self.side.size()?;
        // Neither can overflow: `at` has 32 bits, and no buffer has 2^63 bytes.
        if u64::from(at).saturating_add(len) > size {
            return Err(AccessError::OutOfBounds { at, len, size });
        }
        Ok(())
    }
}

impl fmt::Debug for HostCall<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HostCall").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guest of some bytes and some fuel.
    struct Small {
        memory: Vec<u8>,
        fuel: u64,
    }

    impl Side for Small {
        fn size(&mut self) -> Result<u64, AccessError> {
            Ok(self.memory.len() as u64)
        }

        fn charge(&mut self, units: u64) -> Result<(), AccessError> {
            self.fuel = self.fuel.checked_sub(units).ok_or(AccessError::OutOfFuel)?;
            Ok(())
        }

        fn read(&mut self, at: u32, buffer: &mut [u8]) -> Result<(), AccessError> {
            buffer.copy_from_slice(&self.memory[at as usize..][..buffer.len()]);
            Ok(())
        }

        fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), AccessError> {
            self.memory[at as usize..][..bytes.len()].copy_from_slice(bytes);
            Ok(())
        }

        fn time_left(&mut self) -> Duration {
            Duration::ZERO
        }
    }

    fn call(size: usize, fuel: u64) -> HostCall<'static> {
        HostCall::new(Small { memory: vec![b'x'; size], fuel })
    }

    #[test]
    fn what_does_not_lie_in_the_memory_is_refused_and_what_does_is_read() {
        let mut call = call(10, 1000);

        for (at, len) in [(0, 0), (0, 10), (9, 1), (10, 0)] {
            assert_eq!(call.read(at, len).map(|bytes| bytes.len()), Ok(len as usize));
        }
        for (at, len) in
            [(0, 11), (10, 1), (11, 0), (u32::MAX, 1), (1, u32::MAX), (u32::MAX, u32::MAX)]
        {
            let expected = AccessError::OutOfBounds { at, len: len.into(), size: 10 };
            assert_eq!(call.read(at, len), Err(expected));
        }
    }

    #[test]
    fn a_byte_costs_a_unit() {
        assert!(call(10, 9).read(0, 9).is_ok());
        assert_eq!(call(10, 8).read(0, 9), Err(AccessError::OutOfFuel));
        assert_eq!(call(10, 8).write(0, &[0; 9]), Err(AccessError::OutOfFuel));
        assert_eq!(call(10, 8).read_into(0, &mut [0; 9]), Err(AccessError::OutOfFuel));
    }

    #[test]
    fn no_more_than_the_most_is_copied_at_once() {
        let mut call = call(MOST_BYTES as usize + 1, u64::MAX);

        assert!(call.read(0, MOST_BYTES).is_ok());
        assert_eq!(
            call.read(0, MOST_BYTES + 1),
            Err(AccessError::TooLong { len: MOST_BYTES + 1, most: MOST_BYTES })
        );
    }
}
