//! Results in lines for people: those of cargo, go, unittest and minitest.

use crate::report::check_lines;
use drone::process::Stream;

/// `data` is the output of a run.
pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for (runner, stream) in [
        ("cargo", Stream::Stdout),
        ("go", Stream::Stdout),
        ("unittest", Stream::Stderr),
        ("minitest", Stream::Stdout),
    ] {
        check_lines(runner, stream, &text);
    }
}
