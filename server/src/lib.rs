//! The protocols: HTTP today, each resource in a file of its own, over the engine. It knows no GPU crate.
