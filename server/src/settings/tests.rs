use std::collections::BTreeSet;

use super::*;

/// The default file itself, given as a settings file.
fn from_file(content: &str, flags: &[&str]) -> Result<ServerSettings, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("emberline.toml");
    fs_err::write(&path, content).unwrap();
    let flags = [&["--config", path.to_str().unwrap()], flags].concat();
    ServerSettings::from_flags(flags)
        .map(|settings| ServerSettings { config: None, ..settings })
        .map_err(|error| error.to_string().replace(path.to_str().unwrap(), "FILE"))
}

fn flags(flags: &[&str]) -> Result<ServerSettings, String> {
    ServerSettings::from_flags(flags).map_err(|error| error.to_string())
}

#[test]
fn the_default_file_holds_the_defaults() {
    assert_eq!(from_file(DEFAULT_FILE, &[]), flags(&[]));
}

#[test]
fn the_default_file_has_a_commented_line_for_every_setting_and_no_other() {
    let command = ServerSettings::augment_args(clap::Command::new("serve"));
    let settings: BTreeSet<String> = command
        .get_arguments()
        .map(|argument| argument.get_id().to_string())
        .filter(|name| name != "config" && name != "print_config")
        .collect();
    let lines: Vec<&str> = DEFAULT_FILE.lines().collect();
    let mut named = BTreeSet::new();
    for (number, line) in lines.iter().enumerate() {
        let Some((name, _)) = line.trim_start_matches("# ").split_once(" = ") else { continue };
        assert!(lines[number - 1].starts_with("# "), "no comment above {line}");
        named.insert(name.to_owned());
    }
    assert_eq!(named, settings);
}

#[test]
fn every_flag_has_its_environment_variable() {
    let command = ServerSettings::augment_args(clap::Command::new("serve"));
    for argument in command.get_arguments().filter(|argument| argument.get_id() != "print_config") {
        let expected = format!("EMBERLINE_{}", argument.get_id().as_str().to_uppercase());
        assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(expected.as_str()));
        assert_eq!(argument.get_long(), Some(argument.get_id().as_str().replace('_', "-").as_str()));
        assert!(argument.get_help().is_some(), "{}", argument.get_id());
    }
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let file = "http = \"0.0.0.0:1\"\ncache_ttl = \"5s\"\nmax_body = 10\ndevice = \"cpu\"\nhome = \"/h\"\nlog_format = \"json\"";
    let settings = from_file(file, &["--http", "127.0.0.1:2", "--log-format", "text"]).unwrap();
    assert_eq!(settings.http, "127.0.0.1:2");
    assert_eq!(settings.cache_ttl, Duration::from_secs(5));
    assert_eq!(settings.max_body, 10);
    assert_eq!(settings.device, DeviceSelector::Cpu);
    assert_eq!(settings.stores.home().unwrap(), PathBuf::from("/h"));
    assert_eq!(settings.stores.registry_url().unwrap(), "sqlite:///h/registry.db");
    assert_eq!(settings.stores.artifacts_url().unwrap(), "file:///h/artifacts");
    assert_eq!(settings.log_format, LogFormat::Text);
    assert_eq!(settings.max_batch_rows, 512);
}

/// A flag given with its default value still wins over the file.
#[test]
fn an_explicit_default_is_explicit() {
    let settings = from_file("max_batch_rows = 7", &["--max-batch-rows", "512"]).unwrap();
    assert_eq!(settings.max_batch_rows, 512);
}

#[test]
fn bad_settings_are_one_clear_line() {
    let errors = [
        flags(&["--http", "nowhere"]).unwrap_err(),
        flags(&["--cache-ttl", "1.5s"]).unwrap_err(),
        flags(&["--max-body", "lots"]).unwrap_err(),
        flags(&["--device", "tpu"]).unwrap_err(),
        flags(&["--no-such-flag"]).unwrap_err(),
        flags(&["--max-batch-rows", "0"]).unwrap_err(),
        flags(&["--max-queue-rows", "5"]).unwrap_err(),
        flags(&["--request-timeout", "0"]).unwrap_err(),
        flags(&["--access-sample", "2"]).unwrap_err(),
        flags(&["--access-file-bytes", "1kB"]).unwrap_err(),
        flags(&["--access-total-bytes", "1MiB"]).unwrap_err(),
        flags(&["--access-log", "a.log", "--payload-log", "a.log"]).unwrap_err(),
        from_file("payload_sample = -1", &[]).unwrap_err(),
        flags(&["--config", "/no/such/file.toml"]).unwrap_err(),
        from_file("htpp = 1", &[]).unwrap_err(),
        from_file("max_batch_rows = \"many\"", &[]).unwrap_err(),
        from_file("cache_ttl = \"soon\"", &[]).unwrap_err(),
        from_file("device = \"tpu\"", &[]).unwrap_err(),
        from_file("http = ", &[]).unwrap_err(),
    ];
    assert!(errors.iter().all(|error| !error.contains('\n')), "{errors:#?}");
    insta::assert_snapshot!(errors.join("\n"));
}
