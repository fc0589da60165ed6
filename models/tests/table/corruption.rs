//! Whatever happens to an artifact's files, opening it is an error that names the file: never a panic, never a model.

use std::{
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use contract::OpenError;
use models::artifact::{Artifact, WEIGHTS_ROLE, sha256_bytes};

use crate::artifacts::{manifest, write};

const FILES: [&str; 4] = ["golden.json", "manifest.json", "manifest.sha256", "weights.safetensors"];

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("artifact");
    write(&directory);
    (root, directory)
}

fn named(error: &OpenError) -> PathBuf {
    match error {
        OpenError::Read { path, .. }
        | OpenError::Checksum { path, .. }
        | OpenError::Content { path, .. }
        | OpenError::TooNew { path, .. } => path.clone(),
        other => panic!("{other} names no file"),
    }
}

/// Opening `directory` fails and names `file`; a manifest and its checksum stand for each other, because nothing tells
/// which of the two was altered.
fn assert_refused(directory: &Path, file: &str, what: &str) {
    let error = Artifact::open(directory).expect_err(what);
    let name = named(&error).file_name().unwrap().to_string_lossy().into_owned();
    assert!(name == file || (name.starts_with("manifest.") && file.starts_with("manifest.")), "{what}: {error}");
}

#[test]
fn any_altered_byte_is_found() {
    let (_root, directory) = fresh();
    for file in FILES {
        let path = directory.join(file);
        let good = fs_err::read(&path).unwrap();
        // In place: a file that is truncated and written anew is flushed to the disk, thousands of times here.
        let mut opened = fs_err::OpenOptions::new().write(true).open(&path).unwrap();
        let mut put = |index: usize, byte: u8| {
            opened.seek(SeekFrom::Start(index as u64)).unwrap();
            opened.write_all(&[byte]).unwrap();
        };
        for (index, byte) in good.iter().enumerate() {
            for flip in [0x01, 0x20, 0x80] {
                put(index, byte ^ flip);
                assert_refused(&directory, file, &format!("{file} altered at {index}"));
            }
            put(index, *byte);
        }
    }
    Artifact::open(&directory).unwrap();
}

#[test]
fn any_cut_and_any_addition_is_found() {
    let (_root, directory) = fresh();
    for file in FILES {
        let path = directory.join(file);
        let good = fs_err::read(&path).unwrap();
        let opened = fs_err::OpenOptions::new().write(true).open(&path).unwrap();
        for length in (0..good.len()).rev() {
            opened.set_len(length as u64).unwrap();
            assert_refused(&directory, file, &format!("{file} cut to {length}"));
        }
        for more in [&b"\n"[..], b" ", b"\0", &good[..]] {
            fs_err::write(&path, [&good[..], more].concat()).unwrap();
            assert_refused(&directory, file, &format!("{file} with {} bytes more", more.len()));
        }
        fs_err::write(&path, &good).unwrap();
    }
    Artifact::open(&directory).unwrap();
}

#[test]
fn missing_files_and_directories_in_their_place_are_found() {
    for file in FILES {
        let (_root, directory) = fresh();
        let path = directory.join(file);
        fs_err::remove_file(&path).unwrap();
        let error = Artifact::open(&directory).unwrap_err();
        assert!(matches!(&error, OpenError::Read { path: named, .. } if *named == path), "{error}");
        fs_err::create_dir(&path).unwrap();
        let error = Artifact::open(&directory).unwrap_err();
        assert!(matches!(&error, OpenError::Content { path: named, .. } if *named == path), "{error}");
        assert!(error.to_string().contains("got a directory"), "{error}");
    }
    assert!(matches!(Artifact::open(Path::new("/no/such/artifact")), Err(OpenError::Read { .. })));
}

#[test]
fn a_file_that_changes_after_opening_is_found_when_it_is_read() {
    let (_root, directory) = fresh();
    let artifact = Artifact::open(&directory).unwrap();
    let path = directory.join("weights.safetensors");
    fs_err::write(&path, [8; 33]).unwrap();
    assert!(matches!(artifact.read(WEIGHTS_ROLE), Err(OpenError::Checksum { path: named, .. }) if named == path));
    fs_err::write(&path, [7; 34]).unwrap();
    assert!(matches!(artifact.read(WEIGHTS_ROLE), Err(OpenError::Content { path: named, .. }) if named == path));
}

/// Puts `content` in the manifest's place with a checksum that fits it, as an attacker or another program would.
fn forge(directory: &Path, content: &[u8]) {
    fs_err::write(directory.join("manifest.json"), content).unwrap();
    let checksum = format!("{}  manifest.json\n", sha256_bytes(content));
    fs_err::write(directory.join("manifest.sha256"), checksum).unwrap();
}

#[test]
fn manifests_with_a_fitting_checksum_are_still_checked() {
    let (_root, directory) = fresh();
    let good = fs_err::read_to_string(directory.join("manifest.json")).unwrap();
    forge(&directory, good.as_bytes());
    Artifact::open(&directory).unwrap();

    for garbage in [
        &b""[..],
        b"{",
        b"[]",
        b"null",
        b"{\"format_version\":1}",
        b"{\"format_version\":\"1\"}",
        b"\xff\xfe",
        &good.as_bytes()[..good.len() / 2],
    ] {
        forge(&directory, garbage);
        assert_refused(&directory, "manifest.json", "garbage");
    }
    let replaced = |from: &str, to: &str| {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from} is not in the manifest");
        bad
    };
    forge(&directory, replaced("\"format_version\": 1", "\"format_version\": 2").as_bytes());
    assert!(matches!(Artifact::open(&directory), Err(OpenError::TooNew { got: 2, newest: 1, .. })));
    for (from, to) in [
        ("\"format_version\": 1", "\"format_version\": 0"),
        ("\"format_version\": 1", "\"format_version\": -1"),
        ("\"kind\": \"mlp\"", "\"kind\": \"mlp\", \"unknown\": 1"),
        ("\"path\": \"golden.json\"", "\"path\": \"../golden.json\""),
        ("\"path\": \"golden.json\"", "\"path\": \"/etc/passwd\""),
        ("\"path\": \"golden.json\"", "\"path\": \"..\""),
        ("\"path\": \"golden.json\"", "\"path\": \"\""),
        ("\"path\": \"golden.json\"", "\"path\": \"manifest.json\""),
        ("\"path\": \"golden.json\"", "\"path\": \"weights.safetensors\""),
        ("\"role\": \"golden\"", "\"role\": \"weights\""),
        ("\"std\": 0.001", "\"std\": 0.0"),
        ("\"missing_indicator\": true", "\"missing_indicator\": 1"),
        ("\"kind\": \"date\"", "\"kind\": \"numeric\""),
    ] {
        forge(&directory, replaced(from, to).as_bytes());
        assert_refused(&directory, "manifest.json", to);
    }
    // A file that is listed with the size of another is told by its size, before it is read.
    forge(&directory, replaced("\"bytes\": 33", "\"bytes\": 18446744073709551615").as_bytes());
    let error = Artifact::open(&directory).unwrap_err();
    assert!(
        error.to_string().ends_with("weights.safetensors: expected 18446744073709551615 bytes, got 33 bytes"),
        "{error}"
    );
}

#[test]
fn a_manifest_may_list_no_files() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("artifact");
    models::artifact::ArtifactWriter::create(&directory).unwrap().finish(manifest()).unwrap();
    assert!(Artifact::open(&directory).unwrap().golden().unwrap().is_none());
}
