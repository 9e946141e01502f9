//! Reads any text as a size and as a time.

#![no_main]

use kernel::sandbox::units::{ByteSize, Seconds};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(size) = text.parse::<ByteSize>() {
        assert_eq!(size.to_string().parse(), Ok(size));
    }
    if let Ok(time) = text.parse::<Seconds>() {
        assert_eq!(time.to_string().parse(), Ok(time));
    }
});
