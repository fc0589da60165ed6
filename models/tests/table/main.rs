//! Tables, encoders, artifacts and imports, through the public interface.

mod artifacts;
mod corruption;
mod csv;
mod encoders;
mod imports;
mod parquet;
mod real;
mod support;
mod targets;
