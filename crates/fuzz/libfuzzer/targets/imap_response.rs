#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::target("imap_response").expect("a target").run)(data));
