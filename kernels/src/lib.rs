//! CubeCL GPU kernels, one folder per operation, each beside its plain-Rust twin and tested by one body on every runtime.
