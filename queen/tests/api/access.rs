//! Who gets in: tokens and roles, and names and pages that an open queen does not trust.

use super::*;
use harness::{http::Request, live::connect};
use queen::{api::tokens::mint, store::AccessRole};

pub async fn token(queen: &Queen, role: AccessRole) -> String {
    let minted = mint("test", role);
    queen.context.store.add_token(&minted.token, minted.hash).await.unwrap();
    minted.value
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_what_it_may_and_no_more() {
    let queen = Queen::start_with(|config| config.require_token = true).await;
    let mut tokens = vec![None, Some("skep_wrong".to_owned())];
    for role in [
        AccessRole::Admin,
        AccessRole::Trigger,
        AccessRole::Read,
        AccessRole::Drone,
    ] {
        tokens.push(Some(token(&queen, role).await));
    }
    let job = harness::job(json!({"job_id": "one"})).to_string();
    let added = "{\"name\":\"x\",\"role\":\"read\"}";
    // The columns: none, wrong, admin, trigger, read, drone.
    for (method, path, body, statuses) in [
        ("GET", "/healthz", "", [200, 200, 200, 200, 200, 200]),
        ("GET", "/readyz", "", [200, 200, 200, 200, 200, 200]),
        ("GET", "/api/v1/openapi.json", "", [200, 401, 200, 200, 200, 200]),
        ("GET", "/metrics", "", [401, 401, 200, 200, 200, 403]),
        ("GET", "/api/v1/jobs", "", [401, 401, 200, 200, 200, 403]),
        ("POST", "/api/v1/jobs", &job, [401, 401, 201, 200, 403, 403]),
        ("GET", "/api/v1/jobs/one/log", "", [401, 401, 200, 200, 200, 403]),
        ("GET", "/api/v1/drones", "", [401, 401, 200, 200, 200, 403]),
        ("POST", "/api/v1/drones/x/drain", "", [401, 401, 404, 403, 403, 403]),
        ("GET", "/api/v1/tokens", "", [401, 401, 200, 403, 403, 403]),
        ("POST", "/api/v1/tokens", added, [401, 401, 201, 403, 403, 403]),
        ("DELETE", "/api/v1/tokens/x", "", [401, 401, 404, 403, 403, 403]),
        (
            "GET",
            "/git/acme/site.git/info/refs?service=git-upload-pack",
            "",
            [401, 401, 404, 404, 404, 404],
        ),
        (
            "POST",
            "/git/acme/site.git/git%2Dreceive-pack?service=git-upload-pack",
            "",
            [401, 401, 415, 415, 403, 403],
        ),
        ("GET", "/api/v1/nothing", "", [401, 401, 404, 404, 404, 403]),
    ] {
        for (token, status) in tokens.iter().zip(statuses) {
            let mut request = Request::new(method, path).body(body);
            if let Some(token) = token {
                request = request.token(token);
            }
            let reply = queen.send(request).await;
            assert_eq!(reply.status, status, "{method} {path} with {token:?}: {}", reply.body);
            match status {
                401 => {
                    let (kind, message) = reply.error();
                    let hint = if token.is_some() {
                        "queen token add"
                    } else {
                        "Authorization: Bearer TOKEN"
                    };
                    assert!(kind == "unauthorized" && message.contains(hint), "{message}");
                    let scheme = if path.starts_with("/git/") { "Basic" } else { "Bearer" };
                    assert!(reply.header("www-authenticate").starts_with(scheme));
                }
                403 => assert!(reply.error().1.contains("your token has the role"), "{}", reply.body),
                _ => {}
            }
        }
    }
    // The sockets: a role too small is refused before the upgrade.
    for (path, statuses) in [
        ("/api/v1/live", [401, 401, 101, 101, 101, 403]),
        ("/api/v1/drone", [401, 401, 101, 403, 403, 101]),
    ] {
        let protocol = if path.ends_with("live") {
            "skep.live.v1"
        } else {
            "skep.drone.v1"
        };
        for (token, status) in tokens.iter().zip(statuses) {
            let value = token.as_ref().map(|token| format!("Bearer {token}"));
            let headers: Vec<_> = value.iter().map(|value| ("authorization", value.as_str())).collect();
            let found = match connect(&queen.addr, path, Some(protocol), &headers).await {
                Ok(_) => 101,
                Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(found, status, "{path} with {token:?}");
        }
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_used_and_taken_away() {
    let queen = Queen::start().await;
    let made = queen
        .post("/api/v1/tokens", &json!({"name": "ci", "role": "read"}))
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let made = made.json();
    let value = made["token"].as_str().unwrap();
    assert!(value.starts_with("skep_") && value.len() == 48, "{value}");
    let listed = queen.get("/api/v1/tokens").await;
    assert!(!listed.body.contains(value), "{}", listed.body);
    assert_eq!(listed.json()[0]["name"], "ci");

    let with = |path: &str| Request::new("GET", path).token(value);
    assert_eq!(queen.send(with("/api/v1/jobs")).await.status, 200);
    // A token narrows even where none is needed.
    assert_eq!(queen.send(with("/api/v1/tokens")).await.status, 403);
    let query = queen.get(&format!("/api/v1/jobs?token={value}")).await;
    assert_eq!(query.status, 400, "a token in an address is not taken: {}", query.body);

    let id = made["id"].as_str().unwrap();
    assert_eq!(
        queen
            .send(Request::new("DELETE", &format!("/api/v1/tokens/{id}")))
            .await
            .status,
        204
    );
    assert_eq!(queen.send(with("/api/v1/jobs")).await.status, 401);
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_queen_trusts_neither_other_names_nor_other_pages() {
    let queen = Queen::start().await;
    let port = queen.addr.split(':').next_back().unwrap();
    let own = format!("http://{}", queen.addr);
    let job = harness::job(json!({"job_id": "x"})).to_string();
    for (method, host, origin, status, kind) in [
        ("GET", format!("localhost:{port}"), None, 200, ""),
        ("GET", "evil.example.org".to_owned(), None, 403, "bad-host"),
        ("GET", queen.addr.clone(), Some("http://evil.example.org"), 200, ""),
        (
            "POST",
            queen.addr.clone(),
            Some("http://evil.example.org"),
            403,
            "bad-origin",
        ),
        ("POST", queen.addr.clone(), Some("null"), 403, "bad-origin"),
        (
            "POST",
            "evil.example.org".to_owned(),
            Some("http://evil.example.org"),
            403,
            "bad-host",
        ),
        ("POST", queen.addr.clone(), Some(own.as_str()), 201, ""),
        ("POST", queen.addr.clone(), None, 200, ""),
    ] {
        let mut request = Request::new(method, "/api/v1/jobs").header("host", &host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        if method == "POST" {
            request = request.body(job.clone());
        }
        let reply = queen.send(request).await;
        assert_eq!(
            reply.status, status,
            "{method} to {host} from {origin:?}: {}",
            reply.body
        );
        if !kind.is_empty() {
            assert_eq!(reply.error().0, kind);
        }
    }
    for (origin, ok) in [("http://evil.example.org", false), (own.as_str(), true)] {
        let socket = connect(&queen.addr, "/api/v1/live", Some("skep.live.v1"), &[("origin", origin)]).await;
        assert_eq!(socket.is_ok(), ok, "{origin}");
    }
    queen.stop().await;
}
