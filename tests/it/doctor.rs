use crate::harness::Emberline;

#[test]
fn the_doctor_lists_the_cpu_and_tests_it() {
    let report = Emberline::new().json(&["doctor", "--json"]);
    let devices = report["devices"].as_array().unwrap();
    assert!(devices.iter().any(|device| device["id"] == "cpu"));
    let tests = report["self_tests"].as_array().unwrap();
    assert!(!tests.is_empty());
    for test in tests {
        assert_eq!(test["passed"], true, "{test}");
    }
    // A software adapter is never what `auto` picks.
    let picked = report["auto"]["id"].as_str().unwrap();
    let picked = devices.iter().find(|device| device["id"] == picked).unwrap();
    assert_eq!(picked["software"], false);
    let text = Emberline::new().ok(&["doctor"]);
    assert!(text.contains("cpu") && text.contains("matmul"), "{text}");
}
