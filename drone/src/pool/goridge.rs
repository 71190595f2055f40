//! Frames as Goridge v3 has them, so that worker libraries made for RoadRunner serve as they are.
//!
//! Twelve bytes of header: version and header length in words of four bytes, flags, length of the payload, CRC-32 of
//! these six bytes, bits of the stream, a reserved byte; then options, of which the first is the length of the
//! payload's context; all numbers little-endian. Owns reading and writing of frames and [`Payload`]. Must not know
//! processes or what a payload means. Read next: `worker.rs`, which talks in frames.

#[cfg(test)]
mod tests;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The most bytes of a frame's payload.
pub const LIMIT: usize = 256 * 1024 * 1024;
/// Bytes of a header without options.
const HEADER: usize = 12;
const VERSION: u8 = 1;
/// Words of a header without options.
const WORDS: u8 = 3;
/// The most bytes of noise that an error repeats.
const NOISE: usize = 600;

/// The kinds of frames, as bits of [`Frame::flags`].
pub mod flag {
    /// Not a payload but a word between the two sides: `{"pid": n}` or `{"stop": true}`.
    pub const CONTROL: u8 = 0x01;
    /// The payload is the message of an error.
    pub const ERROR: u8 = 0x40;
}

/// The bits of [`Frame::stream`].
pub mod stream {
    /// More frames follow.
    pub const STREAM: u8 = 0x01;
    /// The sender wants no more.
    pub const STOP: u8 = 0x02;
    /// The receiver is to answer [`PONG`].
    pub const PING: u8 = 0x04;
    /// The answer.
    pub const PONG: u8 = 0x08;
}

/// How a payload is encoded. The pool passes it on and looks at nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// Bytes.
    #[default]
    Raw,
    /// JSON.
    Json,
    /// MessagePack.
    Msgpack,
    /// Go's gob.
    Gob,
    /// Protocol buffers.
    Proto,
}

impl Codec {
    const ALL: [(Self, u8); 5] = [
        (Self::Raw, 0x04),
        (Self::Json, 0x08),
        (Self::Msgpack, 0x10),
        (Self::Gob, 0x20),
        (Self::Proto, 0x80),
    ];

    fn flag(self) -> u8 {
        Self::ALL
            .iter()
            .find(|(codec, _)| *codec == self)
            .map_or(0, |all| all.1)
    }

    /// Raw, where none is named.
    fn of(flags: u8) -> Self {
        Self::ALL
            .iter()
            .find(|(_, flag)| flags & flag != 0)
            .map_or(Self::Raw, |all| all.0)
    }
}

/// What a worker is asked, or answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payload {
    /// Of both parts.
    pub codec: Codec,
    /// What is said about the body.
    pub context: Bytes,
    /// The matter itself.
    pub body: Bytes,
}

impl Payload {
    /// Raw bytes.
    #[must_use]
    pub fn new(context: impl Into<Bytes>, body: impl Into<Bytes>) -> Self {
        Self {
            codec: Codec::Raw,
            context: context.into(),
            body: body.into(),
        }
    }

    /// A body of JSON. An error: `value` has no form in JSON.
    pub fn json(context: impl Into<Bytes>, value: &impl Serialize) -> serde_json::Result<Self> {
        let body = serde_json::to_vec(value)?;
        Ok(Self {
            codec: Codec::Json,
            ..Self::new(context, body)
        })
    }

    /// Bytes of both parts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.context.len() + self.body.len()
    }

    /// Nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A worker's wish to be replaced and to have its payload given to another one: a lone context `{"stop": true}`.
    #[must_use]
    pub fn is_stop_request(&self) -> bool {
        self.body.is_empty() && matches!(Control::read(&self.context), Some(Control::Stop))
    }
}

/// A word between the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The sender's process.
    Pid(i32),
    /// End.
    Stop,
}

#[derive(Serialize, Deserialize)]
struct PidWord {
    pid: i32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StopWord {
    stop: bool,
}

impl Control {
    /// The word of a control frame; nothing if it is none that the pool knows. More members beside `pid` are allowed.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        // Lists would do for serde.
        if !text.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        if let Ok(PidWord { pid }) = serde_json::from_slice(text) {
            return (pid > 0).then_some(Self::Pid(pid));
        }
        let StopWord { stop } = serde_json::from_slice(text).ok()?;
        stop.then_some(Self::Stop)
    }

    /// The frame that says it.
    #[must_use]
    pub fn frame(self) -> Frame {
        let text = match self {
            Self::Pid(pid) => format!(r#"{{"pid":{pid}}}"#),
            Self::Stop => r#"{"stop":true}"#.to_owned(),
        };
        Frame {
            flags: flag::CONTROL | Codec::Json.flag(),
            payload: text.into(),
            ..Frame::default()
        }
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// Kind and codec.
    pub flags: u8,
    /// See [`stream`].
    pub stream: u8,
    /// So many of the payload's first bytes are its context; absent in control frames and errors.
    pub context: Option<u32>,
    /// Context and body.
    pub payload: Bytes,
}

impl Frame {
    /// The bytes of a frame that holds `payload`, which is within [`LIMIT`].
    #[must_use]
    pub fn of(payload: &Payload) -> Bytes {
        let context = u32::try_from(payload.context.len()).unwrap_or(u32::MAX);
        write(
            payload.codec.flag(),
            0,
            Some(context),
            &[&payload.context, &payload.body],
        )
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        write(self.flags, self.stream, self.context, &[&self.payload])
    }

    /// A word, not a payload.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.flags & flag::CONTROL != 0
    }

    /// The message of an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.flags & flag::ERROR != 0
    }

    /// True if all of `bits` are set.
    #[must_use]
    pub fn has(&self, bits: u8) -> bool {
        self.stream & bits == bits
    }

    /// Context and body apart.
    pub fn into_payload(mut self) -> Result<Payload, FrameError> {
        let length = self.context.ok_or(FrameError::NoContext)?;
        let context = usize::try_from(length).ok().filter(|end| *end <= self.payload.len());
        let context = context.ok_or(FrameError::Context {
            context: length,
            payload: self.payload.len(),
        })?;
        Ok(Payload {
            codec: Codec::of(self.flags),
            context: self.payload.split_to(context),
            body: self.payload,
        })
    }
}

fn write(flags: u8, stream: u8, context: Option<u32>, parts: &[&Bytes]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = BytesMut::with_capacity(HEADER + 4 + length);
    bytes.put_u8(VERSION << 4 | (WORDS + u8::from(context.is_some())));
    bytes.put_u8(flags);
    bytes.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.put_u32_le(crc32fast::hash(&bytes));
    bytes.put_u8(stream);
    bytes.put_u8(0);
    if let Some(context) = context {
        bytes.put_u32_le(context);
    }
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes.freeze()
}

/// What is wrong with the bytes of a relay.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Something else than a frame. The text is that, cut and made visible.
    #[error("it wrote something that is no frame where only frames may be: \"{0}\"")]
    Noise(String),
    /// A frame that goes beyond [`LIMIT`].
    #[error("it sent a frame of {0} bytes; {LIMIT} are allowed")]
    TooLong(usize),
    /// A payload without the length of its context.
    #[error("it sent a payload without the length of its context")]
    NoContext,
    /// A context that is longer than the payload.
    #[error("it sent a payload of {payload} bytes with a context of {context}")]
    Context {
        /// What the option says.
        context: u32,
        /// What there is.
        payload: usize,
    },
    /// Something else than its pid came first.
    #[error("it did not say its pid first")]
    NoGreeting,
    /// A wish to be replaced from a worker that has sent a part of its answer.
    #[error("it asked to be replaced after it had begun to answer")]
    LateStop,
    /// A frame without a payload to answer.
    #[error("it sent a frame that nobody had asked for")]
    Unasked,
    /// An answer to a payload that cannot have been read to its end.
    #[error("it answered before it had read the payload")]
    Early,
    /// The end came within a frame. The text is what there was of it, cut and made visible.
    #[error("it closed its side in the middle of a frame, after \"{0}\"")]
    Short(String),
    /// The end.
    #[error("it closed its side")]
    Closed,
    /// The system's word.
    #[error("it could not be read from: {0}")]
    Io(#[from] io::Error),
}

impl FrameError {
    /// The worker's side is closed: its process may be at its end.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Short(_) | Self::Closed | Self::Io(_))
    }
}

/// Takes the first frame out of `buffer`; nothing if more bytes are needed, at least as many as are then reserved.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some(&first) = buffer.first() else { return Ok(None) };
    let words = first & 0x0f;
    // Seen at the first byte: a worker that prints less than a header would be waited for.
    if first >> 4 != VERSION || words < WORDS {
        return Err(FrameError::Noise(noise(buffer)));
    }
    if buffer.len() < HEADER {
        buffer.reserve(HEADER - buffer.len());
        return Ok(None);
    }
    if !is_header(buffer) {
        return Err(FrameError::Noise(noise(buffer)));
    }
    let number = |at: usize| (&buffer[at..]).get_u32_le();
    let length = number(2) as usize;
    if length > LIMIT {
        return Err(FrameError::TooLong(length));
    }
    let header = usize::from(words) * 4;
    let whole = header + length;
    if buffer.len() < whole {
        buffer.reserve(whole - buffer.len());
        return Ok(None);
    }
    let context = (words > WORDS).then(|| number(HEADER));
    let (flags, stream) = (buffer[1], buffer[10]);
    let mut payload = buffer.split_to(whole);
    payload.advance(header);
    Ok(Some(Frame {
        flags,
        stream,
        context,
        payload: payload.freeze(),
    }))
}

/// A header of this version with the right checksum, options aside.
fn is_header(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER
        && bytes[0] >> 4 == VERSION
        && bytes[0] & 0x0f >= WORDS
        && crc32fast::hash(&bytes[..6]) == (&bytes[6..]).get_u32_le()
}

/// What stands before the first frame in `bytes`, for people.
fn noise(bytes: &[u8]) -> String {
    let seen = &bytes[..bytes.len().min(NOISE + HEADER)];
    let end = (1..seen.len()).find(|at| is_header(&seen[*at..])).unwrap_or(seen.len());
    let mut text = String::from_utf8_lossy(&seen[..end]).escape_debug().to_string();
    if text.len() > NOISE {
        text.truncate(text.floor_char_boundary(NOISE));
        text.push('…');
    }
    text
}

/// Reads frames from a relay.
pub struct Frames {
    from: Box<dyn AsyncRead + Send + Unpin>,
    buffer: BytesMut,
}

impl Frames {
    /// Reads from `from`.
    pub fn new(from: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self {
            from: Box::new(from),
            buffer: BytesMut::new(),
        }
    }

    /// The next frame. Cancel-safe.
    pub async fn next(&mut self) -> Result<Frame, FrameError> {
        loop {
            if let Some(frame) = decode(&mut self.buffer)? {
                return Ok(frame);
            }
            // More than what is missing, so that a small frame comes whole and its end is seen without another read.
            self.buffer.reserve(4 * 1024);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Err(match self.buffer.is_empty() {
                    true => FrameError::Closed,
                    false => FrameError::Short(noise(&self.buffer)),
                });
            }
        }
    }
}
