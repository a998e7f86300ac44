//! The rules of the code base, as tests: which crate may know which, what the source may not say,
//! how long a file may grow. Each rule gives its reason when it fails.
#![allow(clippy::disallowed_methods, reason = "this test reads the source tree, not a node's disk")]

mod edges;
mod entropy;
mod source;

use std::path::PathBuf;

/// The repository's root.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("core/ lies in the workspace").to_owned()
}
