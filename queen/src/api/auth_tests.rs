//! Who may do what, and from where, as tables.

use super::*;
use AccessRole::{Admin, Drone, Read, Trigger};

#[test]
fn every_address_demands_what_it_should() {
    for (method, path, query, wanted) in [
        ("GET", "/", "", Need::Nothing),
        ("GET", "/app.js", "", Need::Nothing),
        ("GET", "/jobs/x", "", Need::Nothing),
        ("POST", "/", "", Need::Admin),
        ("GET", "/metrics", "", Need::Read),
        ("GET", "/api/v1/openapi.json", "", Need::Nothing),
        ("GET", "/api/v1/jobs", "", Need::Read),
        ("HEAD", "/api/v1/jobs/x/log", "", Need::Read),
        ("GET", "/api/v1/live", "", Need::Read),
        ("POST", "/api/v1/jobs", "", Need::Trigger),
        ("POST", "/api/v1/jobs/x/cancel", "", Need::Trigger),
        ("POST", "/api/v1/jobs/x/rerun", "", Need::Trigger),
        ("GET", "/api/v1/projects/a/b/quarantine", "", Need::Read),
        ("PUT", "/api/v1/projects/a/b/quarantine", "path=x", Need::Trigger),
        ("DELETE", "/api/v1/projects/a%2Fb/quarantine", "path=x", Need::Trigger),
        ("DELETE", "/api/v1/projects", "", Need::Admin),
        ("POST", "/api/v1/drones/x/drain", "", Need::Admin),
        ("GET", "/api/v1/drone", "", Need::Drone),
        ("GET", "/api/v1/drones", "", Need::Read),
        ("GET", "/api/v1/tokens", "", Need::Admin),
        ("POST", "/api/v1/tokens", "", Need::Admin),
        ("DELETE", "/api/v1/tokens/x", "", Need::Admin),
        ("PUT", "/api/v1/jobsx", "", Need::Admin),
        ("GET", "/git/a/b.git/info/refs", "service=git-upload-pack", Need::Fetch),
        (
            "GET",
            "/git/a/b.git/info/refs",
            "service=git-receive-pack",
            Need::Trigger,
        ),
        ("GET", "/git/a/b.git/info/refs", "", Need::Trigger),
        ("POST", "/git/a/b.git/git-upload-pack", "", Need::Fetch),
        ("POST", "/git/a/b.git/git-receive-pack", "", Need::Trigger),
        (
            "POST",
            "/git/a/b.git/git-receive-pack",
            "service=git-upload-pack",
            Need::Trigger,
        ),
        (
            "POST",
            "/git/a/b.git/git%2Dreceive-pack",
            "service=git-upload-pack",
            Need::Trigger,
        ),
        (
            "POST",
            "/git/a/b.git/git-receive%2dpack",
            "service=git-upload-pack",
            Need::Trigger,
        ),
        ("POST", "/api/v1/session", "", Need::Nothing),
        ("DELETE", "/api/v1/session", "", Need::Nothing),
        ("POST", "/api/v1/session/x", "", Need::Admin),
        ("GET", "/api/v2/jobs", "", Need::Read),
        ("PATCH", "/api/v2/jobs", "", Need::Admin),
    ] {
        assert_eq!(
            need(&method.parse().unwrap(), path, query),
            wanted,
            "{method} {path}?{query}"
        );
    }
}

#[test]
fn roles_include_those_below_them_and_drones_stand_alone() {
    let needs = [
        Need::Nothing,
        Need::Fetch,
        Need::Read,
        Need::Trigger,
        Need::Admin,
        Need::Drone,
    ];
    for (access, may) in [
        (Access::Nobody, [true, false, false, false, false, false]),
        (Access::Open, [true; 6]),
        (Access::Token(Admin), [true; 6]),
        (Access::Token(Trigger), [true, true, true, true, false, false]),
        (Access::Token(Read), [true, true, true, false, false, false]),
        (Access::Token(Drone), [true, true, false, false, false, true]),
    ] {
        assert_eq!(needs.map(|need| access.may(need)), may, "{access:?}");
        for need in needs {
            assert_eq!(access.check(need).is_ok(), access.may(need));
        }
    }
}

fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
    list.iter()
        .map(|(name, value)| (name.clone(), value.parse().unwrap()))
        .collect()
}

#[test]
fn only_names_of_this_machine_reach_an_open_queen() {
    let mut config = Config::local("/nowhere".into());
    config.public_url = Some("https://ci.example.org/skep".into());
    for (host, ok) in [
        ("localhost", true),
        ("LOCALHOST:7874", true),
        ("127.0.0.1:1", true),
        ("127.9.9.9", true),
        ("[::1]:7874", true),
        ("ci.example.org", true),
        ("ci.example.org:443", true),
        ("evil.example.org", false),
        ("localhost.example.org", false),
        ("192.168.0.1", false),
        ("0.0.0.0", false),
        ("[::1", false),
        ("", false),
    ] {
        assert_eq!(
            check_host(&config, &headers(&[(header::HOST, host)])).is_ok(),
            ok,
            "{host}"
        );
    }
}

#[test]
fn only_pages_of_this_queen_may_change_anything() {
    let mut config = Config::local("/nowhere".into());
    config.public_url = Some("https://ci.example.org/skep".into());
    for (host, origin, ok) in [
        ("localhost:1", "http://localhost:1", true),
        ("localhost:1", "https://localhost:1", true),
        ("localhost:1", "http://localhost:2", false),
        ("localhost:1", "http://127.0.0.1:1", false),
        ("localhost:1", "https://ci.example.org", true),
        ("localhost:1", "http://ci.example.org", false),
        ("localhost:1", "null", false),
        ("", "http://", false),
        ("localhost:1", "file://localhost:1", false),
    ] {
        let headers = headers(&[(header::HOST, host), (header::ORIGIN, origin)]);
        assert_eq!(
            check_origin(&config, &headers).ok(),
            ok.then_some(true),
            "{origin} at {host}"
        );
    }
    assert_eq!(check_origin(&config, &HeaderMap::new()), Ok(false), "a program");
    for (site, origin, wanted) in [
        ("same-origin", None, Some(true)),
        ("same-origin", Some("http://behind.a.proxy"), Some(true)),
        ("none", None, Some(false)),
        ("same-site", None, None),
        ("cross-site", None, None),
        ("same-site", Some("http://localhost:2"), None),
        ("cross-site", Some("https://ci.example.org"), Some(true)),
    ] {
        let mut all = vec![
            (header::HOST, "localhost:1"),
            (HeaderName::from_static("sec-fetch-site"), site),
        ];
        all.extend(origin.map(|origin| (header::ORIGIN, origin)));
        assert_eq!(check_origin(&config, &headers(&all)).ok(), wanted, "{site} {origin:?}");
    }
}

#[test]
fn tokens_come_as_bearer_or_as_the_password_of_basic() {
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    for (value, token) in [
        ("Bearer abc".to_owned(), Some("abc")),
        ("bearer  abc ".into(), Some("abc")),
        (basic("git:abc"), Some("abc")),
        (basic(":a:b"), Some("a:b")),
        (basic("abc"), None),
        (basic("abc:"), None),
        ("Basic %".into(), None),
        ("Bearer ".into(), None),
        ("Digest x".into(), None),
        ("abc".into(), None),
    ] {
        let found = presented(&headers(&[(header::AUTHORIZATION, &value)]));
        assert_eq!(found.ok().flatten().as_deref(), token, "{value}");
    }
    assert_eq!(presented(&HeaderMap::new()), Ok(None));
}

#[test]
fn a_page_offers_its_token_as_a_subprotocol() {
    let offer = |value| presented(&headers(&[(header::SEC_WEBSOCKET_PROTOCOL, value)]));
    assert_eq!(offer("skep.live.v1, skep.token.skep_abc"), Ok(Some("skep_abc".into())));
    assert_eq!(offer("skep.live.v1"), Ok(None));
}
