//! Modules that were compiled in this process, by the hash of their bytes.
//!
//! Bounded by the machine code it holds. What was used last goes last, and a
//! module that is running when it goes stays alive until its run ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// What a module is known by.
pub(super) type Key = [u8; 32];

/// The key of a module's bytes.
pub(super) fn key(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

/// A bounded map that forgets what was used longest ago.
#[derive(Debug)]
pub(super) struct Cache<T> {
    most_bytes: usize,
    held: Mutex<Held<T>>,
}

#[derive(Debug)]
struct Held<T> {
    entries: HashMap<Key, Entry<T>>,
    bytes: usize,
    /// Counts uses; the entry with the smallest is the oldest.
    clock: u64,
}

#[derive(Debug)]
struct Entry<T> {
    value: Arc<T>,
    bytes: usize,
    used: u64,
}

impl<T> Cache<T> {
    pub(super) fn new(most_bytes: usize) -> Self {
        let held = Held { entries: HashMap::new(), bytes: 0, clock: 0 };
        Self { most_bytes, held: Mutex::new(held) }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<T>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.clock += 1;
        let now = held.clock;
        let entry = held.entries.get_mut(key)?;
        entry.used = now;
        Some(Arc::clone(&entry.value))
    }

    /// Keeps `value`, which takes `bytes`, and forgets others for it. One that is
    /// larger than the whole cache is handed back and not kept.
    pub(super) fn insert(&self, key: Key, value: T, bytes: usize) -> Arc<T> {
        let value = Arc::new(value);
        if bytes > self.most_bytes {
            return value;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.clock += 1;
        let entry = Entry { value: Arc::clone(&value), bytes, used: held.clock };
        held.bytes += bytes;
        if let Some(before) = held.entries.insert(key, entry) {
            held.bytes -= before.bytes;
        }
        while held.bytes > self.most_bytes {
            let oldest = held.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(key, _)| *key) else { break };
            if let Some(entry) = held.entries.remove(&oldest) {
                held.bytes -= entry.bytes;
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let cache = Cache::new(10);
        cache.insert(key(b"a"), 'a', 4);
        cache.insert(key(b"b"), 'b', 4);
        cache.get(&key(b"a"));

        cache.insert(key(b"c"), 'c', 4);

        assert!(cache.get(&key(b"a")).is_some());
        assert!(cache.get(&key(b"b")).is_none());
        assert!(cache.get(&key(b"c")).is_some());
    }

    #[test]
    fn the_same_key_twice_is_counted_once() {
        let cache = Cache::new(10);
        for _ in 0..100 {
            cache.insert(key(b"a"), 'a', 6);
        }

        assert!(cache.get(&key(b"a")).is_some());
        assert_eq!(cache.held.lock().unwrap().bytes, 6);
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_drives_nothing_out() {
        let cache = Cache::new(10);
        cache.insert(key(b"a"), 'a', 4);

        assert_eq!(*cache.insert(key(b"b"), 'b', 11), 'b');

        assert!(cache.get(&key(b"a")).is_some());
        assert!(cache.get(&key(b"b")).is_none());
    }
}
