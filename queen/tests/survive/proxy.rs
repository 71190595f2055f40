//! A wire between a drone and its queen that the test can cut, hold and slow down.

use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::sleep,
};

/// What the wire does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Open,
    /// Connections break, and no new one is made.
    Cut,
    /// Connections stay, and nothing passes: neither side can tell.
    Held,
    /// What the queen says does not arrive; what the drone says does.
    Deaf,
    /// Every piece is late by this much.
    Slow(Duration),
}

pub struct Proxy {
    pub url: String,
    wire: watch::Sender<Wire>,
}

impl Proxy {
    /// A wire to `target` that is open.
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (wire, state) = watch::channel(Wire::Open);
        let target = target.to_owned();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, target.clone(), state.clone()));
            }
        });
        Self { url, wire }
    }

    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

async fn carry(near: TcpStream, target: String, wire: watch::Receiver<Wire>) {
    if *wire.borrow() == Wire::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    let (near, far) = (near.into_split(), far.into_split());
    let mut cut = wire.clone();
    // What ends one direction ends both: the halves are dropped together.
    tokio::select! {
        () = pump(near.0, far.1, wire.clone(), &[Wire::Held]) => {}
        () = pump(far.0, near.1, wire, &[Wire::Held, Wire::Deaf]) => {}
        _ = cut.wait_for(|wire| *wire == Wire::Cut) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut wire: watch::Receiver<Wire>, stops: &[Wire]) {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut piece).await else {
            return;
        };
        let Ok(now) = wire.wait_for(|wire| !stops.contains(wire)).await.map(|wire| *wire) else {
            return;
        };
        if let Wire::Slow(late) = now {
            sleep(late).await;
        }
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}
