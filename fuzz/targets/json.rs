//! libFuzzer chooses the input; [`fuzz::json`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::json::target(data));
