//! libFuzzer chooses the input; [`fuzz::tap`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::tap::target(data));
