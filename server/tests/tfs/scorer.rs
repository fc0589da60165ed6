//! A table model with classes, whose scores say which values it was given.

use contract::{
    ColumnKind, ColumnSpec, Cost, DataType, Device, DeviceKind, InputError, Invariance, LossKind, Model, Replica,
    RowBlock, RunError, Signature, Task, TaskSpec, Tensor, TensorSpec,
};

use crate::echo::EchoReplica;

/// Stands for a missing value in the scores.
pub(crate) const MISSING: f32 = -1.0;

/// Columns `age` (numeric), `ok` (boolean) and `city` (categorical). The scores of its classes `old`, `good` and `long` are the age,
/// 1 or 0, and the number of bytes of the city.
pub(crate) struct ScorerModel {
    signature: Signature,
}

impl Default for ScorerModel {
    fn default() -> Self {
        let column = |name: &str, kind| ColumnSpec { name: name.to_owned(), kind };
        let classes = ["old", "good", "long"].map(str::to_owned).to_vec();
        Self {
            signature: Signature {
                inputs: vec![
                    TensorSpec::rows("age", DataType::Fp64, 1),
                    TensorSpec::rows("ok", DataType::Bool, 1),
                    TensorSpec::rows("city", DataType::Bytes, 1),
                ],
                outputs: vec![
                    TensorSpec::rows("label", DataType::Bytes, 1),
                    TensorSpec::rows("probabilities", DataType::Fp32, 3),
                ],
                columns: vec![
                    column("age", ColumnKind::Numeric),
                    column("ok", ColumnKind::Boolean),
                    column("city", ColumnKind::Categorical),
                ],
                task: Some(TaskSpec {
                    task: Task::Multiclass,
                    classes,
                    score: "probabilities".to_owned(),
                    loss: LossKind::Logistic,
                }),
            },
        }
    }
}

impl Model for ScorerModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn invariance(&self) -> Invariance {
        Invariance::Exact
    }

    fn buckets(&self, _device: DeviceKind) -> &[usize] {
        &[64]
    }

    fn encode(&self, inputs: &[Tensor], rows: &mut RowBlock) -> Result<Cost, InputError> {
        let find = |name: &str| {
            let expected = self.signature.describe_inputs();
            let missing = InputError::MissingInput { name: name.to_owned(), expected };
            inputs.iter().find(|input| input.name() == name).ok_or(missing)
        };
        let (age, ok, city) = (find("age")?, find("ok")?, find("city")?);
        rows.reset(3 * size_of::<f32>());
        for row in 0..age.rows() {
            let score = |tensor: &Tensor, value: f32| if tensor.is_valid(row) { value } else { MISSING };
            #[expect(clippy::cast_possible_truncation, reason = "the tests' ages are small")]
            rows.data_mut().push(score(age, age.values::<f64>().unwrap()[row] as f32));
            rows.data_mut().push(score(ok, f32::from(ok.bytes().unwrap()[row])));
            rows.data_mut().push(score(city, city.strings().unwrap().get(row).unwrap().len() as f32));
        }
        Ok(Cost { rows: age.rows(), class: 0 })
    }

    fn decode(&self, raw: &RowBlock, wanted: &[String]) -> Result<Vec<Tensor>, InputError> {
        let scores = raw.data().as_slice::<f32>();
        let largest = |row: &[f32]| {
            let classes = &self.signature.task.as_ref().unwrap().classes;
            let place = (0..3).max_by(|one, other| row[*one].total_cmp(&row[*other])).unwrap();
            classes[place].clone()
        };
        let output = |name: &str| match name {
            "label" => Tensor::from_strings(name, vec![raw.rows(), 1], scores.chunks_exact(3).map(largest).collect()),
            _ => Tensor::from_values(name, vec![raw.rows(), 3], scores),
        };
        if wanted.is_empty() {
            ["label", "probabilities"].into_iter().map(output).collect()
        } else {
            wanted.iter().map(|name| output(name)).collect()
        }
    }

    fn place(&self, _device: &Device) -> Result<Box<dyn Replica>, RunError> {
        Ok(Box::new(EchoReplica::default()))
    }
}
