//! libFuzzer chooses the input; [`fuzz::jobs`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::jobs::target(data));
