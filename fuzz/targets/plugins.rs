//! libFuzzer chooses the input; [`fuzz::plugins`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::plugins::target(data));
