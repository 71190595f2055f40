//! The client against a server that says what the test wants.

use super::*;
use std::{
    io::Write,
    net::{TcpListener, TcpStream},
};

/// Answers each connection with the next of `answers`, byte by byte in pieces; hands out the requests' first lines.
pub fn server(answers: Vec<Vec<String>>) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for pieces in answers {
            let (mut socket, _) = listener.accept().unwrap();
            told.send(request(&mut socket)).unwrap();
            for piece in pieces {
                socket.write_all(piece.as_bytes()).unwrap();
                socket.flush().unwrap();
            }
        }
    });
    (url, heard)
}

fn request(socket: &mut TcpStream) -> String {
    let mut reader = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "the request ended early");
    }
    head
}

/// An answer in one piece.
pub fn answer(status: &str, body: &str) -> Vec<String> {
    vec![format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )]
}

/// A client of that server.
pub fn client(url: &str) -> Client {
    Client::new(url, Some("t0k".into())).unwrap()
}

#[tokio::test]
async fn errors_of_the_api_are_read() {
    let (url, heard) = server(vec![answer(
        "404 Not Found",
        r#"{"error": "there is no job x", "kind": "not-found"}"#,
    )]);
    let error = client(&url).get::<serde_json::Value>("jobs/x").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no job x");
    assert!(!error.may_pass());
    let head = heard.recv().unwrap().to_ascii_lowercase();
    assert!(
        head.starts_with("get /api/v1/jobs/x http/1.1") && head.contains("authorization: bearer t0k"),
        "{head}"
    );
}

#[tokio::test]
async fn what_is_no_queen_is_told_apart() {
    let (url, _heard) = server(vec![answer("200 OK", "<html>"), answer("502 Bad Gateway", "<html>")]);
    let client = client(&url);
    for _ in 0..2 {
        let error = client.get::<serde_json::Value>("jobs/x").await.unwrap_err();
        assert!(error.to_string().contains("is not what a queen says"), "{error}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Client::new(&nobody.to_string(), None)
        .unwrap()
        .text("/healthz")
        .await
        .unwrap_err();
    assert!(
        error.may_pass() && error.to_string().contains("start one with `queen serve`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_stream_is_read_event_by_event() {
    let pieces = [
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
        "id: 1\nevent: a\nda",
        "ta: {\"seq\":1}\n",
        "\n: the stream lives\n\ndata:{\"seq\":2,\r\ndata: \"x\":\"ü\"}\r\n\r\n",
        "data: cut",
    ];
    let (url, heard) = server(vec![pieces.map(String::from).to_vec()]);
    let mut events = client(&url).events(&JobId::new("j").unwrap(), Seq(7));
    let mut lines = Vec::new();
    while let Some(line) = events.next().await {
        lines.push(line.unwrap());
    }
    assert_eq!(lines, ["{\"seq\":1}", "{\"seq\":2,\n\"x\":\"ü\"}"]);
    assert!(heard.recv().unwrap().starts_with("GET /api/v1/jobs/j/events?from=7 "));
}

#[test]
fn addresses_are_checked() {
    for (address, message) in [
        ("ftp://x", "no way to reach a queen"),
        ("http://u:p@x", "put the token into QUEEN_TOKEN"),
        ("http://", "cannot be used"),
    ] {
        let failure = Client::new(address, None).unwrap_err();
        assert!(failure.message.contains(message), "{address}: {}", failure.message);
    }
    assert_eq!(
        Client::new("localhost:7874/q/", None).unwrap().base(),
        "http://localhost:7874/q"
    );
}

#[test]
fn no_debug_shows_the_token() {
    assert!(!format!("{:?}", client("http://x")).contains("t0k"));
    assert_eq!(encode("a b/ü&"), "a%20b%2F%C3%BC%26");
}
