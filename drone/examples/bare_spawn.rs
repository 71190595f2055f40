//! Runs a command so many times by so many threads, with both pipes read to their end, and prints the seconds: what
//! running commands costs without Skep. For `bench/commands`.
//!
//! `bare_spawn COUNT SLOTS PROGRAM ARGS…`; `{n}` in an argument is the number of the run.

use std::{
    io::Read,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [count, slots, program, args @ ..] = words.as_slice() else {
        eprintln!("usage: bare_spawn COUNT SLOTS PROGRAM ARGS…");
        std::process::exit(2);
    };
    let number = |word: &String| word.parse::<usize>().expect("COUNT and SLOTS are numbers");
    let (count, slots) = (number(count), number(slots));
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..slots {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    let args = args.iter().map(|arg| arg.replace("{n}", &n.to_string()));
                    let mut child = Command::new(program)
                        .args(args)
                        .stdin(Stdio::null())
                        .stdout(Stdio::piped())
                        .stderr(Stdio::piped())
                        .spawn()
                        .expect("the program starts");
                    let mut read = Vec::new();
                    let pipes = (child.stdout.take(), child.stderr.take());
                    pipes.0.expect("piped").read_to_end(&mut read).expect("readable");
                    pipes.1.expect("piped").read_to_end(&mut read).expect("readable");
                    assert!(child.wait().expect("a child").success(), "run {n} failed");
                }
            });
        }
    });
    println!("{:.3}", start.elapsed().as_secs_f64());
}
