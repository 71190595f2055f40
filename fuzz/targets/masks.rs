//! libFuzzer chooses the input; [`fuzz::masks`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::masks::target(data));
