#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| coverage::run("trees_lightgbm", input));
