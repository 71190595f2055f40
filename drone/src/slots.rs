//! The drone's slots: how many things run at once, over all its jobs, and which number each one has.
//!
//! It knows nothing of what runs in a slot. Those who wait get a slot in the order in which they asked.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// `capacity` slots, numbered from 1.
#[derive(Debug, Clone)]
pub struct Slots {
    free: Arc<Mutex<BTreeSet<u32>>>,
    gate: Arc<Semaphore>,
}

/// A slot in use; free again when dropped.
#[derive(Debug)]
pub struct Slot {
    number: u32,
    free: Arc<Mutex<BTreeSet<u32>>>,
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    /// All slots free.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        Self {
            free: Arc::new(Mutex::new((1..=capacity).collect())),
            gate: Arc::new(Semaphore::new(capacity as usize)),
        }
    }

    /// Waits for a slot; the lowest free number is taken. `None` is never seen while the drone lives.
    pub async fn take(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.gate).acquire_owned().await.ok()?;
        let number = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop_first()?;
        Some(Slot {
            number,
            free: Arc::clone(&self.free),
            _permit: permit,
        })
    }
}

impl Slot {
    /// From 1 to the drone's capacity; no other slot in use has it.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Slot {
    // The number is back before the permit is: fields are dropped after this.
    fn drop(&mut self) {
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn no_number_is_given_twice_and_none_is_lost() {
        let slots = Slots::new(2);
        let one = slots.take().await.unwrap();
        let two = slots.take().await.unwrap();
        assert_eq!((one.number(), two.number()), (1, 2));
        let waiting = tokio::time::timeout(Duration::from_millis(20), slots.take()).await;
        assert!(waiting.is_err(), "a third slot of two");
        drop(one);
        assert_eq!(slots.take().await.unwrap().number(), 1);
    }
}
