//! Readers of model files, and what must hold of a model that they accept.

use trees::{
    Ensemble,
    import::Format,
    predict::{Predictor, Scratch, Value},
};

use crate::targets::Proof;

/// Rows that are answered: eight are walked side by side, and one more alone.
const ROWS: usize = 9;
/// Features, margins and nodes of a model, in all, that as many rows are answered by; one row by a larger one.
const SMALL: usize = 1 << 12;
/// What columns hold, in f32 too. Category codes and thresholds of the corpus are among it.
const VALUES: [f64; 13] =
    [f64::NAN, 0.0, -0.0, 1.0, 2.0, 17.0, -1.5, 0.25, 1e-36, 1e30, -1e300, f64::INFINITY, f64::NEG_INFINITY];

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
        // The bytes and not the ensembles, in which a NaN differs from itself.
        if again.to_bytes().ok().as_ref() != Some(&saved) {
            return Err("what was saved and read is another model".to_owned());
        }
        answer(ensemble)
    })
}

/// Rows have answers, and the margins are those of the reference, to the bit, by every way.
fn answer(ensemble: Ensemble) -> Result<(), String> {
    let (columns, features, width) = (ensemble.columns.len(), ensemble.features.len(), ensemble.output.width);
    let nodes = ensemble.trees.iter().map(|tree| tree.nodes.len()).sum::<usize>();
    let count = if columns + features + width + nodes <= SMALL { ROWS } else { 1 };
    let mut rows = Vec::with_capacity(count * features);
    for row in 0..count {
        let columns: Vec<f64> = (0..columns).map(|column| VALUES[(row * 5 + column) % VALUES.len()]).collect();
        if ensemble.answer(&columns).len() != width {
            return Err(format!("expected an answer of {width} numbers"));
        }
        rows.extend(ensemble.features_of(&columns));
    }
    // Steps before the trees may have left few of the values: those that they make of none.
    rows.extend((0..count * features).map(|place| VALUES[(place + place / features.max(1)) % VALUES.len()]));
    let narrow: Vec<f32> = rows.iter().map(|value| *value as f32).collect();
    let predictor = Predictor::untuned(ensemble).map_err(|error| error.to_string())?;
    by_every_way(&predictor, &rows, 2 * count)?;
    by_every_way(&predictor, &narrow, 2 * count)
}

fn by_every_way<T: Value + Into<f64>>(predictor: &Predictor, rows: &[T], count: usize) -> Result<(), String> {
    let ensemble = predictor.ensemble();
    let (features, width) = (ensemble.features.len(), ensemble.output.width);
    let precision = ensemble.rules.compare;
    let row = |row: usize| -> Vec<f64> {
        let values = &rows[row * features..][..features];
        values.iter().map(|value| precision.round((*value).into())).collect()
    };
    let expected: Vec<f64> = (0..count).flat_map(|number| ensemble.margins(&row(number))).collect();
    let mut margins = vec![0.0; count * width];
    for way in predictor.ways() {
        let answered = predictor.margins_by(way, rows, &mut Scratch::default(), &mut margins);
        answered.map_err(|error| error.to_string())?;
        // Which NaN a sum of several is, the order of its operands decides, and IEEE 754 does not.
        let same = |(one, other): (&f64, &f64)| one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan());
        if let Some(place) = margins.iter().zip(&expected).position(|pair| !same(pair)) {
            let (got, expected) = (margins[place], expected[place]);
            return Err(format!("expected {expected:?} as margin {place} by {way:?}, got {got:?}"));
        }
    }
    Ok(())
}
