//! Every file under `tests/transcripts` as a test: `cargo test -p testkit --test transcripts NAME`.
#![allow(missing_docs, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use testkit::transcript::Script;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let trials = names(&root.join("transcripts")).into_iter().map(|name| trial(&root, name)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A file that cannot be read is a test that fails.
fn trial(root: &Path, name: String) -> Trial {
    let script = Script::load(&root.join("transcripts"), &root.join("messages"), &name);
    Trial::test(name, move || script.map(drop).map_err(Failed::from))
}

/// All transcripts below `root`, by path without `.txt`, in order.
fn names(root: &Path) -> Vec<String> {
    let (mut names, mut folders) = (Vec::new(), vec![PathBuf::from(root)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "txt") {
                let name = path.strip_prefix(root).expect("below the root").with_extension("");
                names.push(name.to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    names
}
