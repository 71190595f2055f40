//! Git's packet lines, and the side bands inside of them.
//!
//! Owns the framing only. Read next: `upload.rs`, `receive.rs`.

use super::GitHttpError;
use std::io::{self, Read, Write};

/// The most bytes that one packet carries.
const LIMIT: usize = 65_516;

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pkt {
    /// `0000`
    Flush,
    /// Its bytes, without a newline at the end.
    Line(Vec<u8>),
}

/// Reads one packet; `None` at the end of the body.
pub(super) fn read(body: &mut dyn Read) -> Result<Option<Pkt>, GitHttpError> {
    let bad = |what: &str| GitHttpError::Protocol(what.to_owned());
    let mut length = [0; 4];
    if body.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    body.read_exact(&mut length[1..])?;
    // The parser of numbers would take a sign as well.
    let is_hex = length.iter().all(u8::is_ascii_hexdigit);
    let length = std::str::from_utf8(&length)
        .ok()
        .filter(|_| is_hex)
        .and_then(|text| usize::from_str_radix(text, 16).ok())
        .ok_or_else(|| bad("a packet begins with four hexadecimal digits"))?;
    match length {
        0 => return Ok(Some(Pkt::Flush)),
        1..=3 => return Err(bad("this packet belongs to protocol version 2")),
        length if length - 4 > LIMIT => return Err(bad("a packet is too long")),
        _ => {}
    }
    let mut line = vec![0; length - 4];
    body.read_exact(&mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(Pkt::Line(line)))
}

/// Writes one packet; what does not fit into one is an error, not a packet that nobody can read.
pub(super) fn write(out: &mut dyn Write, parts: &[&[u8]]) -> io::Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length > LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a packet is too long"));
    }
    write!(out, "{:04x}", length + 4)?;
    parts.iter().try_for_each(|part| out.write_all(part))
}

/// Writes one packet of text.
pub(super) fn text(out: &mut dyn Write, text: &str) -> io::Result<()> {
    write(out, &[text.as_bytes()])
}

/// Ends a section.
pub(super) fn flush(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"0000")
}

/// How a client takes the pack and what is said beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Band {
    /// The pack alone.
    None,
    /// Packets of at most this many bytes.
    Side(usize),
}

impl Band {
    /// By the client's capabilities.
    pub fn of<'a>(mut capabilities: impl Iterator<Item = &'a str> + Clone) -> Self {
        if capabilities.clone().any(|word| word == "side-band-64k") {
            Self::Side(LIMIT - 1)
        } else if capabilities.any(|word| word == "side-band") {
            Self::Side(995)
        } else {
            Self::None
        }
    }
}

/// Gathers bytes and writes them as packets of side band 1, or as they are.
pub(super) struct Data<'a> {
    out: &'a mut dyn Write,
    band: Band,
    buffer: Vec<u8>,
}

impl<'a> Data<'a> {
    pub fn new(out: &'a mut dyn Write, band: Band) -> Self {
        Self {
            out,
            band,
            buffer: Vec::with_capacity(LIMIT),
        }
    }

    /// A line for the person at the other end.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        match self.band {
            Band::None => Ok(()),
            Band::Side(_) => write(self.out, &[b"\x02", text.as_bytes()]),
        }
    }

    /// What went wrong, as the last word.
    pub fn fail(&mut self, text: &str) -> io::Result<()> {
        match self.band {
            Band::None => Ok(()),
            Band::Side(_) => write(self.out, &[b"\x03", text.as_bytes()]),
        }
    }

    /// Writes what is left, and the end.
    pub fn finish(mut self) -> io::Result<()> {
        self.send(0)?;
        match self.band {
            Band::None => Ok(()),
            Band::Side(_) => flush(self.out),
        }
    }

    fn send(&mut self, keep_below: usize) -> io::Result<()> {
        match self.band {
            Band::None => {
                self.out.write_all(&self.buffer)?;
                self.buffer.clear();
            }
            Band::Side(size) => {
                let mut at = 0;
                while self.buffer.len() - at > keep_below {
                    let end = (at + size).min(self.buffer.len());
                    write(self.out, &[b"\x01", &self.buffer[at..end]])?;
                    at = end;
                }
                self.buffer.drain(..at);
            }
        }
        Ok(())
    }
}

impl Write for Data<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        let full = match self.band {
            Band::None => LIMIT,
            Band::Side(size) => size,
        };
        if self.buffer.len() >= full {
            self.send(full - 1)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send(0)?;
        self.out.flush()
    }
}
