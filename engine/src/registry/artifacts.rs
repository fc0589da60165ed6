//! Where the files of versions live: a directory (`file://`) or an object store, behind `object_store`.
//!
//! Invariants: each upload has a place of its own (`NAME/UUID` below the store's URL) that nothing else is ever written
//! to; when an upload returns, its files and the directories that hold them are on the disk (an object store promises
//! that by itself). Who owns which place is the database's affair.
//!
//! A directory is used in place; from anywhere else an artifact is downloaded once, beside, checked and renamed.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use contract::OpenError;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, ObjectStoreScheme, local::LocalFileSystem, path::Path as StorePath};
use tokio::runtime::Handle;
use url::Url;

use super::files::{self, FileDigest, Reader};
use crate::{Error, Result};

/// What an upload wrote.
pub(super) struct Uploaded {
    /// Size of all files.
    pub(super) size_bytes: u64,
    /// SHA-256 over the files, see [`files::digest`].
    pub(super) digest: String,
}

/// The artifact store.
pub(super) struct Artifacts {
    store: Arc<dyn ObjectStore>,
    /// What stands before every location in the store.
    base: StorePath,
    /// The store's URL without a slash at its end.
    url: String,
    /// The directory, where the store is one.
    local: Option<PathBuf>,
    cache_dir: PathBuf,
    control: Handle,
}

impl Artifacts {
    /// Opens the store at `url`.
    pub(super) async fn open(url: &str, cache_dir: &Path, control: Handle) -> Result<Self> {
        let parsed = Url::parse(url).map_err(|error| {
            Error::BadRequest(format!("expected an artifact URL like file:///path, got '{url}': {error}"))
        })?;
        let unsupported = |error: &dyn std::fmt::Display| {
            let scheme = parsed.scheme();
            Error::BadRequest(format!(
                "expected an artifact URL like file:///path; scheme '{scheme}' cannot be used: {error}"
            ))
        };
        let (scheme, _) = ObjectStoreScheme::parse(&parsed).map_err(|error| unsupported(&error))?;
        let (store, base, local): (Arc<dyn ObjectStore>, _, _) = if scheme == ObjectStoreScheme::Local {
            let root = parsed.to_file_path().map_err(|()| unsupported(&"it holds no path of this system"))?;
            let root = blocking(&control, move || files::create_root(&root)).await?;
            (Arc::new(LocalFileSystem::new_with_prefix(&root)?.with_fsync(true)), StorePath::ROOT, Some(root))
        } else {
            // Credentials and endpoints of object stores come as environment variables (AWS_…, GOOGLE_…, AZURE_…).
            let options = std::env::vars_os()
                .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
            let (store, base) = object_store::parse_url_opts(&parsed, options).map_err(|error| unsupported(&error))?;
            (Arc::from(store), base, None)
        };
        let cache_dir = cache_dir.to_owned();
        if local.is_none() {
            let cache_dir = cache_dir.clone();
            blocking(&control, move || files::sweep_partial_downloads(&cache_dir)).await?;
        }
        Ok(Self { store, base, url: url.trim_end_matches('/').to_owned(), local, cache_dir, control })
    }

    /// URL of a location.
    pub(super) fn url_of(&self, location: &str) -> String {
        format!("{}/{location}", self.url)
    }

    /// Copies every file below `directory` to `location`.
    pub(super) async fn upload(&self, directory: &Path, location: &str) -> Result<Uploaded> {
        let source = directory.to_owned();
        let names = blocking(&self.control, move || files::list(&source)).await?;
        let target = self.store_path(location)?;
        let mut digests = Vec::with_capacity(names.len());
        let mut size_bytes = 0;
        for name in names {
            let path = directory.join(&name);
            let target = name.split('/').fold(target.clone(), StorePath::join);
            let (digest, bytes) = self.upload_file(path, &target).await?;
            size_bytes += bytes;
            digests.push(FileDigest { name, digest });
        }
        if let Some(root) = &self.local {
            let (root, directory) = (root.clone(), local_path(root, location)?);
            blocking(&self.control, move || files::sync_directories(&directory, &root)).await?;
        }
        Ok(Uploaded { size_bytes, digest: files::digest(digests) })
    }

    async fn upload_file(&self, path: PathBuf, target: &StorePath) -> Result<(String, u64)> {
        let (mut reader, mut part) = blocking(&self.control, move || Reader::open(&path)?.next_part()).await?;
        if reader.ended() {
            self.store.put(target, part.into()).await?;
            return Ok(reader.finish());
        }
        let mut upload = self.store.put_multipart(target).await?;
        while !part.is_empty() {
            upload.put_part(part.into()).await?;
            (reader, part) = blocking(&self.control, move || reader.next_part()).await?;
        }
        upload.complete().await?;
        Ok(reader.finish())
    }

    /// Removes everything at `location`; nothing being there is fine.
    pub(super) async fn remove(&self, location: &str) -> Result<()> {
        if let Some(root) = &self.local {
            let directory = local_path(root, location)?;
            return blocking(&self.control, move || match fs_err::remove_dir_all(directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                result => Ok(result?),
            })
            .await;
        }
        let objects: Vec<_> = self.store.list(Some(&self.store_path(location)?)).try_collect().await?;
        for object in objects {
            self.store.delete(&object.location).await?;
        }
        Ok(())
    }

    /// A local directory with the files of the artifact at `url`, whose digest is `digest`.
    pub(super) async fn fetch(&self, url: &str, digest: &str) -> Result<PathBuf> {
        let below = url.strip_prefix(&self.url).and_then(|rest| rest.strip_prefix('/'));
        let location = below
            .ok_or_else(|| Error::BadRequest(format!("expected an artifact below {}, got location {url}", self.url)))?;
        if let Some(root) = &self.local {
            let directory = local_path(root, location)?;
            return blocking(&self.control, move || match fs_err::metadata(&directory) {
                Ok(metadata) if metadata.is_dir() => Ok(directory),
                Ok(_) => {
                    Err(OpenError::Read { path: directory, reason: "expected a directory, got a file".to_owned() }
                        .into())
                }
                Err(error) => Err(OpenError::Read { path: directory, reason: error.to_string() }.into()),
            })
            .await;
        }
        let directory = local_path(&self.cache_dir, location)?;
        let present = directory.clone();
        if blocking(&self.control, move || Ok(present.is_dir())).await? {
            return Ok(directory);
        }
        let partial = files::partial_download(&self.cache_dir);
        let result = self.download(location, digest, &partial, &directory).await;
        if result.is_err() {
            // What cannot be removed now is swept when the store is opened again.
            let _ = blocking(&self.control, move || Ok(fs_err::remove_dir_all(partial)?)).await;
        }
        result.map(|()| directory)
    }

    async fn download(&self, location: &str, expected: &str, partial: &Path, directory: &Path) -> Result<()> {
        let prefix = self.store_path(location)?;
        let objects: Vec<_> = self.store.list(Some(&prefix)).try_collect().await?;
        let mut digests = Vec::with_capacity(objects.len());
        for object in objects {
            let Some(parts) = object.location.prefix_match(&prefix) else { continue };
            let name = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
            let target = partial.join(&name);
            let mut writer = blocking(&self.control, move || files::Writer::create(&target)).await?;
            let mut stream = self.store.get(&object.location).await?.into_stream();
            while let Some(bytes) = stream.try_next().await? {
                writer = blocking(&self.control, move || writer.write(&bytes)).await?;
            }
            let digest = blocking(&self.control, move || writer.finish()).await?;
            digests.push(FileDigest { name, digest });
        }
        let got = files::digest(digests);
        if got != expected {
            let (path, expected) = (PathBuf::from(self.url_of(location)), expected.to_owned());
            return Err(OpenError::Checksum { path, expected, got }.into());
        }
        let (partial, directory, root) = (partial.to_owned(), directory.to_owned(), self.cache_dir.clone());
        blocking(&self.control, move || files::move_into_place(&partial, &directory, &root)).await
    }

    fn store_path(&self, location: &str) -> Result<StorePath> {
        let location = parse_location(location)?;
        Ok(location.parts().fold(self.base.clone(), StorePath::join))
    }
}

fn local_path(root: &Path, location: &str) -> Result<PathBuf> {
    Ok(root.join(parse_location(location)?.as_ref()))
}

/// A location is two plain names, so that removing one never reaches anything else, whatever the database says.
fn parse_location(location: &str) -> Result<StorePath> {
    let path = StorePath::parse(location).ok().filter(|path| path.as_ref() == location && path.parts().count() == 2);
    path.ok_or_else(|| Error::Internal(format!("expected NAME/ID as location of an artifact, got '{location}'")))
}

/// Runs disk work on the control runtime's blocking threads.
async fn blocking<T: Send + 'static>(control: &Handle, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended = control.spawn_blocking(work).await;
    ended.map_err(|error| Error::Internal(format!("disk work of the registry ended early: {error}")))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(directory: &Path) {
        fs_err::create_dir_all(directory.join("weights")).unwrap();
        fs_err::write(directory.join("manifest.json"), b"{}").unwrap();
        fs_err::write(directory.join("empty"), b"").unwrap();
        // Larger than one part of an upload.
        fs_err::write(directory.join("weights/layer-1.bin"), vec![7; files::PART_BYTES * 2 + 5]).unwrap();
    }

    async fn stores(directory: &Path) -> [Artifacts; 2] {
        let local = format!("file://{}/artifacts/", directory.display());
        let cache = directory.join("cache");
        let open = |url: String| {
            let cache = cache.clone();
            async move { Artifacts::open(&url, &cache, Handle::current()).await.unwrap() }
        };
        [open(local).await, open("memory:///models".to_owned()).await]
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn gives_back_what_was_uploaded_and_forgets_what_was_removed() {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("source");
        artifact(&source);
        for store in stores(directory.path()).await {
            let uploaded = store.upload(&source, "wine/one").await.unwrap();
            assert_eq!(uploaded.size_bytes, (files::PART_BYTES * 2 + 5 + 2) as u64);
            let url = store.url_of("wine/one");
            for _ in 0..2 {
                let fetched = store.fetch(&url, &uploaded.digest).await.unwrap();
                for name in ["manifest.json", "empty", "weights/layer-1.bin"] {
                    let (got, sent) =
                        (fs_err::read(fetched.join(name)).unwrap(), fs_err::read(source.join(name)).unwrap());
                    assert!(got == sent, "{name} differs");
                }
            }
            store.remove("wine/one").await.unwrap();
            store.remove("wine/one").await.unwrap();
            let other = store.upload(&source, "wine/two").await.unwrap();
            assert_eq!(other.digest, uploaded.digest);
        }
        // Nothing is left of the first in the directory, and no partial download in the cache.
        assert!(!directory.path().join("artifacts/wine/one").exists());
        assert!(directory.path().join("artifacts/wine/two").exists());
        let cached: Vec<_> = fs_err::read_dir(directory.path().join("cache")).unwrap().collect();
        assert_eq!(cached.len(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_download_that_is_not_what_was_published_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("source");
        artifact(&source);
        let [_, remote] = stores(directory.path()).await;
        let uploaded = remote.upload(&source, "wine/one").await.unwrap();
        let (url, altered) = (remote.url_of("wine/one"), remote.store_path("wine/one").unwrap().join("empty"));
        remote.store.put(&altered, "x".into()).await.unwrap();
        let refusal = remote.fetch(&url, &uploaded.digest).await.unwrap_err();
        assert!(matches!(refusal, Error::Open(OpenError::Checksum { .. })), "{refusal}");
        remote.store.delete(&altered).await.unwrap();
        let refusal = remote.fetch(&url, &uploaded.digest).await.unwrap_err();
        assert!(matches!(refusal, Error::Open(OpenError::Checksum { .. })), "{refusal}");
        assert_eq!(fs_err::read_dir(directory.path().join("cache")).unwrap().count(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn answers_other_schemes_with_a_sentence() {
        for url in ["s3://bucket/path", "ftp://host/path", "no url"] {
            let refusal = Artifacts::open(url, Path::new("/nowhere"), Handle::current()).await.err().unwrap();
            assert!(refusal.to_string().starts_with("expected an artifact URL like file:///path"), "{refusal}");
        }
    }

    #[test]
    fn a_location_never_leaves_the_store() {
        for location in ["", "wine", "..", "../x", "wine/..", "/etc/x", "a/b/c", "a//b", "a/b/"] {
            assert!(parse_location(location).is_err(), "{location}");
        }
        assert!(parse_location("wine/0198").is_ok());
    }
}
