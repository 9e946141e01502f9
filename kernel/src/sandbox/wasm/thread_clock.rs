//! The CPU time of this thread, on which a guest runs from its start to its end.
#![allow(unsafe_code, reason = "a system call that the standard library does not offer")]

use std::time::Duration;

/// What this thread has used since it began; 0 where the system does not tell.
pub(super) fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one `timespec` and keeps no pointer; `time` is one,
    // and lives until it has returned.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) else {
        return Duration::ZERO;
    };
    if done == 0 { Duration::new(seconds, nanos) } else { Duration::ZERO }
}

/// What this thread has used since `before`.
pub(super) fn since(before: Duration) -> Duration {
    now().saturating_sub(before)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_counts_and_sleep_does_not() {
        let before = now();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(20) {}
        let worked = since(before);

        let before = now();
        std::thread::sleep(Duration::from_millis(20));
        let slept = since(before);

        assert!(worked > Duration::ZERO && worked > slept, "{worked:?} {slept:?}");
    }
}
