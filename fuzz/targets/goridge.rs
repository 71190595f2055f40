//! libFuzzer chooses the input; [`fuzz::goridge`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::goridge::target(data));
