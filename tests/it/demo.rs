use crate::harness::Emberline;

#[test]
fn the_demo_goes_all_the_way() {
    let report = Emberline::new().json(&["demo", "--once", "--json"]);
    let versions = report["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2);
    for version in versions {
        // The standard deviation of the quality is 0.81: a model that learned nothing has that RMSE.
        let rmse = version["metrics"]["rmse"].as_f64().unwrap();
        assert!(rmse < 0.72, "version {} has RMSE {rmse}", version["version"]);
    }
    let champion = report["champion"].as_u64().unwrap();
    let best = versions.iter().min_by(|one, other| {
        let rmse = |version: &&serde_json::Value| version["metrics"]["rmse"].as_f64().unwrap();
        rmse(one).total_cmp(&rmse(other))
    });
    assert_eq!(champion, best.unwrap()["version"].as_u64().unwrap());

    // Each of the 319 live wines was predicted by both versions and its label fed back.
    let feedback = report["feedback"].as_array().unwrap();
    assert_eq!(feedback.len(), 2);
    for version in feedback {
        assert_eq!(version["labelled"], 319);
        let squared = version["losses"]["squared"]["overall"].as_f64().unwrap();
        assert!(squared > 0.1 && squared < 0.65, "online loss {squared}");
    }
    for version in report["monitor"]["versions"].as_array().unwrap() {
        assert_eq!(version["failures"].as_object().unwrap().len(), 0);
        assert!(version["stages"]["total"]["p50_us"].as_f64().unwrap() > 0.0);
        assert!(version["batches"].as_u64().unwrap() > 0);
    }
    let of_champion = &report["monitor"]["versions"][champion as usize - 1];
    assert!(of_champion["cache"]["hits"].as_u64().unwrap() >= 2 * 319);
    assert!(report["seconds"].as_f64().unwrap() < 60.0);
    assert_eq!(report["device"], "cpu");
}
