//! TAP, in the output of a program and in a file.

use crate::report::{check, check_lines};
use drone::process::Stream;

/// `data` is TAP.
pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for runner in ["prove", "command"] {
        check_lines(runner, Stream::Stdout, &text);
    }
    check("node", &[], data);
}
