//! Files that went wrong, from a seed.

use trees::{
    Ensemble,
    predict::{Predictor, Scratch},
};

use crate::random::Draw;

/// What an importer accepts keeps its promises, and has answers, the same by each way.
pub(crate) fn answers(ensemble: &Ensemble) {
    ensemble.check().unwrap();
    let predictor = Predictor::untuned(ensemble.clone()).unwrap();
    for value in [1.5, -1e-35, f64::NAN] {
        let row = vec![value; ensemble.columns.len()];
        let expected = ensemble.margins(&ensemble.features_of(&row));
        let mut margins = vec![0.0; expected.len()];
        let bits = |margins: &[f64]| margins.iter().map(|margin| margin.to_bits()).collect::<Vec<_>>();
        for way in predictor.ways() {
            predictor.margins_by(way, &row, &mut Scratch::default(), &mut margins).unwrap();
            assert_eq!(bits(&margins), bits(&expected), "{way:?}");
        }
    }
}

/// A file with a few bytes flipped, cut out, doubled, or replaced by digits and signs.
pub(crate) fn mutate(bytes: &[u8], draw: &mut Draw) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=draw.below(4) {
        if out.is_empty() {
            break;
        }
        let at = draw.below(out.len());
        let end = (at + 1 + draw.below(60)).min(out.len());
        match draw.below(7) {
            0 => out[at] ^= 1 << draw.below(8),
            1 => out.truncate(at),
            2 => drop(out.drain(at..end)),
            3 => {
                let copy = out[at..end].to_vec();
                let to = draw.below(out.len());
                drop(out.splice(to..to, copy));
            }
            // Numbers are most of a file: make them others.
            4 | 5 => {
                let digits =
                    (0..out.len()).map(|step| (at + step) % out.len()).find(|place| out[*place].is_ascii_digit());
                if let Some(place) = digits {
                    out[place] = b"0123456789-e. "[draw.below(14)];
                }
            }
            _ => {
                let number: &[u8] =
                    [&b"999999999999"[..], b"-1", b"nan", b"1e400", b"4294967296", b"null"][draw.below(6)];
                drop(out.splice(at..end.min(at + 2), number.iter().copied()));
            }
        }
    }
    out
}
