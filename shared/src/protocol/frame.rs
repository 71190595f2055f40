//! The codec: text frames to messages and back, with limits.
//!
//! Reading borrows from the frame and parses each message's args only when its type is known.

use crate::{
    LeaseToken,
    object::{object, short},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::DeserializeOwned,
    ser::{SerializeMap, SerializeSeq, SerializeTuple},
};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The most bytes of one frame; a longer one closes the connection.
pub const FRAME_LIMIT: usize = 1024 * 1024;
/// The most bytes of text that one output message should carry, so that a batch stays far below [`FRAME_LIMIT`]
/// even if every byte of it has to be escaped.
pub const TEXT_LIMIT: usize = 32 * 1024;

/// Why a frame or a message could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Over [`FRAME_LIMIT`].
    #[error("the frame has {0} bytes, the limit is {FRAME_LIMIT}")]
    TooLong(usize),
    /// Neither a message nor an array of messages.
    #[error("the frame is no message: {0}; a message is {{\"type\": \"…\", \"args\": […]}}")]
    NoMessage(String),
    /// A message of a known type whose args do not fit.
    #[error("{kind} has a bad arg {index} ({name}): {why}")]
    BadArg {
        /// The type word.
        kind: String,
        /// Position, from 0.
        index: usize,
        /// Name of the arg.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// One message as it stands in a frame.
#[derive(Debug, Deserialize)]
pub struct Message<'a> {
    /// The type word.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// The positional args, not yet read.
    #[serde(borrow, default)]
    pub args: Vec<&'a RawValue>,
    /// The drone's own running number; absent on messages that need no acknowledgement.
    #[serde(default)]
    pub n: Option<u64>,
    /// The lease under which a drone speaks of a job; absent: the one that it holds.
    #[serde(default)]
    pub lease: Option<LeaseToken>,
}

/// The messages of one frame.
#[derive(Debug)]
pub struct Frame<'a>(pub Vec<Message<'a>>);

impl<'a> Frame<'a> {
    /// Reads a frame: one message or an array of them.
    pub fn read(text: &'a str) -> Result<Self, FrameError> {
        if text.len() > FRAME_LIMIT {
            return Err(FrameError::TooLong(text.len()));
        }
        let no_message = |error: serde_json::Error| FrameError::NoMessage(short(&error));
        let read = if text.trim_start().starts_with('[') {
            serde_json::from_str::<Vec<One<'_>>>(text)
        } else {
            serde_json::from_str(text).map(|one| vec![one])
        };
        let messages = read.map_err(no_message)?;
        Ok(Self(messages.into_iter().map(|One(message)| message).collect()))
    }
}

/// A message that is an object.
struct One<'a>(Message<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for One<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        object(input).map(One)
    }
}

/// Joins serialized messages into frames, each at most `limit` bytes (a single message may be longer: it then stands alone).
#[must_use]
pub fn join<'a>(messages: impl IntoIterator<Item = &'a str>, limit: usize) -> Vec<String> {
    let mut frames = Vec::new();
    let mut frame = String::new();
    for message in messages {
        if !frame.is_empty() && frame.len() + message.len() + 2 > limit {
            frame.push(']');
            frames.push(std::mem::take(&mut frame));
        }
        frame.push(if frame.is_empty() { '[' } else { ',' });
        frame.push_str(message);
    }
    if !frame.is_empty() {
        frame.push(']');
        frames.push(frame);
    }
    frames
}

/// Reads positional args one by one.
pub(crate) struct Args<'m, 'a> {
    message: &'m Message<'a>,
    index: usize,
}

impl<'m, 'a> Args<'m, 'a> {
    pub(crate) fn of(message: &'m Message<'a>) -> Self {
        Self { message, index: 0 }
    }

    pub(crate) fn next<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<T, FrameError> {
        let index = self.index;
        self.index += 1;
        let raw = self.message.args.get(index).map_or("null", |raw| raw.get());
        serde_json::from_str(raw).map_err(|error| FrameError::BadArg {
            kind: self.message.kind.to_string(),
            index,
            name,
            why: if self.message.args.len() <= index {
                "it is missing".into()
            } else {
                short(&error)
            },
        })
    }
}

/// An arg on its way out. `None` at the end is left out by [`write`].
pub(crate) struct Arg<'a, T>(pub &'a T);

impl<T: Serialize> Serialize for Arg<'_, T> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(out)
    }
}

/// A list of args of any length; implemented for tuples.
pub(crate) trait ArgList {
    fn count(&self) -> usize;
    fn each<S: SerializeTuple>(&self, out: &mut S) -> Result<(), S::Error>;
}

macro_rules! arg_lists {
    ($( ( $( $name:ident . $index:tt ),* ) )*) => { $(
        impl<$( $name: Serialize ),*> ArgList for ( $( Arg<'_, $name>, )* ) {
            fn count(&self) -> usize { [$( $index ),*].len() }
            fn each<Z: SerializeTuple>(&self, _out: &mut Z) -> Result<(), Z::Error> {
                $( _out.serialize_element(&self.$index)?; )*
                Ok(())
            }
        }
    )* };
}

impl ArgList for () {
    fn count(&self) -> usize {
        0
    }
    fn each<S: SerializeTuple>(&self, _out: &mut S) -> Result<(), S::Error> {
        Ok(())
    }
}
arg_lists! { (A.0) (A.0, B.1) (A.0, B.1, C.2) (A.0, B.1, C.2, D.3) (A.0, B.1, C.2, D.3, E.4) (A.0, B.1, C.2, D.3, E.4, F.5) }

pub(crate) fn write<S: Serializer, L: ArgList>(out: S, kind: &str, args: &L) -> Result<S::Ok, S::Error> {
    struct List<'a, L>(&'a L);
    impl<L: ArgList> Serialize for List<'_, L> {
        fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
            let mut tuple = out.serialize_tuple(self.0.count())?;
            self.0.each(&mut tuple)?;
            tuple.end()
        }
    }
    let mut map = out.serialize_map(Some(2))?;
    map.serialize_entry("type", kind)?;
    map.serialize_entry("args", &List(args))?;
    map.end()
}

/// A drone's message with its number and lease around it: `{"type", "args", "n", "lease"}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Numbered<M> {
    /// The message.
    #[serde(flatten)]
    pub message: M,
    /// Its running number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// Its lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseToken>,
}

/// Serializes a sequence of messages as one frame.
pub fn batch<M: Serialize>(messages: &[M]) -> serde_json::Result<String> {
    struct All<'a, M>(&'a [M]);
    impl<M: Serialize> Serialize for All<'_, M> {
        fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
            let mut seq = out.serialize_seq(Some(self.0.len()))?;
            for message in self.0 {
                seq.serialize_element(message)?;
            }
            seq.end()
        }
    }
    serde_json::to_string(&All(messages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_one_message_or_many() {
        assert_eq!(Frame::read(r#"{"type":"a"}"#).unwrap().0.len(), 1);
        assert_eq!(
            Frame::read(r#" [{"type":"a"},{"type":"b","args":[1],"n":7}]"#)
                .unwrap()
                .0[1]
                .n,
            Some(7)
        );
        for bad in [
            "",
            "1",
            "[1]",
            r#"{"args":[]}"#,
            r#"{"type":1}"#,
            "{",
            "[[]]",
            r#"[["a",[]]]"#,
        ] {
            assert!(matches!(Frame::read(bad), Err(FrameError::NoMessage(_))), "{bad}");
        }
        assert!(matches!(
            Frame::read(&" ".repeat(FRAME_LIMIT + 1)),
            Err(FrameError::TooLong(_))
        ));
    }

    #[test]
    fn an_error_does_not_repeat_a_whole_frame() {
        let long = format!("{{\"type\":\"a\",\"args\":\"{}\"}}", "ü".repeat(10_000));
        let error = Frame::read(&long).unwrap_err().to_string();
        assert!(error.len() < 600 && error.contains('…'), "{error}");
    }

    #[test]
    fn joined_frames_keep_order_and_limit() {
        let messages: Vec<String> = (0..50).map(|i| format!("{{\"type\":\"m{i}\"}}")).collect();
        let frames = join(messages.iter().map(String::as_str), 100);
        assert!(frames.len() > 1);
        let mut seen = Vec::new();
        for frame in &frames {
            assert!(frame.len() <= 100, "{frame}");
            seen.extend(Frame::read(frame).unwrap().0.into_iter().map(|m| m.kind.into_owned()));
        }
        assert_eq!(seen, (0..50).map(|i| format!("m{i}")).collect::<Vec<_>>());
    }
}
