//! Every file under `tests/transcripts` as a test: `cargo test -p testkit --test transcripts NAME`.
//! With `TRANSCRIPTS_ENGINE=local` in the environment they run on the local engine.
#![allow(missing_docs, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use testkit::in_process::InProcess;
use testkit::transcript::{Harness, Protocol, Revision, Script, run};

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let local = std::env::var("TRANSCRIPTS_ENGINE").is_ok_and(|engine| engine == "local");
    let harness = if local { InProcess::on_disk() } else { InProcess::in_memory() };
    let harness: Arc<dyn Harness> = Arc::new(harness.expect("a certificate"));
    let trials = names(&root.join("transcripts")).into_iter().flat_map(|name| trials(&root, name, &harness)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// One test per revision; a file that cannot be read is a test that fails.
fn trials(root: &Path, name: String, harness: &Arc<dyn Harness>) -> Vec<Trial> {
    match Script::load(&root.join("transcripts"), &root.join("messages"), &name) {
        Err(e) => vec![Trial::test(name, move || Err(Failed::from(e)))],
        Ok(script) => script.revisions.iter().map(|r| trial(&script, *r, Arc::clone(harness))).collect(),
    }
}

fn trial(script: &Script, revision: Revision, harness: Arc<dyn Harness>) -> Trial {
    let suffix = match (script.protocol, revision) {
        (Protocol::Lmtp, _) => "",
        (Protocol::Imap, Revision::One) => " rev1",
        (Protocol::Imap, Revision::Two) => " rev2",
    };
    let (name, script) = (format!("{}{suffix}", script.name), script.clone());
    Trial::test(name, move || run(&script, revision, harness.as_ref()).map_err(|f| Failed::from(f.to_string())))
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
