//! Every target, on what is kept in `corpus/` and on a fixed number of inputs made of it by seed.
//!
//! `INPUT=file cargo test -p fuzz --test targets NAME` gives the target NAME that file alone. `ROUNDS=100000` makes more
//! inputs. A failure writes the input to `artifacts/NAME/` and says how to keep it. Read next: `mutate.rs`.

mod mutate;

use mutate::Mutator;
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
};

/// Inputs that are made for each target: as many as take a second or two without optimization.
fn rounds(name: &str) -> u64 {
    if let Ok(rounds) = std::env::var("ROUNDS") {
        return rounds.parse().expect("ROUNDS is a number");
    }
    match name {
        "tap" | "lines" => 250,
        "junit" | "json" | "output" => 600,
        _ => 3000,
    }
}

fn folder(kind: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(name)
}

/// What is kept for a target, and what frameworks really wrote.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut folders = vec![folder("corpus", name)];
    if ["junit", "tap", "lines"].contains(&name) {
        folders.push(folder("..", "drone/src/runner/samples"));
    }
    let mut paths = Vec::new();
    for folder in folders {
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        paths.extend(files.map(|file| file.expect("a file").path()));
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).expect("a file")))
        .collect()
}

fn run(name: &str) {
    let (_, target) = fuzz::TARGETS
        .into_iter()
        .find(|(known, _)| *known == name)
        .expect("a target");
    if let Some(path) = std::env::var_os("INPUT") {
        // Cargo runs tests in the crate's folder; a path is meant from where the command was given.
        let from_root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&path);
        return target(
            &fs::read(&path)
                .or_else(|_| fs::read(from_root))
                .expect("INPUT is a file"),
        );
    }
    let kept = corpus(name);
    assert!(!kept.is_empty(), "nothing is kept for {name}");
    for (path, input) in &kept {
        if let Err(panic) = catch_unwind(|| target(input)) {
            eprintln!("{} breaks the target {name}", path.display());
            resume_unwind(panic);
        }
    }
    let mut mutator = Mutator::new(name, kept.into_iter().map(|(_, input)| input).collect());
    for round in 0..rounds(name) {
        let input = mutator.next();
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) else {
            continue;
        };
        let folder = folder("artifacts", name);
        let path = folder.join(format!("round-{round}"));
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&path, &input))
            .expect("the folder of findings can be written");
        eprintln!(
            "round {round} breaks the target {name}. Again: INPUT={} cargo test -p fuzz --test targets {name}\nWhen it \
             is mended, keep the input under a name that says what it was, in fuzz/corpus/{name}/.",
            path.display()
        );
        resume_unwind(panic);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_run() {
            let known: Vec<_> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(known, [$(stringify!($name)),*]);
            let manifest = fs::read_to_string(folder("", "Cargo.toml")).unwrap();
            for name in known {
                assert!(manifest.contains(&format!("name = {name:?}")), "libFuzzer has no program for {name}");
            }
        }
    };
}

targets! { frames messages live settings jobs junit tap json lines masks output plugins goridge }
