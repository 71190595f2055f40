//! libFuzzer chooses the input; [`fuzz::messages`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::messages::target(data));
