//! What browsers and programs ask for, and the lines of a job's log that they are shown.

use crate::{LONGEST_ERROR, is_same};
use shared::{
    JobData,
    protocol::{
        Frame,
        live::{FromClient, Recorded, Subscription},
    },
};

/// `data` is a frame of a client; its lines are recorded events.
pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(frame) = Frame::read(&text) {
        let requests = frame
            .0
            .iter()
            .filter_map(|message| FromClient::read(message).ok().flatten());
        requests.for_each(|request| asked(&request));
    }
    text.lines().for_each(recorded);
}

fn asked(request: &FromClient) {
    match request {
        FromClient::QueueNew { job } => match JobData::parse(&job.to_string()) {
            Ok(job) => {
                let again = JobData::parse(&job.exposed().to_string()).expect("what is passed on is taken");
                assert!(is_same(&again.exposed(), &job.exposed()), "{again:?}");
            }
            Err(error) => assert!(error.to_string().len() <= LONGEST_ERROR, "{error}"),
        },
        FromClient::Subscribe { what } | FromClient::Unsubscribe { what } => {
            let text = serde_json::to_string(what).expect("text and numbers");
            assert_eq!(serde_json::from_str::<Subscription>(&text).ok().as_ref(), Some(what));
        }
        FromClient::QueryInfo { .. } | FromClient::Cancel { .. } => {}
    }
}

/// A line of the store is read as it was written, its args byte for byte.
fn recorded(line: &str) {
    let Ok(event) = serde_json::from_str::<Recorded<'_>>(line) else {
        return;
    };
    let text = serde_json::to_string(&event).expect("text and numbers");
    let again: Recorded<'_> = serde_json::from_str(&text).expect("what was written is read");
    assert_eq!((again.seq, again.at, &again.kind), (event.seq, event.at, &event.kind));
    let args = |event: &Recorded<'_>| event.args.iter().map(|arg| arg.get().to_owned()).collect::<Vec<_>>();
    assert_eq!(args(&again), args(&event));
}
