//! The stores that every command opens, and the runtime that their work runs on.

use anyhow::{Context, Result};
use engine::registry::{Registry, RegistrySettings};
use server::settings::StoreSettings;
use tokio::runtime::{Builder, Handle, Runtime};

/// The runtime that database and disk work runs on.
pub(crate) fn control_runtime() -> Result<Runtime> {
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("control").enable_all().build();
    runtime.context("cannot start the control runtime")
}

/// Where the registry is; the home folder is made if it is not there.
pub(crate) fn registry_settings(stores: &StoreSettings) -> Result<RegistrySettings> {
    let home = std::path::absolute(stores.home()?)?;
    fs_err::create_dir_all(&home)?;
    Ok(RegistrySettings {
        database_url: stores.registry_url()?,
        artifacts_url: stores.artifacts_url()?,
        cache_dir: home.join("cache"),
    })
}

/// Opens the registry; its calls run on `control`.
pub(crate) async fn open_registry(stores: &StoreSettings, control: &Handle) -> Result<Registry> {
    Ok(Registry::open(registry_settings(stores)?, control.clone()).await?)
}

/// Waits for Ctrl-C or SIGTERM. Where signals cannot be listened for, it waits for ever.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                ended = tokio::signal::ctrl_c() => if ended.is_err() { std::future::pending().await },
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
