//! The page's own files, and what every answer tells a browser.

use super::*;
use harness::{http::Request, live::connect};
use std::io::Read;

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_keeps_browsers_strict() {
    let queen = Queen::start().await;
    for path in ["/", "/api/v1/jobs", "/nothing", "/healthz"] {
        let reply = queen.get(path).await;
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(reply.header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert_eq!(reply.header("cross-origin-resource-policy"), "same-origin", "{path}");
        let policy = reply.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe") && !policy.contains("https:"),
            "{path}: {policy}"
        );
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_with_its_tag() {
    let queen = Queen::start().await;
    let index = queen.get("/").await;
    if index.status == 404 {
        panic!("web/index.html is not there: {}", index.body);
    }
    assert!(index.header("content-type").starts_with("text/html"));
    for view in ["/jobs", "/jobs/some-id", "/new", "/projects/acme/site"] {
        assert_eq!(queen.get(view).await.body, index.body, "{view}");
    }
    let tag = index.header("etag").to_owned();
    let again = queen.send(Request::new("GET", "/").header("if-none-match", &tag)).await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    for hidden in [
        "/tests/package.json",
        "/package.json",
        "/biome.json",
        "/tsconfig.json",
        "/types.d.ts",
        "/..%2fCargo.toml",
        "/../Cargo.toml",
    ] {
        assert_eq!(queen.get(hidden).await.status, 404, "{hidden}");
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_page_come_packed_and_each_form_has_its_tag() {
    let queen = Queen::start().await;
    for path in ["/", "/app.js", "/icon.svg"] {
        let ask = async |accept: &str, tag: &str| {
            let request = Request::new("GET", path).header("accept-encoding", accept);
            let request = if tag.is_empty() {
                request
            } else {
                request.header("if-none-match", tag)
            };
            queen.send(request).await
        };
        let plain = queen.get(path).await;
        assert_eq!((plain.status, plain.header("content-encoding")), (200, ""), "{path}");
        let mut tags = vec![plain.header("etag").to_owned()];
        for (accept, word) in [
            ("gzip", "gzip"),
            ("gzip, deflate, br", "br"),
            ("br;q=0, gzip;q=0.1", "gzip"),
        ] {
            let packed = ask(accept, "").await;
            assert_eq!(
                (packed.status, packed.header("content-encoding")),
                (200, word),
                "{path}"
            );
            assert_eq!(packed.header("vary"), "accept-encoding");
            assert_eq!(packed.header("content-type"), plain.header("content-type"));
            assert!(packed.bytes.len() < plain.bytes.len(), "{path}");
            assert_eq!(unpacked(word, &packed.bytes), plain.body, "{path}");
            let tag = packed.header("etag");
            let again = ask(accept, tag).await;
            assert_eq!(
                (again.status, again.bytes.len(), again.header("etag")),
                (304, 0, tag),
                "{path}"
            );
            assert_eq!(again.header("vary"), "accept-encoding");
            assert_eq!(ask("identity", tag).await.status, 200, "another form's tag");
            tags.push(tag.to_owned());
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 3, "{path}: {tags:?}");
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_shown_by_three_files_and_less_than_60_kib() {
    let queen = Queen::start().await;
    let mut bytes = 0;
    for path in ["/jobs/some-id", "/app.js", "/views/job.js"] {
        // Of its two codings the larger one.
        let packed = queen
            .send(Request::new("GET", path).header("accept-encoding", "gzip"))
            .await;
        assert_eq!(packed.status, 200, "{path}");
        bytes += packed.bytes.len();
        let text = unpacked("gzip", &packed.bytes);
        // What a file would make the browser ask for before it goes on.
        let more = text.lines().filter(|line| {
            let line = line.trim_start();
            line.starts_with("import ") || line.contains("rel=\"stylesheet\"") || line.contains("<script src=")
        });
        let known = ["import { skep$module } from '/app.js';"];
        assert_eq!(more.filter(|line| !known.contains(line)).count(), 0, "{path}");
    }
    assert!(bytes < 60 * 1024, "{bytes}");
    let map = queen.get("/app.js.map").await;
    assert!(map.body.contains("\"/lib/store.js\""), "{}", map.body);
    let source = queen.get("/lib/store.js").await;
    assert!(
        source.body.starts_with("// "),
        "what the map names is there as it was written"
    );
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_packed_and_streams_as_they_are() {
    let (queen, mut drone, id) = with_failed_job().await;
    for word in ["gzip", "br"] {
        let path = format!("/api/v1/jobs/{id}");
        let packed = queen
            .send(Request::new("GET", &path).header("accept-encoding", word))
            .await;
        assert_eq!(packed.header("content-encoding"), word);
        assert_eq!(packed.header("vary"), "accept-encoding");
        let job: Value = serde_json::from_str(&unpacked(word, &packed.bytes)).unwrap();
        assert_eq!(job["id"], id.as_str());
    }
    let open = queen.submit(json!({"job_id": "open"})).await;
    let work = drone.take(&["a.sh"]).await;
    let path = format!("/api/v1/jobs/{open}/events");
    let request = Request::new("GET", &path).header("accept-encoding", "gzip, br");
    let mut stream = request.open(&queen.addr).await;
    assert!(stream.headers.iter().all(|(name, _)| name != "content-encoding"));
    assert_eq!(
        stream.event().await.unwrap().1,
        "job:queued",
        "the first event comes at once"
    );
    let socket = connect(
        &queen.addr,
        "/api/v1/live",
        Some("skep.live.v1"),
        &[("accept-encoding", "gzip, br")],
    )
    .await;
    socket.unwrap().close(None).await.unwrap();
    drop((stream, work, drone));
    queen.stop().await;
}

fn unpacked(word: &str, bytes: &[u8]) -> String {
    let mut text = String::new();
    match word {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text),
        _ => brotli::Decompressor::new(bytes, 4096).read_to_string(&mut text),
    }
    .unwrap();
    text
}
