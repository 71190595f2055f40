//! libFuzzer chooses the input; [`fuzz::settings`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::settings::target(data));
