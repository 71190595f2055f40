//! libFuzzer chooses the input; [`fuzz::live`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::live::target(data));
