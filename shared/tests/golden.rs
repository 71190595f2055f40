//! The JSON of every message, fixed: what is here is what older and newer programs on the wire rely on.

use serde::Serialize;
use shared::protocol::{
    Frame, JobEvent, Message, ToDrone, ToQueen,
    frame::{FrameError, Numbered},
    live::{FromClient, ToClient},
    to_queen::Agent,
};
use std::collections::BTreeSet;

/// Reads each line, writes it again, and holds it against the line; every known type has to be there.
fn fixed<M: Serialize>(lines: &[&str], types: &[&str], read: impl Fn(&Message<'_>) -> Result<Option<M>, FrameError>) {
    let mut seen = BTreeSet::new();
    for line in lines {
        let frame = Frame::read(line).expect("a message of this direction");
        let message = read(&frame.0[0])
            .expect("a message of this direction")
            .unwrap_or_else(|| panic!("{line}: unknown type"));
        let before: serde_json::Value = serde_json::from_str(line).expect("a message of this direction");
        let after = serde_json::to_value(&message).expect("a message of this direction");
        assert_eq!(after, before);
        seen.insert(frame.0[0].kind.to_string());
    }
    let known: BTreeSet<String> = types.iter().map(ToString::to_string).collect();
    assert_eq!(seen, known, "a message type has no golden line");
}

#[test]
fn to_drone() {
    let lines = [
        r#"{"type":"drone:query-info","args":[]}"#,
        r#"{"type":"queue:new","args":[{"job_id":"j1","user_id":"u","project":"o/n","repo":{"url":"https://h/r","auth":{"type":"https","username":"me","password":"pw"},"provider":"github","vcs":"git"},"ref":{"branch":"main","id":"3f2a91c03f2a91c03f2a91c03f2a91c03f2a91c0"},"job_type":"TEST&DEPLOY","trigger":{"type":"manual","author":{"name":"N","email":"n@h","username":"n"},"message":"m","timestamp":1700000000000,"url":"https://h","source":{"type":"API","app":"cli"}},"plugins":["env"],"config":{"env":{"A":"1"}},"priority":2,"labels":["gpu"],"spread":2,"retries":1,"timeout":600,"delay_until":1700000000001,"secrets":{"TOKEN":"s"},"only":["a_test.py"],"cases":{"a_test.py":["test_x[1]"]},"rerun_of":"j0"},{"token":4,"role":"home","num":0}]}"#,
        r#"{"type":"queue:new","args":[{"project":"o/n","ref":{"fetch":"refs/pull/7/merge"},"repo":{"url":"git@h:r","auth":{"type":"ssh","key":"k"},"vcs":"git"},"job_type":"TEST","trigger":{"type":"push","timestamp":1,"source":{"type":"UI","page":"/new"}}},{"token":5,"role":"helper","num":12}]}"#,
        r#"{"type":"job:run","args":["j1",4,[{"num":7,"path":"tests/test_a.py","attempt":1,"timeout":60},{"num":8,"path":"b","attempt":2,"cases":["test_x[1]"]},{"num":9,"path":"c#2of2","attempt":1,"part":{"file":"c","groups":["TestA"],"rest":true}}]]}"#,
        r#"{"type":"job:take-back","args":["j1",4,[7,8],true]}"#,
        r#"{"type":"job:phase","args":["j1",4,"deploy",40]}"#,
        r#"{"type":"job:query-info","args":["j1"]}"#,
        r#"{"type":"job:cancel","args":["j1","because",4]}"#,
        r#"{"type":"drone:resumed","args":[[{"id":"j1","lease":4,"go_on":true}]]}"#,
        r#"{"type":"drone:drain","args":[true]}"#,
        r#"{"type":"ack","args":[99]}"#,
    ];
    fixed(&lines, ToDrone::TYPES, ToDrone::read);
}

#[test]
fn to_queen() {
    let lines = [
        r#"{"type":"drone:hello","args":[{"id":"d1","incarnation":"i1","name":"host","version":"0.1.0","protocols":[1],"first":7}]}"#,
        r#"{"type":"drone:info","args":[{"speed":100,"capacity":4,"plugins":["git"],"runners":["pytest"],"labels":["gpu"],"platform":"linux-x86_64","version":"0.1.0"}]}"#,
        r#"{"type":"drone:resume","args":[{"jobs":[{"id":"j1","lease":4,"running":[3]}]}]}"#,
        r#"{"type":"drone:keep-alive","args":[]}"#,
    ];
    fixed(&lines, Agent::TYPES, ToQueen::read);
}

#[test]
fn events() {
    let lines = [
        r#"{"type":"job:queued","args":["j1",5]}"#,
        r#"{"type":"job:started","args":["j1",5,"d1"]}"#,
        r#"{"type":"job:phase","args":["j1","prepare","done",0,5,"d1"]}"#,
        r#"{"type":"job:files","args":["j1",["a","b"],false,{"runner":"pytest","timeout":60,"retries":1,"spread":2,"fail_fast":true,"order":"smart","prepare_commands":2,"cleanup_commands":1}]}"#,
        r#"{"type":"job:split","args":["j1","a",["a#1of2","a#2of2"]]}"#,
        r#"{"type":"job:file:start","args":["j1",3,"a",2,1,"d1"]}"#,
        r#"{"type":"job:file:done","args":["j1",3,"a",1,{"outcome":"failed","exit":1,"died":true,"duration":12.5,"cpu":3.0,"peak_memory":1024,"cases":{"passed":1,"failed":1,"errored":0,"skipped":0,"xfailed":0,"xpassed":0},"failures":[{"name":"t","outcome":"failed","duration":1.5,"message":"m","file":"a","line":3}],"stderr_tail":"e"},"d1"]}"#,
        r#"{"type":"job:cases","args":["j1",3,1,[{"name":"t","outcome":"xfailed"}]]}"#,
        r#"{"type":"job:cmd:start","args":["j1",3,"make","make (shown)",{"phase":"prepare","plugin":"shell","drone":"d1"}]}"#,
        r#"{"type":"job:cmd:done","args":["j1",3,137,20]}"#,
        r#"{"type":"job:cmd:stdout","args":["j1",3,"text"]}"#,
        r#"{"type":"job:cmd:stderr","args":["j1",3,"text"]}"#,
        r#"{"type":"job:stdout","args":["j1","text"]}"#,
        r#"{"type":"job:stderr","args":["j1","text"]}"#,
        r#"{"type":"job:plugin","args":["j1","cov",{"percent":90}]}"#,
        r#"{"type":"job:tested","args":["j1",0,5]}"#,
        r#"{"type":"job:deployed","args":["j1",0,5]}"#,
        r#"{"type":"job:done","args":["j1",5]}"#,
        r#"{"type":"job:errored","args":["j1",{"kind":"source","message":"m"}]}"#,
        r#"{"type":"job:cancelled","args":["j1",5]}"#,
        r#"{"type":"job:warning","args":["j1",{"source":"log","message":"m"}]}"#,
        r#"{"type":"job:retry","args":["j1",{"attempt":2,"at":5,"reason":"r"}]}"#,
        r#"{"type":"job:quarantine","args":["j1",["a","b"]]}"#,
        r#"{"type":"job:returned","args":["j1",[3]]}"#,
        r#"{"type":"job:info","args":["j1",{}]}"#,
        r#"{"type":"pool:worker","args":["j1",1,"created",{"pid":7}]}"#,
    ];
    fixed(&lines, JobEvent::TYPES, JobEvent::read);
}

#[test]
fn live() {
    let up = [
        r#"{"type":"queue:new","args":[{"project":"o/n"}]}"#,
        r#"{"type":"job:query-info","args":["j1"]}"#,
        r#"{"type":"job:cancel","args":["j1"]}"#,
        r#"{"type":"subscribe","args":[{"job":"j1","from":7}]}"#,
        r#"{"type":"subscribe","args":[{"topic":"project","project":"o/n"}]}"#,
        r#"{"type":"unsubscribe","args":[{"topic":"jobs"}]}"#,
    ];
    fixed(&up, FromClient::TYPES, FromClient::read);
    let down = [
        r#"{"type":"live","args":["j1",7]}"#,
        r#"{"type":"lagged","args":["j1",7]}"#,
        r#"{"type":"job:info","args":["j1",{}]}"#,
        r#"{"type":"error","args":["m","subscribe"]}"#,
        r#"{"type":"drone:joined","args":[{}]}"#,
        r#"{"type":"drone:left","args":[{},"r"]}"#,
        r#"{"type":"drone:changed","args":[{}]}"#,
        r#"{"type":"jobs:changed","args":[{}]}"#,
        r#"{"type":"queue:changed","args":[{}]}"#,
    ];
    fixed(&down, ToClient::TYPES, ToClient::read);
}

#[test]
fn a_drones_number_and_lease_stand_beside_the_message() {
    let line = r#"{"type":"job:stdout","args":["j1","x"],"n":7,"lease":3}"#;
    let frame = Frame::read(line).unwrap();
    let message = JobEvent::read(&frame.0[0]).unwrap().unwrap();
    let numbered = Numbered {
        message,
        n: frame.0[0].n,
        lease: frame.0[0].lease,
    };
    assert_eq!(serde_json::to_string(&numbered).unwrap(), line);
}

#[test]
fn unknown_types_and_trailing_args_are_ignored_and_missing_ones_named() {
    let read = |line: &str| ToQueen::read(&Frame::read(line).unwrap().0[0]);
    assert_eq!(read(r#"{"type":"job:new-thing","args":[1]}"#), Ok(None));
    assert_eq!(read(r#"{"type":"drone:new-thing"}"#), Ok(None));
    let known = read(r#"{"type":"job:cmd:stdout","args":["j1",0,"x","more",{"and":"more"}]}"#).unwrap();
    assert!(matches!(known, Some(ToQueen::Job(JobEvent::CmdStdout { .. }))));
    let info = read(r#"{"type":"drone:info","args":[{"speed":5,"capacity":1,"shoe":"size"}]}"#).unwrap();
    assert!(matches!(info, Some(ToQueen::Agent(Agent::Info { info })) if info.speed == 5));
    for (line, message) in [
        (
            r#"{"type":"job:cmd:stdout","args":["j1",0]}"#,
            "job:cmd:stdout has a bad arg 2 (text): it is missing",
        ),
        (
            r#"{"type":"job:cmd:stdout","args":["j1",-1,"x"]}"#,
            "job:cmd:stdout has a bad arg 1 (num): invalid value",
        ),
        (
            r#"{"type":"job:done","args":["no id",1]}"#,
            "job:done has a bad arg 0 (job): job id \"no id\" is not valid",
        ),
    ] {
        let error = read(line).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}
