//! The `queen` program: arguments and logging, nothing else.

fn main() {}
