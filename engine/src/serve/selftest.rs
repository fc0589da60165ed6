//! Whether a loaded model still gives the answers that it gave when it was saved.

use contract::{Element, Tensor};

/// Compares answers with the expected ones: names, types, shapes and missing values exactly, text and whole numbers
/// exactly, floats within `tolerance` relative to the larger magnitude of the two and 1 (NaN equals NaN).
///
/// # Errors
/// One sentence on the first difference.
pub(super) fn compare(expected: &[Tensor], got: &[Tensor], tolerance: f32) -> Result<(), String> {
    if expected.len() != got.len() {
        return Err(format!("expected {} outputs, got {}", expected.len(), got.len()));
    }
    expected.iter().zip(got).try_for_each(|(expected, got)| compare_tensors(expected, got, f64::from(tolerance)))
}

fn compare_tensors(expected: &Tensor, got: &Tensor, tolerance: f64) -> Result<(), String> {
    let name = expected.name();
    let form = |tensor: &Tensor| format!("'{}' {} {:?}", tensor.name(), tensor.datatype(), tensor.shape());
    if name != got.name() || expected.datatype() != got.datatype() || expected.shape() != got.shape() {
        return Err(format!("expected output {}, got {}", form(expected), form(got)));
    }
    if expected.validity() != got.validity() {
        return Err(format!("output '{name}' has other missing values than expected"));
    }
    if expected.values::<f32>().is_some() {
        return compare_floats::<f32>(expected, got, tolerance);
    }
    if expected.values::<f64>().is_some() {
        return compare_floats::<f64>(expected, got, tolerance);
    }
    if expected == got { Ok(()) } else { Err(format!("output '{name}' differs from the expected values")) }
}

fn compare_floats<T: Element + Into<f64>>(expected: &Tensor, got: &Tensor, tolerance: f64) -> Result<(), String> {
    let values = |tensor: &Tensor| -> Vec<f64> {
        tensor.values::<T>().unwrap_or_default().iter().map(|value| (*value).into()).collect()
    };
    for (index, (want, have)) in values(expected).into_iter().zip(values(got)).enumerate() {
        if !close(want, have, tolerance) {
            let name = expected.name();
            return Err(format!("output '{name}' element {index}: expected {want} within {tolerance}, got {have}"));
        }
    }
    Ok(())
}

fn close(want: f64, have: f64, tolerance: f64) -> bool {
    // Infinities are equal or far apart; their difference is no number.
    want == have
        || (want.is_nan() && have.is_nan())
        || (want - have).abs() <= tolerance * want.abs().max(have.abs()).max(1.0)
            && want.is_finite()
            && have.is_finite()
}

#[cfg(test)]
mod tests {
    use contract::Strings;

    use super::*;

    fn floats(values: &[f32]) -> Tensor {
        Tensor::from_values("y", vec![values.len()], values).unwrap()
    }

    #[test]
    fn takes_what_is_within_tolerance() {
        let expected = [floats(&[0.0, 1000.0, f32::NAN, f32::INFINITY])];
        assert_eq!(compare(&expected, &[floats(&[0.009, 1009.0, f32::NAN, f32::INFINITY])], 0.01), Ok(()));
        for wrong in [
            [0.02, 1000.0, f32::NAN, f32::INFINITY],
            [0.0, 1011.0, f32::NAN, f32::INFINITY],
            [0.0, 1000.0, 0.0, f32::INFINITY],
            [0.0, 1000.0, f32::NAN, 7.0],
            [0.0, 1000.0, f32::NAN, f32::NEG_INFINITY],
            [f32::NAN, 1000.0, f32::NAN, f32::INFINITY],
        ] {
            assert!(compare(&expected, &[floats(&wrong)], 0.01).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn tells_other_forms_apart() {
        let expected = [floats(&[1.0])];
        assert!(compare(&expected, &[], 0.1).is_err());
        assert!(compare(&expected, &[floats(&[1.0, 1.0])], 0.1).is_err());
        assert!(compare(&expected, &[Tensor::from_values("z", vec![1], &[1_f32]).unwrap()], 0.1).is_err());
        assert!(compare(&expected, &[Tensor::from_values("y", vec![1], &[1_f64]).unwrap()], 0.1).is_err());
        let text = |word: &str| Tensor::from_strings("c", vec![1], [word].iter().collect::<Strings>()).unwrap();
        assert_eq!(compare(&[text("red")], &[text("red")], 0.1), Ok(()));
        assert!(compare(&[text("red")], &[text("blue")], 0.1).is_err());
        let whole = |value: i64| Tensor::from_values("n", vec![1], &[value]).unwrap();
        assert!(compare(&[whole(1000)], &[whole(1001)], 0.1).is_err());
    }
}
