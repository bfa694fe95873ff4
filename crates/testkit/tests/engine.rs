//! Both engines pass the same suite.
#![allow(clippy::unwrap_used, missing_docs)]

mod memory {
    use std::sync::Arc;

    use engine::memory::Memory;

    testkit::engine_suite!(Arc::new(Memory::new()));
}

mod local {
    use engine::Codec;
    use engine::local::{Local, Options};
    use testkit::engine_suite::Reopened;

    /// Small groups, layers, segments and logs, so that their ends are met often.
    fn fresh(codec: Codec) -> Reopened<Local> {
        let dir = tempfile::tempdir().unwrap();
        Reopened::new(move || {
            let options = Options {
                segment_size: 300_000,
                codec,
                reserve: 0,
                group_bytes: 50_000,
                group_batches: 5,
                overlay: 4000,
                checkpoint_pages: 20,
                idle_readers: 2,
                ..Options::default()
            };
            Local::open(dir.path(), options).unwrap()
        })
    }

    mod plain {
        testkit::engine_suite!(super::fresh(engine::Codec::None));
    }

    mod compressed {
        testkit::engine_suite!(super::fresh(engine::Codec::Zstd));
    }
}
