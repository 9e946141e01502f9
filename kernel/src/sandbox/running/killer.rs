//! The handle that ends a run from any thread.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Ends a run from any thread, as often as one likes.
///
/// A clone of it belongs to the same run. Ending a run that has ended already
/// does nothing. A run that was ended this way is
/// [`Exit::Signalled(9)`](crate::sandbox::Exit::Signalled): the guest did not end by
/// itself and no limit was reached.
///
/// ```
/// use kernel::sandbox::running::Killer;
///
/// let killer = Killer::new();
/// let other = killer.clone();
/// std::thread::spawn(move || other.kill()).join().unwrap();
/// assert!(killer.is_killed());
/// ```
#[derive(Clone, Default)]
pub struct Killer {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    killed: bool,
    /// What has to be told. Each is called once.
    hooks: Vec<Box<dyn FnOnce() + Send>>,
}

impl Killer {
    /// A killer that ends nothing yet; hand it to the run that it shall end.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the run as soon as possible. Returns at once; the run's `wait` tells
    /// when the guest and everything it started is gone.
    pub fn kill(&self) {
        let hooks = {
            let mut shared = self.lock();
            shared.killed = true;
            std::mem::take(&mut shared.hooks)
        };
        for hook in hooks {
            hook();
        }
    }

    /// Whether [`kill`](Self::kill) was called.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.lock().killed
    }

    /// Calls `hook` when the run is to be ended: now, if that was said already.
    /// It runs on the thread that kills, so it must be short and not block.
    pub(crate) fn on_kill(&self, hook: impl FnOnce() + Send + 'static) {
        let mut shared = self.lock();
        if shared.killed {
            drop(shared);
            hook();
        } else {
            shared.hooks.push(Box::new(hook));
        }
    }

    /// A panic in a hook cannot leave the flag and the list half-changed.
    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Killer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Killer").field("killed", &self.is_killed()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn hook_runs_once_however_often_the_run_is_killed() {
        let killer = Killer::new();
        let calls = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&calls);
        killer.on_kill(move || {
            seen.fetch_add(1, Ordering::SeqCst);
        });

        killer.kill();
        killer.clone().kill();

        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn hook_that_comes_after_the_kill_runs_at_once() {
        let killer = Killer::new();
        killer.kill();
        let calls = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&calls);

        killer.on_kill(move || {
            seen.fetch_add(1, Ordering::SeqCst);
        });

        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}
