//! libFuzzer chooses the input; [`fuzz::lines`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::lines::target(data));
