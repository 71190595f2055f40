//! Bodies of any kind: what is no packet is told as such, what was written is read again, and a push moves the refs that
//! it says and no others.

use super::{
    pkt::{Band, Data, Pkt},
    *,
};
use git2::Signature;
use proptest::{collection::vec, prelude::*, sample::select};
use std::{collections::BTreeMap, io::Write};

/// The most bytes of a packet with its length.
const LONGEST: usize = 65_520;

/// All packets, and what ended them.
fn packets(mut body: &[u8]) -> (Vec<Pkt>, Result<(), GitHttpError>) {
    let mut packets = Vec::new();
    loop {
        match pkt::read(&mut body) {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) => return (packets, Ok(())),
            Err(error) => return (packets, Err(error)),
        }
    }
}

/// The bytes of side band 1.
fn first_band(response: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = response;
    while !rest.is_empty() {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..4]).unwrap(), 16).unwrap();
        if length == 0 {
            assert_eq!(rest, b"0000", "a flush is the last word");
            break;
        }
        assert_eq!(rest[4], 1);
        bytes.extend_from_slice(&rest[5..length]);
        rest = &rest[length..];
    }
    bytes
}

#[test]
fn a_length_is_four_hexadecimal_digits_and_nothing_else() {
    for bad in ["+00a123456", "-001", " 00a", "0x0a", "00 a", "\u{661}00"] {
        let (packets, end) = packets(bad.as_bytes());
        assert_eq!(packets, []);
        let said = end.unwrap_err().to_string();
        assert!(
            said.contains("a packet begins with four hexadecimal digits"),
            "{bad}: {said}"
        );
    }
    assert_eq!(packets(b"000Aabc\nxy").0, [Pkt::Line(b"abc\nxy".to_vec())]);
}

proptest! {
    #[test]
    fn packets_that_were_written_are_read(lines in vec(vec(any::<u8>(), 0..200), 0..20), size in 0..=65_516_usize) {
        let mut body = Vec::new();
        let large = vec![b'x'; size];
        for line in lines.iter().chain([&large]) {
            let (head, tail) = line.split_at(line.len() / 2);
            pkt::write(&mut body, &[head, tail]).unwrap();
            pkt::flush(&mut body).unwrap();
        }
        let read = packets(&body);
        prop_assert!(read.1.is_ok());
        let expected: Vec<_> = lines.iter().chain([&large]).flat_map(|line| {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            [Pkt::Line(line.to_vec()), Pkt::Flush]
        }).collect();
        prop_assert_eq!(read.0, expected);
    }

    #[test]
    fn any_bytes_are_packets_or_an_error(bytes in prop_oneof![
        vec(any::<u8>(), 0..300),
        vec(select(b"0123456789abcdefFz+ \n".to_vec()), 0..60),
    ]) {
        let (packets, end) = packets(&bytes);
        let used: usize = packets.iter().map(|packet| match packet {
            Pkt::Flush => 4,
            Pkt::Line(line) => 4 + line.len(),
        }).sum();
        prop_assert!(used <= bytes.len());
        match end {
            // A newline at the end of a line is not in the packet.
            Ok(()) => prop_assert!(used + packets.len() >= bytes.len()),
            Err(GitHttpError::Protocol(why)) => prop_assert!(!why.is_empty()),
            Err(GitHttpError::Io(error)) => prop_assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn a_band_carries_what_was_written(
        writes in vec((vec(any::<u8>(), 0..50), 1..3000_usize), 0..12),
        word in select(vec!["", "side-band", "side-band-64k", "side-band side-band-64k"]),
    ) {
        let band = Band::of(word.split(' '));
        let mut response = Vec::new();
        let mut data = Data::new(&mut response, band);
        let mut all = Vec::new();
        for (piece, times) in writes {
            let bytes = piece.repeat(times);
            all.extend_from_slice(&bytes);
            data.write_all(&bytes).unwrap();
        }
        data.finish().unwrap();
        if let Band::Side(size) = band {
            prop_assert!(size + 5 <= LONGEST);
            let longest = packets(&response).0.iter().map(|packet| match packet {
                Pkt::Line(line) => line.len(),
                Pkt::Flush => 0,
            }).max();
            prop_assert!(longest <= Some(size + 1));
            response = first_band(&response);
        }
        prop_assert!(response == all);
    }
}

/// A repository with two commits, of which `refs/heads/main` has the second.
fn repository(root: &Path) -> (PathBuf, [Oid; 2]) {
    let path = ensure(root, &Project::new("o/n").unwrap()).unwrap();
    let repo = Repository::open(&path).unwrap();
    let who = Signature::new("n", "n@h", &git2::Time::new(0, 0)).unwrap();
    let tree = repo
        .find_tree(repo.treebuilder(None).unwrap().write().unwrap())
        .unwrap();
    let first = repo.commit(None, &who, &who, "first", &tree, &[]).unwrap();
    let parent = repo.find_commit(first).unwrap();
    let second = repo
        .commit(Some("refs/heads/main"), &who, &who, "second", &tree, &[&parent])
        .unwrap();
    (path, [first, second])
}

fn refs(path: &Path) -> BTreeMap<String, String> {
    let repo = Repository::open(path).unwrap();
    let all = repo.references().unwrap().flatten();
    all.map(|one| {
        (
            String::from_utf8_lossy(one.name_bytes()).into_owned(),
            one.target().unwrap().to_string(),
        )
    })
    .collect()
}

const ZERO: &str = "0000000000000000000000000000000000000000";
const MISSING: &str = "1111111111111111111111111111111111111111";

#[test]
fn a_name_that_is_too_long_is_refused_in_a_packet_that_can_be_read() {
    let root = tempfile::tempdir().unwrap();
    let (path, [_, second]) = repository(root.path());
    for (length, reason) in [
        (60_000, "a ref's name has at most 1000 bytes"),
        (300, "File name too long"),
    ] {
        let name = format!("refs/heads/{}", "n".repeat(length));
        let mut body = Vec::new();
        pkt::text(&mut body, &format!("{ZERO} {second} {name}\0report-status\n")).unwrap();
        body.extend_from_slice(b"0000PACK\0\0\0\x02\0\0\0\0");
        let (lines, end) = packets(&receive_pack(&path, &mut &body[..]).unwrap().response);
        assert!(end.is_ok());
        let [Pkt::Line(unpacked), Pkt::Line(line), Pkt::Flush] = &lines[..] else {
            panic!("{} packets", lines.len())
        };
        let line = String::from_utf8_lossy(line);
        assert_eq!(unpacked, b"unpack ok");
        assert!(
            line.starts_with(&format!("ng {name} ")) && line.contains(reason),
            "{line}"
        );
    }
    assert!(pkt::write(&mut Vec::new(), &[&[0; 65_517]]).is_err());
}

#[test]
fn a_push_moves_the_refs_that_it_says_and_no_others() {
    let root = tempfile::tempdir().unwrap();
    let (path, commits) = repository(root.path());
    let [first, second] = commits.map(|id| id.to_string());
    let ids = vec![ZERO.to_owned(), first, second, MISSING.to_owned(), "abc".to_owned()];
    let long = format!("refs/heads/{}", "n".repeat(60_000));
    let names = [
        "refs/heads/main",
        "refs/heads/a",
        "refs/heads/a/b",
        "refs/tags/t",
        "refs/skep/s",
        "HEAD",
        "refs/notes/n",
        "refs/heads/../../config",
        "refs/heads/a b",
        "refs/heads/",
        "refs/remotes/o/m",
        "refs/heads/x.lock",
        "",
        &long,
    ];
    let names: Vec<String> = names.map(str::to_owned).to_vec();
    let command = (select(ids.clone()), select(ids), select(names));
    let capabilities = select(vec![
        "report-status",
        "report-status atomic",
        "report-status side-band-64k",
        "",
    ]);
    let damage = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>(), any::<bool>()));
    let strategy = (vec(command, 1..5), capabilities, damage);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&strategy, |(commands, capabilities, damage)| {
        let mut body = Vec::new();
        for (at, (old, new, name)) in commands.iter().enumerate() {
            let words = if at == 0 {
                format!("\0{capabilities}")
            } else {
                String::new()
            };
            pkt::text(&mut body, &format!("{old} {new} {name}{words}\n")).unwrap();
        }
        pkt::flush(&mut body).unwrap();
        body.extend_from_slice(b"PACK\0\0\0\x02\0\0\0\0");
        if let Some((index, byte, cut)) = damage {
            let at = index.index(body.len());
            body[at] = byte;
            if cut {
                body.truncate(at);
            }
        }
        let before = refs(&path);
        let received = receive_pack(&path, &mut &body[..]);
        let after = refs(&path);
        let mut expected = before.clone();
        match received {
            Ok(received) => {
                for update in &received.updates {
                    prop_assert_eq!(before.get(&update.name), update.old.as_ref());
                    let allowed = ["refs/heads/", "refs/tags/", "refs/skep/"];
                    prop_assert!(allowed.iter().any(|prefix| update.name.starts_with(prefix)));
                    match &update.new {
                        Some(new) => drop(expected.insert(update.name.clone(), new.clone())),
                        None => drop(expected.remove(&update.name)),
                    }
                }
                let report = match received.response.get(4) {
                    Some(1) => first_band(&received.response),
                    _ => received.response,
                };
                let (lines, end) = packets(&report);
                prop_assert!(end.is_ok());
                for line in lines {
                    let Pkt::Line(line) = line else { continue };
                    let is_known = [&b"unpack "[..], b"ok ", b"ng "]
                        .iter()
                        .any(|word| line.starts_with(word));
                    prop_assert!(is_known, "{}", String::from_utf8_lossy(&line));
                }
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        prop_assert_eq!(&after, &expected);
        prop_assert!(after.values().all(|id| id != MISSING));
        let mut wants = Vec::new();
        let _ = upload_pack(&path, &mut &body[..], &mut wants);
        prop_assert_eq!(refs(&path), after);
        Ok(())
    });
    outcome.unwrap();
    assert!(path.join("HEAD").is_file() && !root.path().join("o/config").exists());
}
