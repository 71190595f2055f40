//! Messages of both ways: what is read and written is read again as the same; what is unknown is ignored; what is bad is
//! told in few words.

use crate::{LONGEST_ERROR, is_same};
use serde::Serialize;
use shared::{
    outcome::CaseCounts,
    protocol::{
        FRAME_LIMIT, Frame, FrameError, JobEvent, Message, ToDrone, ToQueen,
        frame::Numbered,
        live::{FromClient, ToClient},
        to_queen::Agent,
    },
};
use std::fmt::Debug;

/// `data` is a frame.
pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(frame) = Frame::read(&text) else { return };
    for message in &frame.0 {
        said(message, ToDrone::TYPES, ToDrone::read);
        said(message, JobEvent::TYPES, JobEvent::read);
        said(message, FromClient::TYPES, FromClient::read);
        said(message, ToClient::TYPES, ToClient::read);
        let to_queen: Vec<_> = Agent::TYPES.iter().chain(JobEvent::TYPES).copied().collect();
        said(message, &to_queen, ToQueen::read);
        if let Ok(Some(JobEvent::FileDone { result, .. })) = JobEvent::read(message) {
            counts(result.cases);
        }
    }
}

fn said<M>(message: &Message<'_>, types: &[&str], read: fn(&Message<'_>) -> Result<Option<M>, FrameError>)
where
    M: Serialize + Debug,
{
    let known = types.contains(&&*message.kind);
    let read_first = match read(message) {
        Ok(Some(first)) => first,
        Ok(None) => return assert!(!known, "{} is not known", message.kind),
        Err(error) => {
            assert!(known, "{error}, although nobody knows {}", message.kind);
            let said = error.to_string();
            return assert!(said.len() <= LONGEST_ERROR, "{} bytes: {said}", said.len());
        }
    };
    assert!(known, "{} is in no list", message.kind);
    let numbered = Numbered {
        message: read_first,
        n: message.n,
        lease: message.lease,
    };
    let text = serde_json::to_string(&numbered).expect("text and numbers");
    if text.len() > FRAME_LIMIT {
        return;
    }
    let frame = Frame::read(&text).expect("what was written is a frame");
    let [again] = &frame.0[..] else {
        panic!("one message was written: {text}")
    };
    assert_eq!((again.n, again.lease), (message.n, message.lease));
    let read_again = read(again)
        .expect("what was written is read")
        .expect("as known as before");
    assert!(is_same(&read_again, &numbered.message), "{text}: {read_again:?}");
    with_more_args(again, &numbered.message, read);
}

/// A later version may say more: what this one knows of it stays the same.
fn with_more_args<M>(message: &Message<'_>, known: &M, read: fn(&Message<'_>) -> Result<Option<M>, FrameError>)
where
    M: Serialize,
{
    // Args that may be left out at the end have to be there before anything can follow them.
    let filled = message
        .args
        .iter()
        .map(|arg| arg.get())
        .chain(std::iter::repeat_n("null", 8));
    let args: Vec<_> = filled.chain(["[{\"more\":[1]}]"]).collect();
    let kind = serde_json::to_string(&message.kind).expect("text");
    let text = format!("{{\"type\":{kind},\"args\":[{}],\"later\":true}}", args.join(","));
    let Ok(frame) = Frame::read(&text) else { return };
    let read = read(&frame.0[0]).expect("what was known stays known");
    assert!(read.is_some_and(|read| is_same(&read, known)), "{text}");
}

/// A drone may say any number: adding them up ends no process.
fn counts(said: CaseCounts) {
    let total = said.total();
    for part in [
        said.passed,
        said.failed,
        said.errored,
        said.skipped,
        said.xfailed,
        said.xpassed,
    ] {
        assert!(total >= part, "{said:?} is {total} in all");
    }
    let mut sum = said;
    sum.add(&said);
    assert!(sum.total() >= total);
}
