//! Readers of model files, and what must hold of a model that they accept.

use std::path::Path;

use trees::{
    Ensemble,
    import::Format,
    predict::{Predictor, Scratch},
};

use crate::targets::Proof;

/// The longest file to start from; the golden files of the crate `trees` that are shorter are the corpus.
pub(crate) const LONGEST: usize = 12 << 10;
/// Splits of a model whose answers are compared; all are compared with what was written and read again.
const ANSWERED: usize = 2000;

/// A file of another tool.
pub(crate) fn read(format: Format, file: &[u8]) -> Option<Proof> {
    format.read(file).ok().map(prove)
}

/// A file of our own.
pub(crate) fn read_saved(file: &[u8]) -> Option<Proof> {
    Ensemble::from_bytes(file).ok().map(prove)
}

fn prove(ensemble: Ensemble) -> Proof {
    Box::new(move || {
        ensemble.check().map_err(|error| format!("it was accepted, and is not sound: {error}"))?;
        let saved = ensemble.to_bytes().map_err(|error| error.to_string())?;
        let again = Ensemble::from_bytes(&saved).map_err(|error| format!("what was saved cannot be read: {error}"))?;
        if again.to_bytes().ok().as_ref() != Some(&saved) {
            return Err("what was saved and read is another model".to_owned());
        }
        answer(ensemble)
    })
}

/// Every way gives the bits of the reference.
fn answer(ensemble: Ensemble) -> Result<(), String> {
    let (features, width) = (ensemble.features.len(), ensemble.output.width);
    if ensemble.trees.iter().map(|tree| tree.nodes.len()).sum::<usize>() > ANSWERED || features * width > ANSWERED {
        return Ok(());
    }
    let kinds = [f64::NAN, 0.0, -0.0, 1.0, -1.5, 3.0, 1e30, f64::INFINITY, f64::NEG_INFINITY];
    let value = |at: usize| kinds[at * 7 % kinds.len()];
    let rows: Vec<f64> = (0..9 * features).map(value).collect();
    let expected = (0..9).flat_map(|row| ensemble.margins(&rows[row * features..][..features]));
    let expected: Vec<u64> = expected.map(f64::to_bits).collect();
    let predictor = Predictor::untuned(ensemble).map_err(|error| error.to_string())?;
    let mut out = vec![0.0; 9 * width];
    for way in predictor.ways() {
        let answered = predictor.margins_by(way, &rows, &mut Scratch::default(), &mut out);
        answered.map_err(|error| error.to_string())?;
        // A NaN's sign and payload are not kept by addition.
        let same = |(got, expected): (&f64, &u64)| {
            got.to_bits() == *expected || got.is_nan() && f64::from_bits(*expected).is_nan()
        };
        if !out.iter().zip(&expected).all(same) {
            return Err(format!(
                "by {way:?} the margins are {out:?}, not {:?}",
                expected.iter().map(|bits| f64::from_bits(*bits)).collect::<Vec<_>>()
            ));
        }
    }
    Ok(())
}

/// The golden files of a format that are short enough.
pub(crate) fn golden(folder: &str, extension: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/trees/tests/data").join(folder);
    let mut paths: Vec<_> =
        fs_err::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let chosen = paths.into_iter().filter(|path| path.extension().is_some_and(|own| own == extension));
    chosen.filter_map(|path| fs_err::read(path).ok()).filter(|file| file.len() <= LONGEST).collect()
}

/// The golden files of every format in our own form.
pub(crate) fn saved() -> Vec<Vec<u8>> {
    let folders =
        [("xgboost", "json"), ("lightgbm", "txt"), ("catboost", "json"), ("onnx", "onnx"), ("treelite", "tl")];
    let files = folders.into_iter().flat_map(|(folder, extension)| golden(folder, extension).into_iter().step_by(4));
    let saved = files.filter_map(|file| trees::import::read(&file).ok()?.to_bytes().ok());
    saved.filter(|file| file.len() <= LONGEST).collect()
}
