//! Generates the gRPC service and its messages from `proto/`, by a protobuf compiler written in Rust, so that no `protoc` need be
//! installed. What is generated stays in the build directory.

use std::{env, error::Error, path::PathBuf};

const PROTO: &str = "proto/inference.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    let files = protox::compile([PROTO], ["proto"])?;

    // The server reads inference requests itself, straight into tensors, so that message is not generated.
    tonic_prost_build::configure()
        .build_client(false)
        .codec_path("crate::grpc::codec::MessageCodec")
        .extern_path(".inference.ModelInferRequest", "crate::grpc::request::InferMessage")
        .bytes(".inference.ModelInferResponse.raw_output_contents")
        .bytes(".inference.InferTensorContents.bytes_contents")
        .btree_map(".")
        .compile_fds(files.clone())?;

    // A client as anyone would generate it, for the tests.
    let client = PathBuf::from(env::var_os("OUT_DIR").ok_or("expected OUT_DIR to be set by cargo")?).join("client");
    #[expect(clippy::disallowed_methods, reason = "fs_err is no build dependency for one directory")]
    std::fs::create_dir_all(&client)?;
    tonic_prost_build::configure().build_server(false).out_dir(client).compile_fds(files)?;
    Ok(())
}
