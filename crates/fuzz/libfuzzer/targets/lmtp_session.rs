#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::target("lmtp_session").expect("a target").run)(data));
