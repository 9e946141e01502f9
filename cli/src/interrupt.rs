//! Ctrl-C, SIGTERM and SIGHUP end the guest, and the run says so.
//!
//! The guest sits in a session of its own and never sees the terminal's
//! signals; so we take them and kill it through its [`Killer`]. A second signal
//! ends us at once, in case the first one did not get through. A signal that
//! was ignored when we began (`nohup`, a job in the background) stays ignored.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use kernel::sandbox::running::Killer;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::exit;

/// The signals that end a run, watched from [`watch`](Self::watch) on.
#[derive(Clone, Debug, Default)]
pub struct Interrupts {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The first signal that came; 0 while none has.
    caught: AtomicI32,
    killer: Mutex<Option<Killer>>,
}

impl Interrupts {
    /// Takes the signals over from here on.
    ///
    /// # Errors
    ///
    /// What the system says when a handler cannot be set or a thread not started.
    pub fn watch() -> io::Result<Self> {
        let ignored = ignored_signals();
        let wanted =
            [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|n| ignored & (1 << (n - 1)) == 0);
        let wanted: Vec<i32> = wanted.collect();

        // In this order: the condition is read before it is set, so that it is
        // the second signal that finds it true.
        let again = Arc::new(AtomicBool::new(false));
        for signal in &wanted {
            let code = exit::of_signal(*signal).into();
            flag::register_conditional_shutdown(*signal, code, Arc::clone(&again))?;
            flag::register(*signal, Arc::clone(&again))?;
        }
        let mut signals = Signals::new(&wanted)?;
        let interrupts = Self::default();
        let watching = interrupts.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                watching.caught(signal);
            }
        })?;
        Ok(interrupts)
    }

    /// From here on a signal kills through `killer`; one that came already does
    /// so now.
    pub fn arm(&self, killer: Killer) {
        let mut armed = self.shared.killer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.signal().is_some() {
            killer.kill();
        }
        *armed = Some(killer);
    }

    /// The signal that ended the run, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        match self.shared.caught.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(signal),
        }
    }

    fn caught(&self, signal: i32) {
        let armed = self.shared.killer.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.caught.store(signal, Ordering::SeqCst);
        if let Some(killer) = armed.as_ref() {
            killer.kill();
        }
    }
}

/// The mask of signals that whoever started us had ignored, bit `n - 1` for
/// signal `n`; empty where the system does not tell it.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
