use crate::harness::Emberline;

#[test]
fn wrong_settings_are_one_clear_line_and_code_64() {
    let emberline = Emberline::new();
    let mut complaints = Vec::new();
    for arguments in [
        &["serve", "--max-batch-rows", "0"][..],
        &["serve", "--max-queue-delay", "soon"],
        &["serve", "--device", "tpu"],
        &["serve", "--no-such-flag"],
        &["serve", "--config", "/no/such/file.toml"],
        &["train"],
        &["train", "--data", "x.csv", "--target", "y", "--name", "n", "--time-budget", "1 fortnight"],
        &["train", "--data", "x.csv", "--target", "y", "--name", "n", "--task", "ranking"],
        &["no-such-command"],
    ] {
        let complaint = emberline.fails(64, arguments);
        let first = complaint.lines().next().unwrap().to_owned();
        complaints.push(format!("{}\n  {first}", arguments.join(" ")));
    }
    let unknown = emberline.write("bad.toml", "max_batch_rowz = 1\n");
    complaints.push(emberline.fails(64, &["serve", "--config", &unknown]));
    let wrong = emberline.write("wrong.toml", "max_batch_rows = \"many\"\n");
    complaints.push(emberline.fails(64, &["serve", "--config", &wrong]));
    insta::assert_snapshot!(complaints.join("\n"));
}

#[test]
fn a_setting_can_come_from_flag_environment_and_file() {
    let emberline = Emberline::new();
    let file = emberline.write("emberline.toml", "max_body = \"1KiB\"\n");
    let long = serde_json::json!({ "inputs": "x".repeat(2000) });
    let by_file = emberline.serve(&["--config", &file]);
    assert_eq!(by_file.post("/v2/models/m/infer", &long).status, 413);
    // Two servers cannot share a home: the feature store is one process's.
    drop(by_file);
    let by_flag = emberline.serve(&["--config", &file, "--max-body", "1MiB"]);
    assert_ne!(by_flag.post("/v2/models/m/infer", &long).status, 413);
}

#[test]
fn the_printed_settings_file_is_a_settings_file() {
    let emberline = Emberline::new();
    let printed = emberline.ok(&["serve", "--print-config"]);
    let file = emberline.write("emberline.toml", &printed);
    emberline.serve(&["--config", &file]);
}
