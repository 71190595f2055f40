//! libFuzzer chooses the input; [`fuzz::output`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::output::target(data));
