//! What workers send: frames are read the same however they are cut, what is written is read again, and noise is told
//! briefly.

use crate::{LONGEST_ERROR, choices::Choices};
use bytes::BytesMut;
use drone::pool::{
    Payload,
    goridge::{Control, Frame, FrameError, decode},
};

/// `data` is what a worker wrote; its bytes also choose frames that it might have written, and where they are cut.
pub fn target(data: &[u8]) {
    read(data, &[0, data.len()]);
    let mut choices = Choices::new(data);
    let mut written = Vec::new();
    let mut payloads = Vec::new();
    for _ in 0..choices.below(4) {
        let payload = Payload::new(choices.bytes(40).to_vec(), choices.bytes(200).to_vec());
        written.extend_from_slice(&Frame::of(&payload));
        payloads.push(payload);
    }
    let cuts = choices.cuts(written.len());
    let (frames, rest) = read(&written, &cuts);
    assert_eq!((frames.len(), rest.is_none()), (payloads.len(), true));
    for (frame, payload) in frames.into_iter().zip(payloads) {
        assert_eq!(frame.into_payload().expect("a payload"), payload);
    }
    // One byte of it spoiled, or something between.
    if !written.is_empty() {
        let at = (choices.below(256) * 256 + choices.below(256)) % written.len();
        written[at] ^= 1 << choices.below(8);
    }
    let noise = choices.bytes(100);
    let at = (choices.below(256) * 256 + choices.below(256)) % (written.len() + 1);
    written.splice(at..at, noise.iter().copied());
    let whole = read(&written, &[0, written.len()]);
    assert_eq!(read(&written, &choices.cuts(written.len())).0, whole.0);
}

/// Reads `bytes` in pieces that end at `cuts`, as far as they are frames.
fn read(bytes: &[u8], cuts: &[usize]) -> (Vec<Frame>, Option<FrameError>) {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in cuts.windows(2) {
        buffer.extend_from_slice(&bytes[piece[0]..piece[1]]);
        loop {
            match decode(&mut buffer) {
                Ok(Some(frame)) => {
                    again(&frame);
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(error) => {
                    let said = error.to_string();
                    assert!(said.len() <= LONGEST_ERROR && !said.contains('\n'), "{said}");
                    return (frames, Some(error));
                }
            }
        }
    }
    (frames, None)
}

/// A frame is written as it was read, but for options that mean nothing here.
fn again(frame: &Frame) {
    let bytes = frame.encode();
    let mut buffer = BytesMut::from(&bytes[..]);
    let read = decode(&mut buffer).expect("a frame").expect("a whole one");
    assert_eq!((&read, buffer.len()), (frame, 0));
    if let Some(control) = Control::read(&frame.payload) {
        assert_eq!(Control::read(&control.frame().payload), Some(control));
    }
    if let Ok(payload) = frame.clone().into_payload() {
        assert_eq!(payload.len(), frame.payload.len());
    }
}
