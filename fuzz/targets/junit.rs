//! libFuzzer chooses the input; [`fuzz::junit`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::junit::target(data));
