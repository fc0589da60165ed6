use serde_json::{Value, json};

use crate::{
    harness::{Emberline, Server},
    imports::write_small_net,
};

fn served(arguments: &[&str]) -> (Emberline, Server) {
    let emberline = Emberline::new();
    let file = emberline.file("net.safetensors");
    write_small_net(&file);
    emberline.ok(&["import", file.to_str().unwrap(), "--format", "mlp", "--name", "net"]);
    let server = emberline.serve(arguments);
    (emberline, server)
}

fn bench(emberline: &Emberline, url: &str, arguments: &[&str]) -> Value {
    let usual = ["bench", "serve", url, "--duration", "500ms", "--warmup", "100ms", "--json"];
    emberline.json(&[&usual[..], arguments].concat())
}

#[test]
fn all_three_protocols_are_answered() {
    let grpc = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (emberline, server) = served(&["--grpc", &grpc]);
    let http = format!("http://{}", server.address);
    let grpc = format!("grpc://{grpc}");
    for (url, protocol, source) in
        [(&http, "http-json", "metrics"), (&http, "http-binary", "metrics"), (&grpc, "grpc", "statistics")]
    {
        let results =
            bench(&emberline, url, &["--model", "net", "--protocol", protocol, "--concurrency", "4", "--rows", "2"]);
        let report = &results["reports"][0];
        let counts = &report["counts"];
        assert!(counts["ok"].as_u64().unwrap() > 20, "{protocol}: {report}");
        assert_eq!(counts["ok"], counts["intended"], "{protocol}: {report}");
        let (rows, answers) = (&report["rows_per_second"], &report["throughput_per_second"]);
        assert!((rows.as_f64().unwrap() / answers.as_f64().unwrap() - 2.0).abs() < 1e-9, "{rows} {answers}");
        // Every request was another: the cache had none of them. The server says where their time went.
        assert_eq!(report["server"]["cache_hits"], 0, "{protocol}: {}", report["server"]);
        assert_eq!(report["server"]["source"], source);
        let stages = report["server"]["stages"].as_array().unwrap();
        assert!(
            stages.iter().any(|stage| stage["name"] == "queue" && stage["count"].as_u64() > Some(10)),
            "{stages:?}"
        );
    }
    let cached = bench(&emberline, &http, &["--model", "net", "--distinct", "1", "--rate", "300"]);
    let report = &cached["reports"][0];
    assert!(report["server"]["cache_hits"].as_u64().unwrap() > 50, "{report}");
    assert_eq!(report["counts"]["ok"], report["counts"]["intended"], "{report}");
}

#[test]
fn rows_of_a_table_rates_and_a_page() {
    let (emberline, server) = served(&[]);
    let url = format!("http://{}", server.address);
    let table = emberline.write("rows.csv", "a,b,c\n1,2,3\n4,5,6\n");
    let page = emberline.file("page.html");
    let arguments = ["--model", "net", "--data", &table, "--columns", "c,b,a", "--steps", "100,200"];
    let more = ["--arrivals", "constant", "--slo", "10s@p50", "--timeout", "5s", "--priority", "1:1,2:3"];
    let results = bench(&emberline, &url, &[&arguments[..], &more, &["--report", page.to_str().unwrap()]].concat());
    let reports = results["reports"].as_array().unwrap();
    assert_eq!(reports.len(), 2);
    for (report, intended) in reports.iter().zip([50, 100]) {
        assert_eq!((&report["counts"]["intended"], &report["counts"]["ok"]), (&json!(intended), &json!(intended)));
        assert_eq!(report["slo"]["met"], true);
        assert_eq!(report["requests"]["distinct"], 2);
        assert_eq!(report["priorities"][1]["priority"], 2);
    }
    let page = fs_err::read_to_string(page).unwrap();
    assert!(
        page.contains("net at 127.0.0.1") && page.contains("Latency against rate") && page.contains("In the server")
    );

    let printed = emberline.ok(&[
        "bench",
        "serve",
        &url,
        "--model",
        "net",
        "--scenario",
        "offline",
        "--samples",
        "4096",
        "--warmup",
        "0",
    ]);
    assert!(printed.contains("MLPerf Offline: throughput "), "{printed}");
    assert!(printed.contains("4 requests, 4 at a time") && printed.contains("p99.9"), "{printed}");
}

#[test]
fn a_log_is_replayed() {
    let (emberline, server) = served(&[]);
    let url = format!("http://{}", server.address);
    let line = |millis: u32, rows: &str| {
        let body = format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1,3],"data":{rows}}}]}}"#);
        json!({
            "time": format!("2026-01-01T00:00:00.{millis:03}000Z"), "id": "0", "protocol": "http", "method": "POST",
            "path": "/v2/models/net/infer", "model": "net", "version": 1, "status": 200, "rows": 1, "cache": "miss",
            "duration_us": 100, "payload": { "headers": { "content-type": "application/json" }, "body": body },
        })
        .to_string()
    };
    let log = emberline.write("log.ndjson", &[line(0, "[1,2,3]"), line(20, "[1,2]"), line(90, "[3,2,1]")].join("\n"));
    let results = bench(&emberline, &url, &["--replay", &log, "--speed", "0.5"]);
    let report = &results["reports"][0];
    assert_eq!((&report["counts"]["ok"], &report["counts"]["failed"]), (&json!(2), &json!(1)), "{report}");
    assert_eq!(report["target"]["model"], "net");
    assert_eq!(results["replay"]["requests"], 3);
    assert!((report["seconds"].as_f64().unwrap() - 0.181).abs() < 1e-6, "{}", report["seconds"]);
    assert!(report["first_failure"].as_str().unwrap().contains("status 400"), "{report}");
}

#[test]
fn loads_that_cannot_be_are_one_clear_line() {
    let (emberline, server) = served(&[]);
    let url = format!("http://{}", server.address);
    let fails = |code, arguments: &[&str]| {
        let complaint = emberline.fails(code, &[&["bench", "serve", &url], arguments].concat());
        complaint.replace(&server.address, "ADDRESS").lines().next().unwrap_or_default().to_owned()
    };
    let complaints = [
        fails(64, &["--model", "net", "--rate", "none"]),
        fails(64, &["--model", "net", "--slo", "5ms"]),
        fails(64, &["--model", "net", "--priority", "1"]),
        fails(64, &["--model", "net", "--rate", "10", "--concurrency", "2"]),
        fails(64, &["--model", "net", "--scenario", "server"]),
        fails(64, &["--model", "net", "--distinct", "0"]),
        fails(64, &["--model", "net", "--shape", "x:4"]),
        fails(1, &["--model", "nope"]),
        fails(1, &["--replay", "/no/such/file"]),
    ];
    insta::assert_snapshot!(complaints.join("\n"));
}
