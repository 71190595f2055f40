//! Git over HTTP, as the queen serves it: real `git` and the drone's libgit2 clone, fetch and push.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

mod drone_side;
mod server_side;
mod support;
