//! Where a guest's time and random bytes come from: the host, or numbers that
//! are the same in every run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use super::drive::Watch;
use super::grants::{Clocks, Randomness};

/// 2000-01-01T00:00:00Z, where fixed clocks begin.
const FIXED_START: Duration = Duration::from_secs(946_684_800);

/// The clocks of one run; the monotonic one reads 0 where the run began.
#[derive(Clone, Debug)]
pub(super) enum Time {
    Real(Watch),
    Fixed(Fixed),
}

/// A clock that advances with the fuel and with what is slept.
#[derive(Clone, Debug, Default)]
pub(super) struct Fixed {
    given: u64,
    consumed: Arc<AtomicU64>,
    slept: Arc<AtomicU64>,
}

impl Time {
    pub(super) fn new(clocks: Clocks, watch: &Watch) -> Self {
        match clocks {
            Clocks::Real => Self::Real(watch.clone()),
            Clocks::Fixed => Self::Fixed(Fixed::default()),
        }
    }

    /// Tells how much fuel there is in the beginning.
    pub(super) fn fueled_with(&mut self, fuel: u64) {
        if let Self::Fixed(fixed) = self {
            fixed.given = fuel;
        }
    }

    /// Tells how much fuel is left.
    pub(super) fn consumed_up_to(&self, left: u64) {
        if let Self::Fixed(fixed) = self {
            fixed.consumed.store(fixed.given.saturating_sub(left), Ordering::Relaxed);
        }
    }

    /// Sleeps by jumping ahead, where that is how this clock sleeps.
    pub(super) fn skips(&self, span: Duration) -> bool {
        let Self::Fixed(fixed) = self else { return false };
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        // Saturates: a sleep of centuries must not set the clock back.
        let slept = fixed.slept.load(Ordering::Relaxed).saturating_add(nanos);
        fixed.slept.store(slept, Ordering::Relaxed);
        true
    }

    /// Time since the run began.
    pub(super) fn elapsed(&self) -> Duration {
        match self {
            Self::Real(watch) => watch.elapsed(),
            Self::Fixed(fixed) => {
                let consumed = fixed.consumed.load(Ordering::Relaxed);
                Duration::from_nanos(consumed.saturating_add(fixed.slept.load(Ordering::Relaxed)))
            }
        }
    }

    /// Time since 1970.
    pub(super) fn wall(&self) -> Duration {
        match self {
            Self::Real(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Self::Fixed(_) => FIXED_START + self.elapsed(),
        }
    }
}

impl HostMonotonicClock for Time {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl HostWallClock for Time {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.wall()
    }
}

/// The random bytes of one run.
#[derive(Debug)]
pub(super) enum Random {
    Real,
    Seeded(Box<StdRng>),
}

impl Random {
    pub(super) fn new(random: Randomness) -> Self {
        match random {
            Randomness::Real => Self::Real,
            Randomness::Seed(seed) => Self::Seeded(Box::new(StdRng::seed_from_u64(seed))),
        }
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        match self {
            Self::Real => rand::rng().fill_bytes(bytes),
            Self::Seeded(generator) => generator.fill_bytes(bytes),
        }
    }
}
