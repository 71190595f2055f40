//! libFuzzer chooses the input; [`fuzz::frames`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::frames::target(data));
