//! The server over the fake model: wire formats by themselves, and everything else over HTTP on a free port.

#![cfg(test)]

mod access;
mod binary;
mod caching;
mod documents;
mod encodings;
mod errors;
mod explanations;
mod extensions;
mod harness;
mod lifecycle;
mod limits;
mod predictions;
mod protocol;
mod serving;
mod shared_memory;
mod statistics;
mod wire;
