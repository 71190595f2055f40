//! The `drone` program: arguments and logging, nothing else.

fn main() {}
