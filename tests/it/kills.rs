use std::{thread, time::Duration};

use serde_json::json;

use crate::{
    harness::{Emberline, artifact},
    imports::{write_net, write_small_net},
};

/// Registrations are killed at moments spread over their whole length; whatever is visible afterwards must be whole.
#[test]
fn a_registration_killed_at_any_moment_leaves_no_half_version() {
    let emberline = Emberline::new();
    let file = emberline.file("net.safetensors");
    // 16 MiB, so that there is a time in which the files are being written.
    let (inputs, hidden) = (1024, 4096);
    write_net(
        &file,
        &[
            ("W1", vec![inputs, hidden], vec![0.01; inputs * hidden]),
            ("b1", vec![hidden], vec![0.0; hidden]),
            ("W2", vec![hidden, 1], vec![0.01; hidden]),
            ("b2", vec![1], vec![0.0]),
        ],
    );
    let import = ["import", file.to_str().unwrap(), "--format", "mlp", "--name", "net", "--json"];
    let whole = std::time::Instant::now();
    emberline.ok(&import);
    let mut whole = whole.elapsed();

    let (rounds, mut killed) = (12_u32, 0_u32);
    for round in 0..rounds {
        let mut child = emberline.command(&import).stdout(std::process::Stdio::null()).spawn().unwrap();
        // Multiples of the golden ratio, without their whole part, are spread evenly however many there are.
        let moment = whole.mul_f64((f64::from(round) * 0.618_034).fract());
        thread::sleep(moment);
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            // It took less time than the first one did, on a machine that may have been busy with other things then.
            whole = moment;
        } else {
            killed += 1;
        }

        let models = emberline.json(&["models", "list", "--json"]);
        for version in models[0]["versions"].as_array().unwrap() {
            let folder = artifact(version);
            let manifest: serde_json::Value =
                serde_json::from_str(&fs_err::read_to_string(folder.join("manifest.json")).unwrap()).unwrap();
            for entry in manifest["files"].as_array().unwrap() {
                let length = fs_err::metadata(folder.join(entry["path"].as_str().unwrap())).unwrap().len();
                assert_eq!(length, entry["bytes"].as_u64().unwrap(), "{entry}");
            }
        }
    }
    assert!(killed >= rounds / 2, "only {killed} of {rounds} registrations were killed");

    let last = emberline.json(&import)["version"].as_u64().unwrap();
    let models = emberline.json(&["models", "list", "--json"]);
    let numbers: Vec<u64> =
        models[0]["versions"].as_array().unwrap().iter().map(|version| version["version"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=last).collect::<Vec<_>>());
    let server = emberline.serve(&[]);
    assert_eq!(server.get(&format!("/v2/models/net/versions/{last}/ready")).status, 200);
}

#[test]
fn a_server_killed_under_load_starts_again_with_all_it_knew() {
    let emberline = Emberline::new();
    let file = emberline.file("net.safetensors");
    write_small_net(&file);
    emberline.ok(&["import", file.to_str().unwrap(), "--format", "mlp", "--name", "net"]);
    let mut server = emberline.serve(&[]);
    let stored = server.put("/v1/features/net", &json!({ "rows": [{ "id": "e", "x0": 1.0, "x1": 2.0, "x2": 3.0 }] }));
    assert_eq!(stored.status, 200, "{}", stored.body);
    thread::scope(|scope| {
        let address = server.address.clone();
        scope.spawn(move || {
            for value in 0..1_000_000 {
                let body =
                    json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, 3], "data": [value, 2, 3] }] });
                if ureq::post(format!("http://{address}/v2/models/net/infer")).send(body.to_string()).is_err() {
                    break;
                }
            }
        });
        thread::sleep(Duration::from_millis(300));
        server.child.kill().unwrap();
        server.child.wait().unwrap();
    });
    drop(server);
    let server = emberline.serve(&[]);
    let row = server.get("/v1/features/net/e");
    assert_eq!(row.status, 200, "{}", row.body);
    assert_eq!(server.get("/v2/models/net/ready").status, 200);
}
