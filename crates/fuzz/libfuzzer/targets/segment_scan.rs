#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::target("segment_scan").expect("a target").run)(data));
