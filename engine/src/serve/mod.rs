//! The way of a request: router, cache, encoding, queue, batch, device, decoding.
//!
//! [`Serving`] is the room's door. A request finds its [`Deployment`] in the router (wait-free), looks for its answer in
//! the cache, or else is encoded on its own thread, waits in the queue of the executor that owns the deployment's device,
//! runs in a batch with others, and is decoded on its own thread again.
//!
//! - No request is dropped by a change of versions or aliases, and each answer comes from a version that was meant at
//!   some moment between its request and its answer.
//! - Every request ends by its deadline, in an answer or an error.
//! - Work whose caller has gone or whose deadline has passed does not reach the device.
//! - No lock is held while anything is computed, and nothing is computed but encoding and decoding outside of an executor.
//!
//! It knows nothing of protocols, saved models or the registry: whoever owns it loads models into it.

mod admission;
mod arrivals;
mod batcher;
mod cache;
mod channel;
mod deployment;
mod direct;
mod effective;
mod executor;
mod gate;
#[cfg(test)]
mod interleavings;
mod lifecycle;
mod observe;
mod pool;
mod prediction_id;
mod replicas;
mod request;
mod router;
mod scaling;
mod selftest;
mod serving;
mod settings;
mod sync;
#[cfg(test)]
mod tests;

pub use self::{
    cache::CacheStatistics,
    deployment::{Deployment, DeviceShare, ServedModel, ServedVersion, VersionState},
    effective::EffectiveServing,
    prediction_id::PredictionId,
    request::{CacheStatus, CacheUse, PredictRequest, Prediction, Timing},
    serving::Serving,
    settings::{ModelServing, ServingSettings},
};
pub use crate::registry::VersionSelector;
