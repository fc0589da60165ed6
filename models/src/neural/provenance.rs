//! Where a model comes from: the git commit of the directory that training ran in, and the packages that decide its numbers.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The versions this build was locked to.
const LOCK_FILE: &str = include_str!("../../../Cargo.lock");

/// Packages whose version can change a model's numbers or how its table is read.
const PACKAGES: [&str; 8] = ["arrow", "burn", "burn-flex", "cubecl", "gemm", "parquet", "rand_chacha", "safetensors"];

/// Versions of the packages that decide a model's numbers, this one included, by name.
#[must_use]
pub(crate) fn packages() -> BTreeMap<String, String> {
    let mut versions = BTreeMap::from([("emberline".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    let mut name = "";
    for line in LOCK_FILE.lines() {
        if let Some(found) = quoted(line, "name = ") {
            name = found;
        } else if let Some(version) = quoted(line, "version = ") {
            if PACKAGES.contains(&name) {
                versions.insert(name.to_owned(), version.to_owned());
            }
        }
    }
    versions
}

fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix('"')?.strip_suffix('"')
}

/// The commit that is checked out in the git work tree around `directory`, read from git's own files; none outside of one.
#[must_use]
pub(crate) fn git_commit(directory: &Path) -> Option<String> {
    let dot_git = directory.ancestors().map(|directory| directory.join(".git")).find(|path| path.exists())?;
    // In a linked work tree `.git` is a file that names the real directory.
    let git = if dot_git.is_dir() {
        dot_git
    } else {
        let text = fs_err::read_to_string(&dot_git).ok()?;
        relative_to(dot_git.parent()?, text.strip_prefix("gitdir:")?.trim())
    };
    let head = fs_err::read_to_string(git.join("HEAD")).ok()?;
    let head = head.trim();
    let Some(reference) = head.strip_prefix("ref:").map(str::trim) else {
        return commit(head);
    };
    // A linked work tree keeps its branches in the common directory.
    let common = fs_err::read_to_string(git.join("commondir"))
        .map_or_else(|_| git.clone(), |text| relative_to(&git, text.trim()));
    [&git, &common].iter().find_map(|directory| {
        let loose = fs_err::read_to_string(directory.join(reference)).ok();
        loose.and_then(|text| commit(text.trim())).or_else(|| packed(&directory.join("packed-refs"), reference))
    })
}

fn relative_to(directory: &Path, path: &str) -> PathBuf {
    directory.join(path)
}

fn packed(path: &Path, reference: &str) -> Option<String> {
    let text = fs_err::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (hash, name) = line.split_once(' ')?;
        (name == reference).then(|| commit(hash)).flatten()
    })
}

fn commit(text: &str) -> Option<String> {
    let whole = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn finds_every_package_it_names() {
        let packages = packages();
        assert_eq!(packages.len(), PACKAGES.len() + 1);
        assert_eq!(packages["burn"], "0.22.1");
    }

    #[test]
    fn reads_branches_detached_heads_packed_references_and_linked_trees() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        let inside = root.path().join("tree/deep/er");
        fs_err::create_dir_all(&inside).unwrap();
        write("tree/.git/HEAD", "ref: refs/heads/main\n");
        assert_eq!(git_commit(&inside), None, "a branch without a commit");
        write("tree/.git/packed-refs", &format!("# pack-refs\n{HASH} refs/heads/main\n"));
        assert_eq!(git_commit(&inside).as_deref(), Some(HASH));
        let other = HASH.replace('0', "f");
        write("tree/.git/refs/heads/main", &format!("{other}\n"));
        assert_eq!(git_commit(&inside), Some(other.clone()), "a loose reference is newer than a packed one");
        write("tree/.git/HEAD", HASH);
        assert_eq!(git_commit(&inside).as_deref(), Some(HASH));

        write("linked/.git", "gitdir: ../tree/.git/worktrees/linked\n");
        write("tree/.git/worktrees/linked/HEAD", "ref: refs/heads/main\n");
        write("tree/.git/worktrees/linked/commondir", "../..\n");
        assert_eq!(git_commit(&root.path().join("linked")), Some(other));
    }
}
