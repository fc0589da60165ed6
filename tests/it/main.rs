//! The real binary, driven as its users drive it: by its command line and over HTTP.

mod demo;
mod doctor;
mod harness;
mod imports;
mod kills;
mod serving;
mod settings;
mod tables;
mod training;
