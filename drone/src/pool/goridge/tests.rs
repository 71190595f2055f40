//! Frames byte by byte, cut anywhere, and spoiled.

use super::*;
use proptest::prelude::*;

fn decode_all(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let mut buffer = BytesMut::from(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = decode(&mut buffer)? {
        frames.push(frame);
    }
    Ok(frames)
}

#[test]
fn a_payload_is_written_as_goridge_writes_it() {
    let bytes = Frame::of(&Payload::new("ab", "cde"));
    // CRC-32 of 14 04 05 00 00 00, as zlib computes it.
    let expected = [
        0x14, 0x04, 5, 0, 0, 0, 0xdc, 0xb7, 0xdb, 0xeb, 0, 0, 2, 0, 0, 0, b'a', b'b', b'c', b'd', b'e',
    ];
    assert_eq!(bytes[..], expected[..]);
}

#[test]
fn words_are_read_and_written() {
    assert_eq!(Control::read(br#"{"pid": 12, "id": 3}"#), Some(Control::Pid(12)));
    assert_eq!(Control::read(br#"{"stop":true}"#), Some(Control::Stop));
    for text in [
        "",
        "{}",
        r#"{"pid":0}"#,
        r#"{"stop":false}"#,
        r#"{"stop":true,"x":1}"#,
        "[1]",
    ] {
        assert_eq!(Control::read(text.as_bytes()), None, "{text}");
    }
    let mut frames = decode_all(&Control::Stop.frame().encode()).unwrap();
    let frame = frames.pop().unwrap();
    assert!(frame.is_control() && frame.context.is_none());
    assert_eq!(Control::read(&frame.payload), Some(Control::Stop));
    assert!(Payload::new(r#"{"stop": true}"#, "").is_stop_request());
    assert!(!Payload::new(r#"{"stop": true}"#, "x").is_stop_request());
    assert!(!Payload::new("", r#"{"stop": true}"#).is_stop_request());
}

#[test]
fn more_options_than_the_context_are_passed_over() {
    let mut bytes = BytesMut::new();
    bytes.put_slice(&[0x15, 0x08, 3, 0, 0, 0]);
    bytes.put_u32_le(crc32fast::hash(&bytes));
    bytes.put_slice(&[0x05, 0]);
    bytes.put_u32_le(1);
    bytes.put_u32_le(99);
    bytes.put_slice(b"xyz");
    let frame = decode(&mut bytes).unwrap().unwrap();
    assert!(frame.has(stream::STREAM) && frame.has(stream::PING) && !frame.has(stream::STOP));
    let payload = frame.into_payload().unwrap();
    assert_eq!(
        (payload.codec, &payload.context[..], &payload.body[..]),
        (Codec::Json, &b"x"[..], &b"yz"[..])
    );
}

#[test]
fn what_is_no_frame_is_shown() {
    let noise = |bytes: &[u8]| match decode_all(bytes) {
        Err(FrameError::Noise(noise)) => noise,
        other => panic!("{other:?}"),
    };
    assert_eq!(noise(b"hi"), "hi");
    let mut mixed = b"Warning: x is deprecated\n".to_vec();
    mixed.extend_from_slice(&Frame::of(&Payload::new("", "answer")));
    assert_eq!(
        noise(&mixed),
        r"Warning: x is deprecated\n",
        "the frame is not part of it"
    );
    let mut spoiled = Frame::of(&Payload::new("", "answer")).to_vec();
    spoiled[7] ^= 1;
    assert!(noise(&spoiled).ends_with("answer"));
    let long = noise(&vec![b'x'; 10_000]);
    assert!(long.ends_with('…') && long.len() < 700, "{} bytes", long.len());
    assert_eq!(noise(b"a\x1b[31m\""), r#"a\u{1b}[31m\""#);
}

#[test]
fn lengths_that_cannot_be_are_errors() {
    let mut long = BytesMut::new();
    long.put_slice(&[0x14, 0x04, 0xff, 0xff, 0xff, 0xff]);
    long.put_u32_le(crc32fast::hash(&long));
    long.put_slice(&[0; 6]);
    assert!(matches!(decode(&mut long), Err(FrameError::TooLong(_))));
    let frame = Frame {
        context: Some(4),
        payload: "abc".into(),
        ..Frame::default()
    };
    let error = frame.into_payload().unwrap_err().to_string();
    assert_eq!(error, "it sent a payload of 3 bytes with a context of 4");
    assert!(matches!(Frame::default().into_payload(), Err(FrameError::NoContext)));
}

#[tokio::test]
async fn the_end_within_a_frame_is_not_the_end_after_one() {
    let whole = Frame::of(&Payload::new("", "answer"));
    let mut frames = Frames::new(io::Cursor::new(whole.clone()));
    assert_eq!(frames.next().await.unwrap().payload, "answer");
    assert!(matches!(frames.next().await, Err(FrameError::Closed)));
    let mut short = Frames::new(io::Cursor::new(whole.slice(..20)));
    let error = short.next().await.unwrap_err().to_string();
    assert!(
        error.contains("in the middle of a frame") && error.contains("answ"),
        "{error}"
    );
}

fn payloads() -> impl Strategy<Value = Payload> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
    let codec = proptest::sample::select(Codec::ALL.map(|all| all.0).to_vec());
    (codec, bytes(), bytes()).prop_map(|(codec, context, body)| Payload {
        codec,
        ..Payload::new(context, body)
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_cut(
        payloads in proptest::collection::vec(payloads(), 0..5),
        cuts in proptest::collection::vec(1_usize..50, 1..20),
    ) {
        let bytes: Vec<u8> = payloads.iter().flat_map(|payload| Frame::of(payload).to_vec()).collect();
        let mut buffer = BytesMut::new();
        let mut read = Vec::new();
        let (mut at, mut cut) = (0, cuts.iter().cycle());
        while at < bytes.len() {
            let end = (at + cut.next().unwrap()).min(bytes.len());
            buffer.extend_from_slice(&bytes[at..end]);
            at = end;
            while let Some(frame) = decode(&mut buffer).unwrap() {
                read.push(frame.into_payload().unwrap());
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(read, payloads);
    }

    #[test]
    fn anything_is_an_answer_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(frames) = decode_all(&bytes) {
            frames.into_iter().for_each(|frame| drop(frame.into_payload()));
        }
    }
}
