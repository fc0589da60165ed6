//! What reads bytes of others: the decoders that face the network, and the readers of model files.

use std::sync::LazyLock;

use contract::{DataType, Signature};
use server::fuzzing::{self, Accepted};
use trees::import::Format;

use crate::{
    ensembles, seeds,
    words::{
        CATBOOST_WORDS, GRPC_WORDS, JSON_WORDS, LENGTHS, LIGHTGBM_WORDS, NUMBERS, ONNX_WORDS, SAVED_WORDS, TFS_WORDS,
        UBJ_WORDS, XGBOOST_WORDS,
    },
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
    /// Words of the format, to put into inputs.
    pub(crate) words: &'static [&'static [u8]],
    /// Inputs that a test gives it: about a second of them.
    pub inputs: usize,
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
        words: &JSON_WORDS,
        inputs: 50_000,
    },
    Target {
        name: "http_binary",
        decode: |input| proof(http_binary(input)),
        memory: LISTS,
        seeds: seeds::binary_requests,
        words: &JSON_WORDS,
        inputs: 50_000,
    },
    Target {
        name: "raw_tensor",
        decode: |input| proof(raw_tensor(input)),
        memory: Memory { per_byte: 16, at_all: 1 << 14 },
        seeds: seeds::raw_tensors,
        words: &LENGTHS,
        inputs: 50_000,
    },
    Target {
        name: "grpc_infer",
        decode: |input| proof(fuzzing::grpc_infer(input)),
        memory: MESSAGES,
        seeds: seeds::grpc_requests,
        words: &GRPC_WORDS,
        inputs: 50_000,
    },
    Target {
        name: "tfs_predict",
        decode: |input| proof(of_signature(input, fuzzing::tfs_predict)),
        memory: LISTS,
        seeds: seeds::tfs_requests,
        words: &TFS_WORDS,
        inputs: 50_000,
    },
    Target {
        name: "tfs_examples",
        decode: |input| proof(of_signature(input, fuzzing::tfs_examples)),
        memory: Memory { at_all: LISTS.at_all + 4 * fuzzing::MOST_REPEATED, ..LISTS },
        seeds: seeds::tfs_examples,
        words: &TFS_WORDS,
        inputs: 50_000,
    },
    Target {
        name: "grpc_tfs_predict",
        decode: |input| proof(fuzzing::grpc_tfs_predict(input)),
        memory: Memory { at_all: MESSAGES.at_all + 4 * fuzzing::MOST_REPEATED, ..MESSAGES },
        seeds: seeds::grpc_tfs_requests,
        words: &GRPC_WORDS,
        inputs: 50_000,
    },
    Target {
        name: "grpc_tfs_examples",
        decode: |input| proof(of_signature(input, fuzzing::grpc_tfs_examples)),
        memory: Memory { at_all: MESSAGES.at_all + 4 * fuzzing::MOST_REPEATED, ..MESSAGES },
        seeds: seeds::grpc_tfs_examples,
        words: &GRPC_WORDS,
        inputs: 50_000,
    },
    // A number in a list takes 2 bytes in the file and up to 28 with what it is kept as until the model is made.
    tree_file(
        "trees_xgboost_json",
        |file| ensembles::read(Format::XgboostJson, file),
        DECLARED,
        &XGBOOST_WORDS,
        seeds::trees::xgboost_json,
    ),
    // As in JSON; and for the length of a list of trees 340 bytes each, up to a MiB, before the first of them is read.
    tree_file(
        "trees_xgboost_ubj",
        |file| ensembles::read(Format::XgboostUbj, file),
        DECLARED,
        &UBJ_WORDS,
        seeds::trees::xgboost_ubj,
    ),
    // Nothing is believed that is not there. A column takes 2 bytes in the file and 120 in memory; most else takes 30 for one.
    tree_file(
        "trees_lightgbm",
        |file| ensembles::read(Format::Lightgbm, file),
        Memory { per_byte: 96, at_all: 1 << 14 },
        &LIGHTGBM_WORDS,
        seeds::trees::lightgbm,
    ),
    // A leaf of a symmetric tree takes 2 bytes in the file, and 112 with its node and its split while their lists grow.
    tree_file(
        "trees_catboost",
        |file| ensembles::read(Format::Catboost, file),
        Memory { per_byte: 96, at_all: 1 << 14 },
        &CATBOOST_WORDS,
        seeds::trees::catboost,
    ),
    // 2^16 columns may be declared, and some operators do something to each: 25 MB, which the steps that a file may take bound.
    tree_file(
        "trees_onnx",
        |file| ensembles::read(Format::Onnx, file),
        Memory { per_byte: 256, at_all: 1 << 25 },
        &ONNX_WORDS,
        seeds::trees::onnx,
    ),
    tree_file(
        "trees_treelite",
        |file| ensembles::read(Format::Treelite, file),
        DECLARED,
        &NUMBERS,
        seeds::trees::treelite,
    ),
    // For the length of a list of trees 136 bytes each, before the first of them is read, but never more than there are bytes; and for
    // lists in it the like.
    tree_file(
        "trees_saved",
        ensembles::read_saved,
        Memory { per_byte: 256, at_all: 1 << 14 },
        &SAVED_WORDS,
        seeds::trees::saved,
    ),
];

/// A reader of model files.
const fn tree_file(
    name: &'static str,
    decode: fn(&[u8]) -> Option<Proof>,
    memory: Memory,
    words: &'static [&'static [u8]],
    seeds: fn() -> Vec<Vec<u8>>,
) -> Target {
    Target { name, decode, memory, seeds, words, inputs: 10_000 }
}

/// Files that declare a number of columns without names: 2^16, or four a byte, of 96 bytes each, and a margin for as many classes
/// (7.3 MB in all). Their category sets may take 1 MiB, or 64 bytes a byte, twice while they grow.
const DECLARED: Memory = Memory { per_byte: 512, at_all: 12 << 20 };

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
