//! Compiles `proto/` with protox, so that nobody needs protoc, and writes three things: prost's
//! types of package `mooseng.v1`, our own service traits, handlers and clients beside them, and a
//! module for each .proto file that names what it declares.

#[path = "build/modules.rs"]
mod modules;
#[path = "build/services.rs"]
mod services;

use std::error::Error;
use std::fs;
use std::path::PathBuf;

const FILES: [&str; 7] = [
    "mooseng/v1/chunk.proto",
    "mooseng/v1/cluster.proto",
    "mooseng/v1/log.proto",
    "mooseng/v1/metadata.proto",
    "mooseng/v1/namespace.proto",
    "mooseng/v1/raft.proto",
    "mooseng/v1/rpc.proto",
];

#[allow(clippy::disallowed_methods, reason = "a build script reads and writes files on the builder's disk")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(false).open_files(FILES)?;
    let files = compiler.file_descriptor_set();
    fs::write(out.join("modules.rs"), modules::generate(&files)?)?;
    let services = services::Services::read(&compiler.descriptor_pool())?;
    prost_build::Config::new()
        .bytes(["."])
        .service_generator(Box::new(services))
        .out_dir(&out)
        .compile_fds(files)?;
    Ok(())
}
