//! Dense nets in npz files (a zip archive of npy arrays), as `numpy.savez` and `numpy.savez_compressed` write them.

use std::io::{Cursor, Read};

use contract::OpenError;
use npyz::{NpyFile, Order, npz::NpzArchive};

use super::{NamedTensor, Source};

/// Largest array, unpacked: a small archive may claim to unpack to any size.
const MAX_ARRAY_BYTES: u64 = 4 << 30;
/// More arrays than any dense net has.
const MAX_ARRAYS: usize = 4096;

pub(super) fn read(source: &Source<'_>, bytes: &[u8]) -> Result<Vec<NamedTensor>, OpenError> {
    let damaged =
        |error: &dyn std::fmt::Display| source.wrong("an npz file of arrays", format!("a damaged one ({error})"));
    let mut archive = NpzArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
    let entries = archive.zip_archive().len();
    if entries > MAX_ARRAYS {
        return Err(source.wrong(format!("at most {MAX_ARRAYS} arrays"), entries));
    }
    let mut tensors = Vec::with_capacity(entries);
    for index in 0..entries {
        let entry = archive.zip_archive().by_index(index).map_err(|error| damaged(&error))?;
        let Some(name) = npyz::npz::array_name_from_file_name(entry.name()).map(str::to_owned) else {
            return Err(source.wrong("only arrays", format!("'{}'", entry.name())));
        };
        let mut unpacked = Vec::new();
        entry.take(MAX_ARRAY_BYTES + 1).read_to_end(&mut unpacked).map_err(|error| damaged(&error))?;
        if unpacked.len() as u64 > MAX_ARRAY_BYTES {
            return Err(source.wrong(format!("array '{name}' of at most {MAX_ARRAY_BYTES} bytes"), "more"));
        }
        tensors.push(array(source, name, &unpacked)?);
    }
    Ok(tensors)
}

fn array(source: &Source<'_>, name: String, bytes: &[u8]) -> Result<NamedTensor, OpenError> {
    let wrong =
        |got: &dyn std::fmt::Display| source.wrong(format!("array '{name}' in npy form with f4 or f8 elements"), got);
    // The npy reader allocates what the header's length field says, so that is checked against the bytes at hand first.
    let header_bytes = match bytes.get(6) {
        Some(1) => bytes.get(8..10).map(|field| usize::from(u16::from_le_bytes([field[0], field[1]]))),
        Some(2 | 3) => {
            bytes.get(8..12).map(|field| u32::from_le_bytes([field[0], field[1], field[2], field[3]]) as usize)
        }
        Some(_) | None => None,
    };
    if header_bytes.is_none_or(|header_bytes| header_bytes > bytes.len()) {
        return Err(wrong(&"a damaged header"));
    }
    let file = NpyFile::new(bytes).map_err(|error| wrong(&error))?;
    let (order, dtype) = (file.order(), file.dtype());
    let shape = file
        .shape()
        .iter()
        .map(|size| usize::try_from(*size))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(&error))?;
    let elements = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    let data = bytes.len() - bytes.len().min(header_bytes.unwrap_or(0));
    if elements.is_none_or(|elements| elements > data) {
        return Err(wrong(&format!("shape {shape:?} with {data} bytes")));
    }
    let values: Vec<f32> = match dtype.descr().trim_matches('\'') {
        "<f4" | ">f4" => file.into_vec::<f32>().map_err(|error| wrong(&error))?,
        "<f8" | ">f8" => {
            file.into_vec::<f64>().map_err(|error| wrong(&error))?.into_iter().map(|value| value as f32).collect()
        }
        other => return Err(wrong(&format!("elements of type {other}"))),
    };
    let values = match (order, &shape[..]) {
        (Order::Fortran, [rows, columns]) => {
            (0..rows * columns).map(|index| values[index % columns * rows + index / columns]).collect()
        }
        // One axis, or none, has the same elements in both orders; more axes are no dense layer and are refused by shape.
        (Order::C | Order::Fortran, _) => values,
    };
    Ok(NamedTensor { name, shape, values })
}
