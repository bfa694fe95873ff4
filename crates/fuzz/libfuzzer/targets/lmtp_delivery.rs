#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::target("lmtp_delivery").expect("a target").run)(data));
