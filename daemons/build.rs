//! Describes the services that are offered as gRPC, from the .proto files that everything else is made of: for
//! whoever asks by reflection what there is.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 2] = ["mooseng/v1/cluster.proto", "mooseng/v1/metadata.proto"];

#[allow(clippy::disallowed_methods, reason = "a build script reads and writes files on the builder's disk")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../net/proto");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["../net/proto"])?;
    compiler.include_imports(true).open_files(FILES)?;
    std::fs::write(out.join("services.bin"), compiler.encode_file_descriptor_set())?;
    Ok(())
}
