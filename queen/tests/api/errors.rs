//! Every refusal, with its status, its word and what it says.

use super::*;
use harness::http::Request;

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_to_do() {
    let (queen, _drone, id) = with_failed_job().await;
    let passed = queen.submit(json!({"job_id": "none-failed", "labels": ["gpu"]})).await;
    queen.post(&format!("/api/v1/jobs/{passed}/cancel"), &json!({})).await;
    ended(&queen, &passed).await;
    let job = |more: Value| harness::job(more).to_string();
    let missing = "/api/v1/jobs/missing";
    #[rustfmt::skip]
    let table: Vec<(&str, String, String, u16, &str, &str)> = vec![
        ("GET", "/api/v1/nothing".into(), String::new(), 404, "not-found", "/api/v1/openapi.json lists all addresses"),
        ("GET", "/api".into(), String::new(), 404, "not-found", "/api/v1/openapi.json"),
        ("GET", "/nothing.js".into(), String::new(), 404, "not-found", "there is nothing at /nothing.js"),
        ("PUT", "/api/v1/jobs".into(), String::new(), 405, "method-not-allowed", "does not take PUT"),
        ("DELETE", format!("/api/v1/jobs/{id}"), String::new(), 405, "method-not-allowed", "the Allow header"),
        ("GET", "/api/v1/live".into(), String::new(), 426, "upgrade-required", "speaks WebSocket (skep.live.v1)"),
        ("POST", "/api/v1/jobs".into(), String::new(), 400, "bad-json", "the body is no JSON: EOF"),
        ("POST", "/api/v1/jobs".into(), "{\"project\":".into(), 400, "bad-json", "send an object in UTF-8"),
        ("POST", "/api/v1/jobs".into(), "[]".into(), 422, "bad-job", "the job is not valid"),
        ("POST", "/api/v1/jobs".into(), "{}".into(), 422, "bad-job", "missing field `project`"),
        ("POST", "/api/v1/jobs".into(), job(json!({"projct": 1})), 422, "bad-job", "did you mean \"project\"?"),
        ("POST", "/api/v1/jobs".into(), job(json!({"project": "x"})), 422, "bad-job", "use owner/name"),
        ("POST", "/api/v1/jobs".into(), job(json!({"ref": {"id": "abc"}})), 422, "bad-job", "all 40 hexadecimal digits"),
        ("POST", "/api/v1/jobs".into(), job(json!({"secrets": {"A": "[secret]"}})), 422, "redacted", "send the real values"),
        ("POST", "/api/v1/jobs".into(), " ".repeat(600 * 1024), 413, "too-large", "more than 524288 bytes"),
        ("GET", missing.into(), String::new(), 404, "not-found", "there is no job missing: GET /api/v1/jobs lists"),
        ("GET", format!("{missing}/files"), String::new(), 404, "not-found", "there is no job missing"),
        ("GET", format!("{missing}/files/1/cases"), String::new(), 404, "not-found", "there is no job missing"),
        ("GET", format!("{missing}/events"), String::new(), 404, "not-found", "there is no job missing"),
        ("GET", format!("{missing}/log"), String::new(), 404, "not-found", "there is no job missing"),
        ("GET", format!("{missing}/junit.xml"), String::new(), 404, "not-found", "there is no job missing"),
        ("POST", format!("{missing}/cancel"), String::new(), 404, "not-found", "there is no job missing"),
        ("POST", format!("{missing}/rerun"), String::new(), 404, "not-found", "there is no job missing"),
        ("GET", "/api/v1/jobs/a%20b".into(), String::new(), 400, "bad-query", "use 1 to 64 letters"),
        ("GET", "/api/v1/jobs?limit=0".into(), String::new(), 400, "bad-query", "limit is 0: choose 1 to 200"),
        ("GET", "/api/v1/jobs?limit=x".into(), String::new(), 400, "bad-query", "invalid digit"),
        ("GET", "/api/v1/jobs?state=done".into(), String::new(), 400, "bad-query", "\"done\" is no state: use queued"),
        ("GET", "/api/v1/jobs?before=1".into(), String::new(), 400, "bad-query", "give the \"next\" of the page before"),
        ("GET", "/api/v1/jobs?project=x".into(), String::new(), 400, "bad-query", "use owner/name"),
        ("GET", "/api/v1/jobs?sate=passed".into(), String::new(), 400, "bad-query", "unknown field `sate`"),
        ("GET", format!("/api/v1/jobs/{id}/events?from=x"), String::new(), 400, "bad-query", "the query cannot be read"),
        ("GET", format!("/api/v1/jobs/{id}/log?num=99"), String::new(), 404, "not-found", "has no command 99 (yet)"),
        ("GET", format!("/api/v1/jobs/{id}/log?num=99&from=1"), String::new(), 404, "not-found", "has no command 99 (yet)"),
        ("GET", format!("/api/v1/jobs/{id}/log?from=1"), String::new(), 400, "bad-query", "say which with num"),
        ("GET", format!("/api/v1/jobs/{id}/log?num=1&from=0"), String::new(), 400, "bad-query", "lines count from 1"),
        ("GET", format!("/api/v1/jobs/{id}/log?num=1&from=3&to=2"), String::new(), 400, "bad-query", "from is 3 and to is 2"),
        ("GET", format!("{missing}/log/search?text=x"), String::new(), 404, "not-found", "there is no job missing"),
        ("GET", format!("/api/v1/jobs/{id}/log/search"), String::new(), 400, "bad-query", "missing field `text`"),
        ("GET", format!("/api/v1/jobs/{id}/log/search?text="), String::new(), 400, "bad-query", "text is empty: say what"),
        ("GET", format!("/api/v1/jobs/{id}/log/search?text=%1b[1m"), String::new(), 400, "bad-query", "text is empty: say what"),
        ("GET", format!("/api/v1/jobs/{id}/log/search?text=a%0ab"), String::new(), 400, "bad-query", "within single lines"),
        ("GET", format!("/api/v1/jobs/{id}/log/search?text={}", "x".repeat(1_001)), String::new(), 400, "bad-query", "more than 1000 characters"),
        ("GET", format!("/api/v1/jobs/{id}/log/search?text=x&limit=0"), String::new(), 400, "bad-query", "limit is 0: use 1 to 100000"),
        ("GET", format!("/api/v1/jobs/{id}/log/search?text=x&num=99"), String::new(), 404, "not-found", "has no command 99: GET"),
        ("GET", format!("{missing}/log/lines?num=1"), String::new(), 404, "not-found", "there is no job missing"),
        ("GET", format!("/api/v1/jobs/{id}/log/lines"), String::new(), 400, "bad-query", "missing field `num`"),
        ("GET", format!("/api/v1/jobs/{id}/log/lines?num=-1"), String::new(), 400, "bad-query", "invalid digit"),
        ("GET", format!("/api/v1/jobs/{id}/log/lines?num=0&form=1"), String::new(), 400, "bad-query", "unknown field `form`"),
        ("GET", format!("/api/v1/jobs/{id}/log/lines?num=0&from=0"), String::new(), 400, "bad-query", "lines count from 1"),
        ("GET", format!("/api/v1/jobs/{id}/log/lines?num=0&count=0"), String::new(), 400, "bad-query", "count is 0: use 1 to 2000"),
        ("GET", format!("/api/v1/jobs/{id}/log/lines?num=0&count=2001"), String::new(), 400, "bad-query", "ask for more with from"),
        ("GET", format!("/api/v1/jobs/{id}/log/lines?num=99"), String::new(), 404, "not-found", "has no command 99: GET"),
        ("GET", format!("/api/v1/jobs/{id}/log?stream=in"), String::new(), 400, "bad-query", "use stdout or stderr"),
        ("GET", format!("/api/v1/jobs/{id}/files/x/cases"), String::new(), 400, "bad-query", "no number of a command"),
        ("GET", format!("/api/v1/jobs/{id}/files/0/cases"), String::new(), 404, "not-found", "names the numbers"),
        ("POST", format!("/api/v1/jobs/{id}/cancel"), String::new(), 409, "ended", "has ended already (failed)"),
        ("POST", format!("/api/v1/jobs/{id}/cancel"), "{\"why\":1}".into(), 422, "bad-body", "unknown field `why`"),
        ("POST", format!("/api/v1/jobs/{id}/cancel"), "{".into(), 400, "bad-json", "the body is no JSON"),
        ("POST", format!("/api/v1/jobs/{id}/rerun"), "{\"failed\":1}".into(), 422, "bad-body", "expected a boolean"),
        ("POST", "/api/v1/jobs/none-failed/rerun".into(), "{\"failed\":true}".into(), 409, "nothing-failed", "rerun the whole job"),
        ("POST", format!("/api/v1/jobs/{id}/rerun"), "{\"only\":[\"bad.sh\",\"b.sh\"]}".into(), 422, "unknown-file", "has no test file \"b.sh\": GET /api/v1/jobs/example/files has"),
        ("POST", format!("/api/v1/jobs/{id}/rerun"), "{\"only\":[]}".into(), 422, "bad-body", "only is an empty list: name test files"),
        ("POST", format!("/api/v1/jobs/{id}/rerun"), "{\"only\":\"bad.sh\"}".into(), 422, "bad-body", "expected a sequence"),
        ("POST", format!("/api/v1/jobs/{id}/rerun"), "{\"failed\":true,\"only\":[\"good.sh\"]}".into(), 409, "nothing-failed", "leave failed out to run them"),
        ("GET", "/api/v1/drones/nobody".into(), String::new(), 404, "not-found", "no drone nobody has ever connected"),
        ("POST", "/api/v1/drones/nobody/drain".into(), String::new(), 404, "not-found", "no drone nobody"),
        ("POST", "/api/v1/drones/nobody/drain".into(), "7".into(), 422, "bad-body", "the body does not fit"),
        ("GET", "/api/v1/drones/a%20b".into(), String::new(), 400, "bad-query", "drone id"),
        ("GET", "/api/v1/projects/no/body".into(), String::new(), 404, "not-found", "it appears with its first job"),
        ("GET", "/api/v1/projects/one".into(), String::new(), 400, "bad-query", "use owner/name"),
        ("GET", "/api/v1/projects/acme/site?path=x".into(), String::new(), 400, "bad-query", "a project takes no path: …/history takes path"),
        ("GET", "/api/v1/projects/no/body/history?path=x".into(), String::new(), 404, "not-found", "no project no/body"),
        ("POST", "/api/v1/tokens".into(), "{\"name\":\"x\",\"role\":\"king\"}".into(), 422, "bad-body", "unknown variant `king`"),
        ("POST", "/api/v1/tokens".into(), "{\"name\":\" \",\"role\":\"read\"}".into(), 422, "bad-body", "say what the token is for"),
        ("POST", "/api/v1/tokens".into(), "{".into(), 400, "bad-json", "the body is no JSON"),
        ("DELETE", "/api/v1/tokens/x".into(), String::new(), 404, "not-found", "lists the ids"),
    ];
    for (method, path, body, status, kind, message) in table {
        let reply = queen.send(Request::new(method, &path).body(body)).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        let (own_kind, own_message) = reply.error();
        assert_eq!(own_kind, kind, "{method} {path}: {own_message}");
        assert!(own_message.contains(message), "{method} {path}: {own_message}");
        if status == 405 {
            assert!(!reply.header("allow").is_empty(), "{reply:?}");
        }
    }
    let binary = queen
        .send(Request::new("POST", "/api/v1/jobs").body(vec![0xff, 0xfe]))
        .await;
    assert!(binary.error().1.contains("no UTF-8 text"), "{binary:?}");
    let resumed = Request::new("GET", &format!("/api/v1/jobs/{id}/events")).header("last-event-id", "x");
    assert!(
        queen
            .send(resumed)
            .await
            .error()
            .1
            .contains("number of the last event received")
    );
    queen.stop().await;
}
