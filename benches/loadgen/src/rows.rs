//! Where the rows of requests come from: drawn at random for a signature, or from a table in a file.
//!
//! Elements are kept as the protocol's raw bytes (little-endian; strings with their length in four bytes before them), from
//! which every form of a request is made.

use std::path::Path;

use contract::DataType;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    Error, Result,
    error::setting,
    signature::{Input, Signature},
};

/// Tensors of one request: for every input its shape and raw elements.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) tensors: Vec<RawTensor>,
}

#[derive(Clone, Debug)]
pub(crate) struct RawTensor {
    pub(crate) input: Input,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// Requests of `rows` each, `count` of them, with elements drawn by `seed`.
pub(crate) fn random(signature: &Signature, rows: usize, count: usize, seed: u64) -> Result<Vec<Rows>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let mut tensors = Vec::with_capacity(signature.inputs.len());
        for input in &signature.inputs {
            let shape = input.shape_of(rows)?;
            let mut bytes = Vec::new();
            for _ in 0..elements(&shape)? {
                draw(&mut random, input.datatype, &mut bytes);
            }
            tensors.push(RawTensor { input: input.clone(), shape, bytes });
        }
        all.push(Rows { tensors });
    }
    Ok(all)
}

/// Elements of a shape, within what one request may sensibly have.
fn elements(shape: &[usize]) -> Result<usize> {
    let count = shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size));
    count.filter(|count| *count <= 1 << 28).ok_or_else(|| {
        Error::Setting(format!("expected at most 2^28 elements in an input of one request, got the shape {shape:?}"))
    })
}

fn draw(random: &mut impl Rng, datatype: DataType, bytes: &mut Vec<u8>) {
    match datatype {
        DataType::Bool => bytes.push(u8::from(random.random::<bool>())),
        // Small whole numbers: they are as often indices as amounts.
        DataType::Uint8 | DataType::Int8 => bytes.push(random.random_range(0..100)),
        DataType::Uint16 | DataType::Int16 => bytes.extend(random.random_range(0..100_u16).to_le_bytes()),
        DataType::Uint32 | DataType::Int32 => bytes.extend(random.random_range(0..100_u32).to_le_bytes()),
        DataType::Uint64 | DataType::Int64 => bytes.extend(random.random_range(0..100_u64).to_le_bytes()),
        // From 0.5 to 1, of either sign: the exponent's bits are set and the mantissa's are drawn.
        DataType::Fp16 => bytes.extend((0x3800 | (random.random::<u16>() & 0x83ff)).to_le_bytes()),
        DataType::Bf16 => bytes.extend((0x3f00 | (random.random::<u16>() & 0x807f)).to_le_bytes()),
        DataType::Fp32 => bytes.extend((random.random::<f32>() * 2.0 - 1.0).to_le_bytes()),
        DataType::Fp64 => bytes.extend((random.random::<f64>() * 2.0 - 1.0).to_le_bytes()),
        DataType::Bytes => {
            let text: [u8; 8] = std::array::from_fn(|_| random.random_range(b'a'..=b'z'));
            string(&text, bytes);
        }
    }
}

fn string(text: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text);
}

/// Requests of `rows` each from a CSV file with a header, until it ends or `most` are made; a rest of too few rows is left out.
///
/// An input of one element per row takes the column of its name. An input of several takes `columns` in their order, or the
/// columns `NAME_0`, `NAME_1`, …, or, if it is the only input, the file's first ones.
pub(crate) fn table(
    signature: &Signature,
    file: &Path,
    columns: &[String],
    rows: usize,
    most: usize,
) -> Result<Vec<Rows>> {
    let reader = fs_err::File::open(file)?;
    let mut reader = csv::Reader::from_reader(reader);
    let wrong = |error: csv::Error| Error::Setting(format!("{}: {error}", file.display()));
    let header: Vec<String> = reader.headers().map_err(wrong)?.iter().map(|name| name.trim().to_owned()).collect();
    let mut takes = Vec::with_capacity(signature.inputs.len());
    for input in &signature.inputs {
        takes.push(columns_of(input, signature.inputs.len() == 1, &header, columns, file)?);
    }
    let shapes: Vec<Vec<usize>> =
        signature.inputs.iter().map(|input| input.shape_of(rows)).collect::<Result<Vec<_>>>()?;
    let empty = || vec![Vec::new(); signature.inputs.len()];
    let (mut all, mut part, mut inside) = (Vec::new(), empty(), 0);
    for (line, record) in reader.records().enumerate() {
        let record = record.map_err(wrong)?;
        for ((input, take), bytes) in signature.inputs.iter().zip(&takes).zip(&mut part) {
            for column in take {
                let cell = record.get(*column).unwrap_or_default().trim();
                read_cell(cell, input.datatype, bytes).map_err(|expected| {
                    Error::Setting(format!(
                        "{} row {}, column '{}': expected {expected}, got '{cell}'",
                        file.display(),
                        line + 1,
                        header[*column]
                    ))
                })?;
            }
        }
        inside += 1;
        if inside == rows {
            let tensors = signature.inputs.iter().zip(&shapes).zip(std::mem::replace(&mut part, empty()));
            let tensors = tensors
                .map(|((input, shape), bytes)| RawTensor { input: input.clone(), shape: shape.clone(), bytes })
                .collect();
            all.push(Rows { tensors });
            inside = 0;
            if all.len() == most {
                break;
            }
        }
    }
    if all.is_empty() {
        return setting(format!("{}: expected at least {rows} rows for one request, got {inside}", file.display()));
    }
    Ok(all)
}

fn columns_of(input: &Input, only: bool, header: &[String], named: &[String], file: &Path) -> Result<Vec<usize>> {
    let place = |name: &str| {
        header.iter().position(|column| column == name).ok_or_else(|| {
            Error::Setting(format!(
                "{}: expected a column '{name}' for input '{}', got {}",
                file.display(),
                input.name,
                header.join(", ")
            ))
        })
    };
    let shape = input.shape_of(1)?;
    let width = elements(&shape)?;
    if width == 1 && (named.is_empty() || !only) {
        return place(&input.name).map(|place| vec![place]);
    }
    if !named.is_empty() {
        let places = named.iter().map(|name| place(name)).collect::<Result<Vec<_>>>()?;
        if places.len() != width {
            return setting(format!(
                "expected {width} columns for input '{}' of shape {:?}, got {}",
                input.name,
                input.shape,
                places.len()
            ));
        }
        return Ok(places);
    }
    let numbered = format!("{}_0", input.name);
    if header.contains(&numbered) {
        return (0..width).map(|number| place(&format!("{}_{number}", input.name))).collect();
    }
    if only && header.len() >= width {
        return Ok((0..width).collect());
    }
    setting(format!(
        "{}: expected the {width} columns of input '{}', got {}; name them by --columns",
        file.display(),
        input.name,
        header.join(", ")
    ))
}

/// Appends a cell; an empty one is a missing number, which only floats can say.
fn read_cell(cell: &str, datatype: DataType, bytes: &mut Vec<u8>) -> std::result::Result<(), &'static str> {
    macro_rules! number {
        ($kind:ty, $expected:literal) => {
            bytes.extend(cell.parse::<$kind>().map_err(|_| $expected)?.to_le_bytes())
        };
    }
    match datatype {
        DataType::Bool => match cell {
            "1" | "true" | "True" | "TRUE" => bytes.push(1),
            "0" | "false" | "False" | "FALSE" => bytes.push(0),
            _ => return Err("true or false"),
        },
        DataType::Uint8 => number!(u8, "a whole number of UINT8"),
        DataType::Uint16 => number!(u16, "a whole number of UINT16"),
        DataType::Uint32 => number!(u32, "a whole number of UINT32"),
        DataType::Uint64 => number!(u64, "a whole number of UINT64"),
        DataType::Int8 => number!(i8, "a whole number of INT8"),
        DataType::Int16 => number!(i16, "a whole number of INT16"),
        DataType::Int32 => number!(i32, "a whole number of INT32"),
        DataType::Int64 => number!(i64, "a whole number of INT64"),
        DataType::Fp32 if cell.is_empty() => bytes.extend(f32::NAN.to_le_bytes()),
        DataType::Fp64 if cell.is_empty() => bytes.extend(f64::NAN.to_le_bytes()),
        DataType::Fp32 => number!(f32, "a number"),
        DataType::Fp64 => number!(f64, "a number"),
        DataType::Fp16 | DataType::Bf16 => return Err("FP32 or FP64 as datatype of an input from a file"),
        DataType::Bytes => string(cell.as_bytes(), bytes),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str, datatype: DataType, shape: &[i64]) -> Input {
        Input { name: name.to_owned(), datatype, shape: shape.to_vec() }
    }

    #[test]
    fn random_rows_fit_their_signature_and_follow_the_seed() {
        let inputs = DataType::ALL.map(|datatype| input(datatype.name(), datatype, &[-1, 3])).to_vec();
        let signature = Signature { inputs };
        let rows = random(&signature, 5, 2, 7).unwrap();
        for (datatype, tensor) in DataType::ALL.into_iter().zip(&rows[0].tensors) {
            assert_eq!(tensor.shape, [5, 3]);
            assert_eq!(tensor.bytes.len(), 15 * datatype.size().unwrap_or(12), "{datatype:?}");
        }
        let bytes = |rows: &[Rows]| rows.iter().map(|rows| rows.tensors[11].bytes.clone()).collect::<Vec<_>>();
        assert_eq!(bytes(&rows), bytes(&random(&signature, 5, 2, 7).unwrap()));
        assert_ne!(bytes(&rows), bytes(&random(&signature, 5, 2, 8).unwrap()));
        assert_ne!(bytes(&rows)[0], bytes(&rows)[1]);
    }

    #[test]
    fn tables_give_columns_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.csv");
        fs_err::write(&file, "a,s,b,target\n1,x,2,0\n3,yy,,1\n5,z,6,0\n").unwrap();
        let signature =
            Signature { inputs: vec![input("b", DataType::Fp32, &[-1, 1]), input("s", DataType::Bytes, &[-1, 1])] };
        let rows = table(&signature, &file, &[], 1, 10).unwrap();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].tensors[0].bytes, 2_f32.to_le_bytes());
        assert!(f32::from_le_bytes(rows[1].tensors[0].bytes[..].try_into().unwrap()).is_nan());
        assert_eq!(rows[1].tensors[1].bytes, b"\x02\0\0\0yy");

        let wide = Signature { inputs: vec![input("x", DataType::Fp64, &[-1, 2])] };
        let named = ["a".to_owned(), "target".to_owned()];
        let rows = table(&wide, &file, &named, 2, 10).unwrap();
        // The third row has no second one to go with.
        assert_eq!((rows.len(), rows[0].tensors[0].bytes.len()), (1, 32));
        let complaint = table(&wide, &file, &[], 1, 10).unwrap_err().to_string();
        assert!(complaint.contains("row 1, column 's': expected a number, got 'x'"), "{complaint}");
        let complaint = table(&wide, &file, &["nope".to_owned()], 1, 10).unwrap_err().to_string();
        assert!(complaint.contains("expected a column 'nope'"), "{complaint}");
        assert!(table(&wide, &file, &named, 4, 10).unwrap_err().to_string().contains("at least 4 rows"));
    }
}
