//! Ctrl-C and the signals that mean the same: heard once for politeness, twice for haste.

use super::{Failure, exit};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// How often the user has asked to stop, and by which signal last.
#[derive(Debug, Clone)]
pub struct Interrupts(watch::Receiver<(u32, u8)>);

impl Interrupts {
    /// Begins to listen; from now on the signals no longer end the program by themselves.
    pub fn listen() -> Result<Self, Failure> {
        let (told, heard) = watch::channel((0, 0));
        for (kind, number) in [
            (SignalKind::interrupt(), 2),
            (SignalKind::terminate(), 15),
            (SignalKind::hangup(), 1),
        ] {
            let mut signals = signal(kind)
                .map_err(|error| Failure::new(exit::FAILED, format!("signals cannot be heard: {error}")))?;
            let told = told.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    told.send_modify(|(count, last)| (*count, *last) = (*count + 1, number));
                }
            });
        }
        Ok(Self(heard))
    }

    /// Resolves at the next signal; at once if one came since the last call.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody can tell us any more: then there is no interrupt.
            std::future::pending::<()>().await;
        }
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.borrow().0
    }

    /// 128 and the number of the last signal: 130 for Ctrl-C.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        128 + self.0.borrow().1
    }
}
