//! The real client of Triton, in Python, against this server. Skipped where it is not installed:
//! `pip install 'tritonclient[grpc]'`, and `EMBERLINE_TEST_PYTHON` for a Python other than `python3`.

use std::process::{Command, Output};

use crate::harness::Api;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grpc/tritonclient_smoke.py");

fn python() -> Command {
    Command::new(std::env::var_os("EMBERLINE_TEST_PYTHON").unwrap_or_else(|| "python3".into()))
}

fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_client_works_unchanged() {
    let skipped = match python().args(["-c", "import tritonclient.grpc"]).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(complaint(&output)),
        Err(error) => Some(error.to_string()),
    };
    if let Some(reason) = skipped {
        eprintln!("skipped: no tritonclient[grpc] for this Python ({reason})");
        return;
    }
    let api = Api::sum().await;
    api.publish_echo().await;
    let address = api.grpc.to_string();
    let output = tokio::task::block_in_place(|| python().args([SCRIPT, &address]).output().unwrap());
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    api.stop().await;
}
