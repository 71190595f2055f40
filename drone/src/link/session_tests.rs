//! What a session sends although nobody has anything to say.

use super::*;
use crate::link::Bounds;
use futures_util::sink::unfold;

#[tokio::test(start_paused = true)]
async fn a_drone_with_nothing_to_say_says_that_it_lives() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(dir.path(), Bounds::default()).unwrap();
    let hello = Hello {
        drone: shared::DroneId::new("d").unwrap(),
        incarnation: shared::Incarnation::new("i").unwrap(),
        name: "d".into(),
        version: String::new(),
        protocols: vec![1],
        first: 1,
    };
    let (sent, mut heard) = mpsc::channel(10);
    let sink = unfold(sent, async |sent, message: Message| {
        sent.send(message).await.unwrap();
        Ok::<_, tungstenite::Error>(sent)
    });
    tokio::spawn(async move { write(&mut Box::pin(sink), hello, &outbox).await });
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let message = time::timeout(KEEP_ALIVE * 2, heard.recv())
            .await
            .expect("a sign of life")
            .unwrap();
        seen.push(match message {
            Message::Text(text) if text.contains("drone:hello") => "hello",
            Message::Text(text) if text.contains("drone:keep-alive") => "keep-alive",
            Message::Ping(_) => "ping",
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(seen, ["hello", "keep-alive", "ping", "keep-alive", "ping"]);
}
