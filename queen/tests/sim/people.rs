//! Clients: one submits and stops jobs over HTTP and does not give up, others watch over the live socket.

use super::{
    ledger::Book,
    net::{self, PORT, Weather},
    plan::JobPlan,
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use shared::JobId;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    rc::Rc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::{sleep, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::Message;

/// One request on a connection of its own: status and body.
async fn ask(weather: &Weather, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let exchange = async {
        let mut wire = weather.open().await?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: 127.0.0.1:{PORT}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        wire.write_all(head.as_bytes()).await?;
        wire.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        wire.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
        let whole = answer.split_once("\r\n\r\n");
        let (status, (_, body)) = status.zip(whole).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((status, body.to_owned()))
    };
    timeout(Duration::from_secs(10), exchange)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Submits a job until it is told that it is taken.
pub async fn submit(book: Book, weather: Weather, plan: JobPlan, submitted: Rc<watch::Sender<BTreeSet<JobId>>>) {
    sleep(plan.submit_at).await;
    loop {
        let told = ask(&weather, "POST", "/api/v1/jobs", &plan.data.to_string()).await;
        book.ledger().submits += 1;
        match told {
            Ok((200 | 201, body)) => {
                let id = serde_json::from_str::<Value>(&body).map(|view| view["id"].clone());
                book.rule(id.as_ref().is_ok_and(|id| *id == plan.id.as_str()), || {
                    format!("{} was submitted and the answer is {body}", plan.id)
                });
                let written = book.store.durable(&plan.id, |_| ());
                book.rule(written.is_some(), || {
                    format!("{} was said to be taken and is not written", plan.id)
                });
                book.note(format!("{} is taken", plan.id));
                break;
            }
            Ok((status, body)) if status < 500 => {
                return book.violation(format!("{} was refused with {status}: {body}", plan.id));
            }
            // No answer, or none that says anything: once more with the same id.
            Ok(_) | Err(_) => sleep(Duration::from_secs(1)).await,
        }
    }
    book.ledger().accepted.insert(plan.id.clone());
    submitted.send_modify(|all| {
        all.insert(plan.id.clone());
    });
    let Some(at) = plan.cancel_at else { return };
    sleep(at.saturating_sub(turmoil::sim_elapsed().unwrap_or_default())).await;
    let path = format!("/api/v1/jobs/{}/cancel", plan.id);
    loop {
        match ask(&weather, "POST", &path, "").await {
            Ok((202, _)) => {
                let wish = book.store.durable(&plan.id, |kept| kept.row.cancel.is_some());
                book.rule(wish == Some(true), || {
                    format!("{} was said to stop, and the wish is not written", plan.id)
                });
                book.ledger().stopping.insert(plan.id.clone());
                return book.note(format!("{} is to stop", plan.id));
            }
            // It has ended before.
            Ok((200 | 409, _)) => return,
            Ok((status, body)) if status < 500 => {
                return book.violation(format!("{} could not be stopped: {status} {body}", plan.id));
            }
            Ok(_) | Err(_) => sleep(Duration::from_secs(1)).await,
        }
    }
}

/// A browser that watches every job from its beginning to its end.
pub struct Browser {
    pub number: u32,
    pub book: Book,
    pub weather: Weather,
    /// Jobs in the world.
    pub count: usize,
    pub submitted: watch::Receiver<BTreeSet<JobId>>,
}

/// Where it stands with a job.
#[derive(Default)]
struct Place {
    /// The next event that it wants.
    next: u64,
    done: bool,
    /// It is subscribed on this connection.
    on: bool,
}

impl Browser {
    pub async fn watch(mut self) -> turmoil::Result {
        let mut places: BTreeMap<JobId, Place> = BTreeMap::new();
        while places.values().filter(|place| place.done).count() < self.count {
            for place in places.values_mut() {
                place.on = false;
            }
            // A connection that ends for whatever reason is made again.
            let _ = self.connection(&mut places).await;
            sleep(Duration::from_millis(700)).await;
        }
        Ok(())
    }

    async fn connection(&mut self, places: &mut BTreeMap<JobId, Place>) -> Option<()> {
        let open = timeout(Duration::from_secs(10), net::browse(&self.weather)).await;
        let (mut sink, mut stream) = open.ok()?.ok()?.split();
        let mut again = None;
        loop {
            let jobs = self.submitted.borrow_and_update().clone();
            for job in jobs {
                let place = places.entry(job.clone()).or_insert(Place {
                    next: 1,
                    ..Place::default()
                });
                if !place.on && !place.done && again.is_none() {
                    place.on = true;
                    let what = json!({"type": "subscribe", "args": [{"job": job, "from": place.next}]});
                    sink.send(Message::text(what.to_string())).await.ok()?;
                }
            }
            let retry = again.unwrap_or_else(|| tokio_after(Duration::from_secs(3600)));
            let frame = tokio::select! {
                biased;
                frame = timeout(Duration::from_secs(50), stream.next()) => frame.ok()??.ok()?,
                Ok(()) = self.submitted.changed() => continue,
                () = sleep_until(retry) => {
                    again = None;
                    continue;
                }
            };
            let Message::Text(text) = frame else { continue };
            let messages = match serde_json::from_str(&text) {
                Ok(Value::Array(all)) => all,
                Ok(one) => vec![one],
                Err(error) => {
                    self.book.violation(format!("a browser was sent {text}: {error}"));
                    return None;
                }
            };
            for message in messages {
                match message["type"].as_str().unwrap_or_default() {
                    "live" => {}
                    "lagged" => {
                        let job = JobId::new(message["args"][0].as_str().unwrap_or_default()).ok()?;
                        let place = places.get_mut(&job)?;
                        place.on = false;
                        let seq = message["args"][1].as_u64();
                        self.book.rule(seq == Some(place.next - 1), || {
                            format!("a browser that had {job} up to {} is told {message}", place.next - 1)
                        });
                    }
                    "error" => {
                        let words = message["args"][0].as_str().unwrap_or_default();
                        self.book.rule(!words.contains("there is no job"), || {
                            format!("a browser is told of a job that was taken: {words}")
                        });
                        // It does not say which one: all are asked for anew on a new connection.
                        return None;
                    }
                    kind => {
                        let job = JobId::new(message["args"][0].as_str().unwrap_or_default()).ok()?;
                        let done = kind == "job:done";
                        let place = places.get_mut(&job)?;
                        place.next += 1;
                        place.done |= done;
                        self.book.shown(self.number, &job, message);
                    }
                }
            }
            if places.values().filter(|place| place.done).count() >= self.count {
                return Some(());
            }
            if again.is_none() && places.values().any(|place| !place.on && !place.done) {
                again = Some(tokio_after(Duration::from_millis(300)));
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "simulated time")]
fn tokio_after(wait: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + wait
}
