//! The drone's slots: how many things run at once, over all its jobs, and which number each one has.
//!
//! It knows nothing of what runs in a slot. Those who wait get a slot in the order in which they asked. A number belongs to
//! one slot of the whole machine, so that tests may name a database after it, also beside another drone.

use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// `capacity` slots.
#[derive(Debug, Clone)]
pub struct Slots {
    free: Arc<Mutex<BTreeSet<u32>>>,
    gate: Arc<Semaphore>,
    /// What keeps other drones from these numbers.
    _claims: Arc<Vec<Claim>>,
}

/// A slot in use; free again when dropped.
#[derive(Debug)]
pub struct Slot {
    number: u32,
    free: Arc<Mutex<BTreeSet<u32>>>,
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    /// All slots free, with the lowest numbers from 1 that no other drone of this machine has. Where that cannot be told,
    /// the numbers are only this drone's.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        let mut claims = Vec::new();
        let mut numbers = BTreeSet::new();
        for number in 1..=capacity.saturating_add(OTHERS) {
            if numbers.len() == capacity as usize {
                break;
            }
            match claim(number) {
                Ok(claim) => {
                    claims.push(claim);
                    numbers.insert(number);
                }
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => {
                    tracing::debug!(%error, "the numbers of slots cannot be claimed on this machine");
                    numbers = (1..=capacity).collect();
                }
            }
        }
        let mut next = 1;
        while numbers.len() < capacity as usize {
            numbers.insert(next);
            next += 1;
        }
        Self {
            free: Arc::new(Mutex::new(numbers)),
            gate: Arc::new(Semaphore::new(capacity as usize)),
            _claims: Arc::new(claims),
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

/// Slots of other drones that may be passed over.
const OTHERS: u32 = 4096;

/// A name of the machine that goes with its process, however that ends.
#[cfg(target_os = "linux")]
type Claim = std::os::unix::net::UnixDatagram;

#[cfg(target_os = "linux")]
fn claim(number: u32) -> io::Result<Claim> {
    use std::os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    };
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(format!("skep-worker-{number}"))?)
}

#[cfg(not(target_os = "linux"))]
type Claim = ();

#[cfg(not(target_os = "linux"))]
fn claim(_: u32) -> io::Result<Claim> {
    Err(ErrorKind::Unsupported.into())
}

impl Slot {
    /// From 1; no other slot of this machine has it.
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
        let first = one.number();
        assert_ne!(first, two.number());
        let other = Slots::new(1).take().await.unwrap().number();
        assert!(other != first && other != two.number(), "another drone's slot {other}");
        let waiting = tokio::time::timeout(Duration::from_millis(20), slots.take()).await;
        assert!(waiting.is_err(), "a third slot of two");
        drop(one);
        assert_eq!(slots.take().await.unwrap().number(), first);
    }
}
