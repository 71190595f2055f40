//! A browser's session: begun with a token, proven by its page, over with its token.

use super::{access::token, *};
use harness::{
    http::{Reply, Request},
    live::connect,
};
use queen::store::AccessRole;

async fn closed() -> Queen {
    Queen::start_with(|config| config.require_token = true).await
}

async fn sign_in(queen: &Queen, token: &str) -> Reply {
    queen.post("/api/v1/session", &json!({"token": token})).await
}

/// `name=value` of the cookie that a sign-in has set.
async fn cookie(queen: &Queen, token: &str) -> String {
    let reply = sign_in(queen, token).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.header("set-cookie").split(';').next().unwrap().to_owned()
}

async fn revoke(queen: &Queen, value: &str) {
    let hash = queen::api::tokens::hash(value);
    let token = queen.context.store.token(hash).await.unwrap().unwrap();
    assert!(queen.context.store.remove_token(&token.id).await.unwrap());
}

const CLEARED: &str = "skep_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_signs_in_and_the_cookie_counts_as_it() {
    let queen = closed().await;
    let nobody = queen.get("/api/v1/session").await;
    assert_eq!(nobody.status, 200);
    assert_eq!(nobody.json(), json!({"role": null, "signed_in": false, "may": []}));

    for (role, word, may) in [
        (AccessRole::Read, "read", json!(["read"])),
        (
            AccessRole::Trigger,
            "trigger",
            json!(["read", "submit", "cancel", "rerun", "quarantine"]),
        ),
        (
            AccessRole::Admin,
            "admin",
            json!(["read", "submit", "cancel", "rerun", "quarantine", "drain", "tokens"]),
        ),
    ] {
        let value = token(&queen, role).await;
        let reply = sign_in(&queen, &format!(" {value}\n")).await;
        assert_eq!(
            (reply.status, reply.json()),
            (200, json!({"role": word, "name": "test"}))
        );
        let set = reply.header("set-cookie").to_owned();
        assert!(set.starts_with("skep_session="), "{set}");
        assert!(
            set.ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000"),
            "{set}"
        );
        assert!(
            !set.contains(&value),
            "the token itself stays out of the browser: {set}"
        );
        let pair = set.split(';').next().unwrap();
        let with = |path: &str| Request::new("GET", path).header("cookie", pair);
        let who = queen.send(with("/api/v1/session")).await.json();
        assert_eq!(
            who,
            json!({"role": word, "name": "test", "signed_in": true, "may": may})
        );
        assert_eq!(queen.send(with("/api/v1/jobs")).await.status, 200);
        let tokens = if role == AccessRole::Admin { 200 } else { 403 };
        assert_eq!(queen.send(with("/api/v1/tokens")).await.status, tokens);
        let bearer = pair.split_once('=').unwrap().1;
        assert_eq!(
            queen
                .send(Request::new("GET", "/api/v1/jobs").token(bearer))
                .await
                .status,
            401
        );
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_is_secure_where_the_browser_came_by_https() {
    let queen = closed().await;
    let value = token(&queen, AccessRole::Read).await;
    let body = json!({"token": value}).to_string();
    let own = format!("http://{}", queen.addr);
    let by_tls = format!("https://{}", queen.addr);
    for (header, secure) in [
        (("origin", own.as_str()), false),
        (("origin", by_tls.as_str()), true),
        (("x-forwarded-proto", "https"), true),
        (("x-forwarded-proto", "http"), false),
    ] {
        let request = Request::new("POST", "/api/v1/session").body(body.clone());
        let reply = queen.send(request.header(header.0, header.1)).await;
        assert_eq!(reply.header("set-cookie").ends_with("; Secure"), secure, "{header:?}");
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_cannot_be_says_why() {
    let queen = closed().await;
    let drone = token(&queen, AccessRole::Drone).await;
    for (body, status, kind, message) in [
        (
            json!({"token": "skep_wrong"}),
            401,
            "unauthorized",
            "does not know the token",
        ),
        (json!({"token": ""}), 401, "unauthorized", "does not know the token"),
        (
            json!({"token": drone}),
            403,
            "forbidden",
            "your token has the role drone",
        ),
        (json!({}), 422, "bad-body", "missing field `token`"),
        (json!({"token": 7}), 422, "bad-body", "expected a string"),
        (
            json!({"token": "x", "user": "me"}),
            422,
            "bad-body",
            "unknown field `user`",
        ),
    ] {
        let reply = queen.post("/api/v1/session", &body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.body);
        let (found, why) = reply.error();
        assert!(found == kind && why.contains(message), "{body}: {why}");
        assert_eq!(reply.header("set-cookie"), "", "{body}");
    }
    let foreign = Request::new("POST", "/api/v1/session").header("origin", "http://evil.example.org");
    let reply = queen.send(foreign.body(json!({"token": "x"}).to_string())).await;
    assert_eq!((reply.status, reply.error().0.as_str()), (403, "bad-origin"));
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_cookie_only_the_own_page_changes_or_listens() {
    let queen = closed().await;
    let value = token(&queen, AccessRole::Admin).await;
    let pair = cookie(&queen, &value).await;
    let own = format!("http://{}", queen.addr);
    let neighbour = "http://127.0.0.1:1";
    let job = harness::job(json!({"job_id": "one"})).to_string();
    for (headers, ok) in [
        (vec![], false),
        (vec![("origin", neighbour)], false),
        (vec![("origin", "http://evil.example.org")], false),
        (vec![("origin", "null")], false),
        (vec![("sec-fetch-site", "same-site")], false),
        (vec![("sec-fetch-site", "cross-site")], false),
        (vec![("sec-fetch-site", "none")], false),
        (vec![("origin", own.as_str())], true),
        (vec![("sec-fetch-site", "same-origin")], true),
    ] {
        let mut with = headers.clone();
        with.push(("cookie", &pair));
        for (method, path, body) in [
            ("POST", "/api/v1/jobs", job.as_str()),
            ("DELETE", "/api/v1/session", ""),
            ("POST", "/api/v1/drones/x/drain", "{}"),
        ] {
            let mut request = Request::new(method, path).body(body);
            for (name, value) in &with {
                request = request.header(name, value);
            }
            let reply = queen.send(request).await;
            assert_eq!(
                reply.status != 403,
                ok,
                "{method} {path} with {headers:?}: {}",
                reply.body
            );
            if !ok {
                let (kind, why) = reply.error();
                assert_eq!(kind, "bad-origin");
                assert!(why.contains("the queen's own page"), "{why}");
                assert_eq!(reply.header("set-cookie"), "", "the session lives on");
            }
        }
        let socket = connect(&queen.addr, "/api/v1/live", Some("skep.live.v1"), &with).await;
        match socket {
            Ok(_) => assert!(ok, "{headers:?}"),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                assert!(!ok && response.status() == 403, "{headers:?}: {response:?}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    // Looking needs no proof: no other page gets to see the answer, and the browser sends them no cookie.
    let read = Request::new("GET", "/api/v1/jobs").header("cookie", &pair);
    assert_eq!(queen.send(read).await.status, 200);
    // A program's token needs none, whatever cookie comes along.
    let both = Request::new("POST", "/api/v1/jobs")
        .header("cookie", &pair)
        .token(&value);
    assert_eq!(queen.send(both.body(job)).await.status, 200);
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_cookie_is_refused_and_taken_away() {
    let queen = closed().await;
    let value = token(&queen, AccessRole::Trigger).await;
    let revoked = cookie(&queen, &value).await;
    revoke(&queen, &value).await;
    let other = closed().await;
    let elsewhere = cookie(&other, &token(&other, AccessRole::Admin).await).await;
    other.stop().await;
    for (pair, why) in [
        (revoked.as_str(), "the token that the session was begun with is revoked"),
        (elsewhere.as_str(), "this queen did not make the session's cookie"),
        ("skep_session=", "this queen did not make the session's cookie"),
        ("skep_session=a.b.c", "this queen did not make the session's cookie"),
    ] {
        let with = |method: &str, path: &str| Request::new(method, path).header("cookie", pair);
        for request in [
            with("GET", "/api/v1/jobs"),
            with("POST", "/api/v1/jobs")
                .header("sec-fetch-site", "same-origin")
                .body("{}"),
        ] {
            let reply = queen.send(request).await;
            assert_eq!((reply.status, reply.header("set-cookie")), (401, CLEARED));
            let (kind, message) = reply.error();
            assert!(kind == "unauthorized" && message.contains(why), "{message}");
        }
        // The page itself is there, to sign in again.
        for path in ["/", "/api/v1/session"] {
            let reply = queen.send(with("GET", path)).await;
            assert_eq!((reply.status, reply.header("set-cookie")), (200, CLEARED), "{path}");
        }
        let headers = [("cookie", pair), ("sec-fetch-site", "same-origin")];
        assert!(
            connect(&queen.addr, "/api/v1/live", Some("skep.live.v1"), &headers)
                .await
                .is_err()
        );
        let again = token(&queen, AccessRole::Read).await;
        let body = json!({"token": again}).to_string();
        let reply = queen.send(with("POST", "/api/v1/session").body(body)).await;
        assert_eq!(reply.status, 200);
        assert_ne!(
            reply.header("set-cookie"),
            CLEARED,
            "the new one is not taken away with the old one"
        );
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_takes_the_cookie_away() {
    let queen = closed().await;
    for pair in [
        cookie(&queen, &token(&queen, AccessRole::Read).await).await,
        String::new(),
    ] {
        let request = Request::new("DELETE", "/api/v1/session").header("sec-fetch-site", "same-origin");
        let reply = queen.send(request.header("cookie", &pair)).await;
        assert_eq!((reply.status, reply.header("set-cookie")), (204, CLEARED));
    }
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_queen_needs_no_session_and_takes_one() {
    let queen = Queen::start().await;
    let everything = json!(["read", "submit", "cancel", "rerun", "quarantine", "drain", "tokens"]);
    let open = json!({"role": "open", "signed_in": false, "may": everything});
    assert_eq!(queen.get("/api/v1/session").await.json(), open);
    let value = token(&queen, AccessRole::Read).await;
    let pair = cookie(&queen, &value).await;
    let who = async |pair: &str| {
        let reply = queen
            .send(Request::new("GET", "/api/v1/session").header("cookie", pair))
            .await;
        assert_eq!(reply.header("set-cookie"), "");
        reply.json()
    };
    assert_eq!(who(&pair).await["role"], "read", "a session narrows");
    // Cookies know no ports: that of another queen of the machine is let alone.
    assert_eq!(who("skep_session=of.another.queen").await, open);
    revoke(&queen, &value).await;
    assert_eq!(who(&pair).await, open);
    queen.stop().await;
}
