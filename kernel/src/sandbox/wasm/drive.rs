//! Polls a guest to its end, or until the clock or another thread says stop.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::sandbox::running::Killer;

/// Why a guest was stopped, other than by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stop {
    #[error("the wall clock ran out")]
    Deadline,
    #[error("the run was killed")]
    Killed,
    #[error("all fuel was consumed")]
    Fuel,
    #[error("{wanted} bytes of memory were asked for")]
    Memory { wanted: u64 },
    #[error("the tables grew to {wanted} elements, past the limit of {most}")]
    Tables { wanted: usize, most: usize },
    #[error("far more output was written than is kept")]
    Output,
}

/// The clock of one run, and the ear for whoever wants to end it.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    started: Instant,
    deadline: Instant,
    killed: Arc<AtomicBool>,
}

impl Watch {
    /// Starts the clock.
    pub(super) fn start(timeout: Duration) -> Self {
        let started = Instant::now();
        Self { started, deadline: started + timeout, killed: Arc::default() }
    }

    /// Lets `killer` end the run that this thread drives.
    pub(super) fn obey(&self, killer: &Killer) {
        let killed = Arc::clone(&self.killed);
        let driver = thread::current();
        killer.on_kill(move || {
            killed.store(true, Ordering::Release);
            driver.unpark();
        });
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// What is left of the time.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The reason to stop now, if there is one.
    pub(super) fn stop(&self) -> Option<Stop> {
        if self.killed.load(Ordering::Acquire) {
            return Some(Stop::Killed);
        }
        (Instant::now() >= self.deadline).then_some(Stop::Deadline)
    }
}

/// Polls `guest` on this thread until it is ready or `watch` says stop.
///
/// A guest that has run for [`FUEL_SLICE`](super::engine::FUEL_SLICE) is
/// pending and wants to be polled again at once. One that waits in a host call
/// is pending until that call wakes it, or until `sleeps_until` names a time.
pub(super) fn drive<T>(
    watch: &Watch,
    sleep: &Sleep,
    guest: impl Future<Output = T>,
) -> Result<T, Stop> {
    let parker = Arc::new(Parker { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&parker));
    let mut context = Context::from_waker(&waker);
    let mut guest = pin!(guest);
    loop {
        if let Some(stop) = watch.stop() {
            return Err(stop);
        }
        if let Poll::Ready(value) = guest.as_mut().poll(&mut context) {
            return Ok(value);
        }
        while !parker.woken.swap(false, Ordering::Acquire) {
            if let Some(stop) = watch.stop() {
                return Err(stop);
            }
            let now = Instant::now();
            let until = sleep.until().map_or(watch.deadline, |time| time.min(watch.deadline));
            if now >= until {
                break;
            }
            thread::park_timeout(until - now);
        }
    }
}

/// Wakes the one thread that polls.
struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Where a guest that sleeps leaves word of when it wants to go on.
#[derive(Clone, Debug, Default)]
pub(super) struct Sleep(Arc<std::sync::Mutex<Option<Instant>>>);

impl Sleep {
    fn until(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set(&self, until: Option<Instant>) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = until;
    }

    /// Ends at `time`. For use inside a guest that [`drive`] polls.
    pub(super) fn sleep_until(&self, time: Instant) -> impl Future<Output = ()> + Send + use<> {
        let sleep = self.clone();
        std::future::poll_fn(move |_| {
            if Instant::now() >= time {
                sleep.set(None);
                return Poll::Ready(());
            }
            sleep.set(Some(time));
            Poll::Pending
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_that_never_wakes_is_stopped_at_the_deadline() {
        let watch = Watch::start(Duration::from_millis(20));

        let ended = drive(&watch, &Sleep::default(), std::future::pending::<()>());

        assert_eq!(ended, Err(Stop::Deadline));
        assert!(watch.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_killer_ends_what_waits() {
        let watch = Watch::start(Duration::from_secs(60));
        let killer = Killer::new();
        watch.obey(&killer);
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            killer.kill();
        });

        let ended = drive(&watch, &Sleep::default(), std::future::pending::<()>());

        assert_eq!(ended, Err(Stop::Killed));
        assert!(watch.elapsed() < Duration::from_secs(5));
        other.join().unwrap();
    }

    #[test]
    fn a_sleeper_wakes_at_its_time() {
        let watch = Watch::start(Duration::from_secs(60));
        let sleep = Sleep::default();
        let time = Instant::now() + Duration::from_millis(20);

        let ended = drive(&watch, &sleep, sleep.sleep_until(time));

        assert_eq!(ended, Ok(()));
        assert!(Instant::now() >= time);
    }
}
