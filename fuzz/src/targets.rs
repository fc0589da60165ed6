//! What reads bytes of others: the decoders that face the network, and the readers of model files.

use std::sync::LazyLock;

use contract::{DataType, Signature};
use server::fuzzing::{self, Accepted};
use trees::import::Format;

use crate::{
    seeds, trees as forests,
    words::{CATBOOST_WORDS, GRPC_WORDS, JSON_WORDS, LENGTHS, LIGHTGBM_WORDS, NUMBERS, TFS_WORDS, XGBOOST_WORDS},
};

/// What an accepted input has to prove.
pub(crate) type Proof = Box<dyn FnOnce() -> Result<(), String>>;

/// A decoder under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name on the command line, and of its folder of inputs.
    pub name: &'static str,
    /// Reads an input; none when it is refused.
    pub(crate) decode: fn(&[u8]) -> Option<Proof>,
    pub(crate) memory: Memory,
    /// Inputs to start from, for the corpus.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    pub(crate) origin: Origin,
    /// Words of the format, to put into inputs.
    pub(crate) words: &'static [&'static [u8]],
    /// Inputs are not longer than this, but for one that repeats a part of itself.
    pub(crate) longest: usize,
    /// Inputs that a test gives it: about a second of them.
    pub inputs: usize,
}

/// Where the inputs to start from come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// They are made here, and kept in the corpus.
    Written,
    /// They are another crate's golden files.
    Golden,
}

/// Most memory that a decoder may take, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// For one byte that came.
    pub(crate) per_byte: usize,
    /// Whatever came.
    pub(crate) at_all: usize,
}

/// All targets.
pub const TARGETS: [Target; 15] = [
    Target {
        name: "http_json",
        decode: |body| proof(fuzzing::http_infer(body, None)),
        memory: LISTS,
        seeds: seeds::json_requests,
        origin: Origin::Written,
        words: &JSON_WORDS,
        longest: 4096,
        inputs: 50_000,
    },
    Target {
        name: "http_binary",
        decode: |input| proof(http_binary(input)),
        memory: LISTS,
        seeds: seeds::binary_requests,
        origin: Origin::Written,
        words: &JSON_WORDS,
        longest: 4096,
        inputs: 50_000,
    },
    Target {
        name: "raw_tensor",
        decode: |input| proof(raw_tensor(input)),
        memory: Memory { per_byte: 16, at_all: 1 << 14 },
        seeds: seeds::raw_tensors,
        origin: Origin::Written,
        words: &LENGTHS,
        longest: 4096,
        inputs: 50_000,
    },
    Target {
        name: "grpc_infer",
        decode: |input| proof(fuzzing::grpc_infer(input)),
        memory: MESSAGES,
        seeds: seeds::grpc_requests,
        origin: Origin::Written,
        words: &GRPC_WORDS,
        longest: 4096,
        inputs: 50_000,
    },
    Target {
        name: "tfs_predict",
        decode: |input| proof(of_signature(input, fuzzing::tfs_predict)),
        memory: LISTS,
        seeds: seeds::tfs_requests,
        origin: Origin::Written,
        words: &TFS_WORDS,
        longest: 4096,
        inputs: 50_000,
    },
    Target {
        name: "tfs_examples",
        decode: |input| proof(of_signature(input, fuzzing::tfs_examples)),
        memory: Memory { at_all: LISTS.at_all + 4 * fuzzing::MOST_REPEATED, ..LISTS },
        seeds: seeds::tfs_examples,
        origin: Origin::Written,
        words: &TFS_WORDS,
        longest: 4096,
        inputs: 50_000,
    },
    Target {
        name: "grpc_tfs_predict",
        decode: |input| proof(fuzzing::grpc_tfs_predict(input)),
        memory: Memory { at_all: MESSAGES.at_all + 4 * fuzzing::MOST_REPEATED, ..MESSAGES },
        seeds: seeds::grpc_tfs_requests,
        origin: Origin::Written,
        words: &GRPC_WORDS,
        longest: 4096,
        inputs: 50_000,
    },
    Target {
        name: "grpc_tfs_examples",
        decode: |input| proof(of_signature(input, fuzzing::grpc_tfs_examples)),
        memory: Memory { at_all: MESSAGES.at_all + 4 * fuzzing::MOST_REPEATED, ..MESSAGES },
        seeds: seeds::grpc_tfs_examples,
        origin: Origin::Written,
        words: &GRPC_WORDS,
        longest: 4096,
        inputs: 50_000,
    },
    tree_file(
        "trees_xgboost_json",
        |file| forests::read(Format::XgboostJson, file),
        &XGBOOST_WORDS,
        || forests::golden("xgboost", "json"),
    ),
    tree_file(
        "trees_xgboost_ubj",
        |file| forests::read(Format::XgboostUbj, file),
        &XGBOOST_WORDS,
        || forests::golden("xgboost", "ubj"),
    ),
    tree_file(
        "trees_lightgbm",
        |file| forests::read(Format::Lightgbm, file),
        &LIGHTGBM_WORDS,
        || forests::golden("lightgbm", "txt"),
    ),
    tree_file(
        "trees_catboost",
        |file| forests::read(Format::Catboost, file),
        &CATBOOST_WORDS,
        || forests::golden("catboost", "json"),
    ),
    tree_file("trees_onnx", |file| forests::read(Format::Onnx, file), &NUMBERS, || forests::golden("onnx", "onnx")),
    tree_file(
        "trees_treelite",
        |file| forests::read(Format::Treelite, file),
        &NUMBERS,
        || forests::golden("treelite", "tl"),
    ),
    tree_file("trees_saved", forests::read_saved, &NUMBERS, forests::saved),
];

/// A reader of model files.
const fn tree_file(
    name: &'static str,
    decode: fn(&[u8]) -> Option<Proof>,
    words: &'static [&'static [u8]],
    seeds: fn() -> Vec<Vec<u8>>,
) -> Target {
    Target {
        name,
        decode,
        memory: FILES,
        seeds,
        origin: Origin::Golden,
        words,
        longest: forests::LONGEST,
        inputs: 2000,
    }
}

/// Two bytes of JSON are a number, which is sixteen and more where it is kept to be looked at again, twice as much while its
/// list grows; a tree of one leaf is some fifty bytes in every format, and a few hundred in ours. A set of categories takes a bit
/// for each code up to its greatest: a few bytes of a file may ask for a mebibyte of bits, and readers give no more than that to
/// small files.
const FILES: Memory = Memory { per_byte: 128, at_all: 1 << 21 };

fn proof(accepted: Option<Accepted>) -> Option<Proof> {
    accepted.map(|accepted| Box::new(move || accepted.prove()) as Proof)
}

/// Dear are lists of short texts: `"",` is three bytes, its place eight, and twice as much and half of that again while a list
/// grows and is moved.
const LISTS: Memory = Memory { per_byte: 32, at_all: 1 << 14 };
/// Two bytes are an empty input, and room is made for all inputs before the first is found wrong. Their number is bounded.
const MESSAGES: Memory = Memory { per_byte: 96, at_all: 1 << 14 };

/// The first two bytes are the length of the JSON, the lower one first.
fn http_binary(input: &[u8]) -> Option<Accepted> {
    let (length, body) = input.split_first_chunk::<2>()?;
    fuzzing::http_infer(body, Some(u16::from_le_bytes(*length).into()))
}

/// The first byte is the number of the signature.
fn of_signature(input: &[u8], decode: fn(&[u8], &Signature) -> Option<Accepted>) -> Option<Accepted> {
    let (number, body) = input.split_first()?;
    decode(body, &SIGNATURES[usize::from(*number) % SIGNATURES.len()])
}

static SIGNATURES: LazyLock<Vec<Signature>> = LazyLock::new(seeds::signatures);

/// The first byte is the datatype, the next the number of axes, then one byte each; the rest is what came.
fn raw_tensor(input: &[u8]) -> Option<Accepted> {
    let (head, rest) = input.split_first_chunk::<2>()?;
    let datatype = DataType::ALL[usize::from(head[0]) % DataType::ALL.len()];
    let (shape, bytes) = rest.split_at_checked(usize::from(head[1] % 5))?;
    // 255 stands for a size that no memory has.
    let axis = |byte: &u8| if *byte == u8::MAX { usize::MAX } else { usize::from(*byte) };
    let shape: Vec<usize> = shape.iter().map(axis).collect();
    fuzzing::raw_tensor(datatype, &shape, bytes)
}
