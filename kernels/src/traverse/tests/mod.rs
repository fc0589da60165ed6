//! One conformance body, run against the twin and against the kernels on every device of every runtime built in.

mod generate;
mod refusals;

use generate::{Asked, Noise, Random};

use super::{CategoryRule, Code, Coder, Forest, Layout, Missing, Test, cpu};
use crate::Error;

/// One step of an implementation.
type Step<'a, In, With, Out> = &'a dyn Fn(&[In], &With) -> Result<Vec<Out>, Error>;

/// An implementation: codes rows, finds leaves, adds them up.
struct Traverse<'a> {
    code: Step<'a, f32, Coder, u32>,
    leaves: Step<'a, u32, Forest, u32>,
    sums: Step<'a, u32, Forest, i64>,
}

/// How many rows: around the sizes of a block.
const ROWS: [usize; 5] = [1, 63, 64, 65, 1000];

/// What every implementation must do, beside forests of one's own choice.
fn conforms(name: &str, traverse: &Traverse<'_>) {
    let mut noise = Noise(3);
    for depth in 1..=14 {
        for (trees, width, vectors) in [(1, 1, false), (7, 1, false), (40, 3, false), (9, 5, true)] {
            let random = Random::new(&mut noise, depth, trees, width, vectors);
            let rows = ROWS[(depth + trees) % ROWS.len()];
            let case = format!("{name}: {trees} trees of depth {depth}, {width} outputs, {rows} rows");
            agrees(&case, traverse, &random, &random.rows(&mut noise, rows));
        }
    }
    // All numbers of rows; an odd one is the largest forest.
    let random = Random::new(&mut noise, 6, 300, 1, false);
    for rows in ROWS {
        agrees(&format!("{name}: {rows} rows"), traverse, &random, &random.rows(&mut noise, rows));
    }
    // More outputs than a block has units a row; and outputs that no tree adds to.
    let many = Random::new(&mut noise, 3, 5, 300, true);
    agrees(&format!("{name}: 300 outputs"), traverse, &many, &many.rows(&mut noise, 65));
    let few = Random::new(&mut noise, 2, 3, 40, false);
    agrees(&format!("{name}: 40 outputs of 3 trees"), traverse, &few, &few.rows(&mut noise, 64));
    // Trees of one leaf alone: rows without a byte.
    let leaves = Random::new(&mut noise, 0, 5, 2, false);
    agrees(&format!("{name}: single leaves"), traverse, &leaves, &leaves.rows(&mut noise, 63));
    // No trees at all.
    let none = Random::new(&mut noise, 0, 0, 2, false);
    agrees(&format!("{name}: no trees"), traverse, &none, &none.rows(&mut noise, 3));
    // Rows of more bytes than shared memory holds.
    let wide = Random::wide(&mut noise, 70_000);
    agrees(&format!("{name}: 70,000 codes"), traverse, &wide, &wide.rows(&mut noise, 5));
}

/// That leaves are those of the definition, and sums those of its leaves, whichever way the forest is laid out.
fn agrees(case: &str, traverse: &Traverse<'_>, random: &Random, rows: &[f32]) {
    let codes: Vec<Code<'_>> = random.codes();
    let coder = Coder::new(random.features, random.rule, &codes).unwrap();
    let coded = (traverse.code)(rows, &coder).unwrap();
    let trees = random.trees();
    let width = random.width;
    let expected: Vec<u32> = rows.chunks_exact(random.features).flat_map(|row| random.leaves(row)).collect();
    let laid = Forest::new(coder.codes(), width, &trees).unwrap();
    let mut forests = vec![laid.clone()];
    if laid.layout() != Layout::General {
        forests.push(Forest::general(coder.codes(), width, &trees).unwrap());
    }
    for forest in &forests {
        assert_eq!((traverse.leaves)(&coded, forest).unwrap(), expected, "{case}, {:?}", forest.layout());
        let sums = (traverse.sums)(&coded, forest).unwrap();
        assert_eq!(sums.len(), rows.len() / random.features * width, "{case}");
        for (row, sums) in sums.chunks_exact(width).enumerate() {
            let leaves = &expected[row * trees.len()..][..trees.len()];
            for (output, sum) in sums.iter().enumerate() {
                let (sum, unit) = (forest.number(output, *sum), forest.unit(output));
                let (expected, magnitude) = random.sum(leaves, output);
                // Half a unit a leaf, and what f64 loses in adding up what is expected.
                let limit = unit * trees.len() as f64 + magnitude * 1e-14;
                assert!(
                    (sum - expected).abs() <= limit && limit <= magnitude.max(1e-3) * 1e-6,
                    "{case}: {sum}, {expected}"
                );
            }
        }
    }
}

fn code_on_cpu(values: &[f32], coder: &Coder) -> Result<Vec<u32>, Error> {
    let mut words = vec![u32::MAX; values.len() / coder.features() * coder.words()];
    cpu::code(values, coder, &mut words).map(|()| words)
}

fn leaves_on_cpu(words: &[u32], forest: &Forest) -> Result<Vec<u32>, Error> {
    let mut leaves = vec![u32::MAX; words.len() / forest.words() * forest.trees()];
    cpu::leaves(words, forest, &mut leaves).map(|()| leaves)
}

fn sums_on_cpu(words: &[u32], forest: &Forest) -> Result<Vec<i64>, Error> {
    let mut sums = vec![i64::MAX; words.len() / forest.words() * forest.width()];
    cpu::sums(words, forest, &mut sums).map(|()| sums)
}

const ON_CPU: Traverse<'static> = Traverse { code: &code_on_cpu, leaves: &leaves_on_cpu, sums: &sums_on_cpu };

#[test]
fn the_twin_conforms() {
    conforms("cpu", &ON_CPU);
}

#[test]
fn shallow_trees_are_perfect_and_deep_ones_are_not() {
    let mut noise = Noise(5);
    for depth in 0..=14 {
        let random = Random::new(&mut noise, depth, 1, 1, false);
        let forest = Forest::new(random.codes().len(), 1, &random.trees()).unwrap();
        let leaves = random.trees()[0].splits.len() + 1;
        let perfect = depth <= 8 && 1 << depth <= 4 * leaves;
        assert_eq!(forest.layout() == Layout::Perfect { depth: depth as u32 }, perfect, "{depth}, {leaves} leaves");
    }
}

/// Categories word by word: what the rules say of numbers at the edges.
#[test]
fn numbers_become_categories_by_the_rule() {
    let none = None;
    for (x, truncate, non_negative, exact) in [
        (0.0, Some(0), Some(0), Some(0)),
        (-0.0, Some(0), Some(0), Some(0)),
        (-1e-45, Some(0), none, none),
        (1e-45, Some(0), Some(0), none),
        (-0.5, Some(0), none, none),
        (-1.0, none, none, none),
        (1.0, Some(1), Some(1), Some(1)),
        (1.5, Some(1), Some(1), none),
        (35.999, Some(35), Some(35), none),
        (16_777_215.0, Some(16_777_215), Some(16_777_215), Some(16_777_215)),
        (16_777_216.0, none, none, none),
        (f32::INFINITY, none, none, none),
        (f32::NEG_INFINITY, none, none, none),
    ] {
        for (rule, expected) in [
            (CategoryRule::Truncate, truncate),
            (CategoryRule::TruncateNonNegative, non_negative),
            (CategoryRule::Exact, exact),
        ] {
            let mut words = vec![0_u32; 1 << 19];
            let byte = |words: &[u32]| {
                let code = Code { feature: 0, missing: Missing::Left, test: Test::In(words) };
                code_on_cpu(&[x], &Coder::new(1, rule, &[code]).unwrap()).unwrap()[0]
            };
            assert_eq!(byte(&words), 1, "{x} is in no set, {rule:?}");
            if let Some(category) = expected {
                words[category / 32] = 1 << (category % 32);
                assert_eq!(byte(&words), 0, "{x} is {category}, {rule:?}");
                for word in &mut words {
                    *word = !*word;
                }
                assert_eq!(byte(&words), 1, "{x} is nothing else, {rule:?}");
            } else {
                words.fill(u32::MAX);
                assert_eq!(byte(&words), 1, "{x} is nothing, {rule:?}");
            }
        }
    }
}

/// The definition of a test, on the number itself.
fn holds(asked: &Asked, rule: CategoryRule, index: usize, x: f32) -> bool {
    let zero = x.is_nan() || x.abs() <= super::NEAR_ZERO;
    let x = match asked.missing {
        Missing::Left if x.is_nan() => return true,
        Missing::Right if x.is_nan() => return false,
        Missing::AsZero if x.is_nan() => 0.0,
        Missing::ZeroLeft if zero => return true,
        Missing::ZeroRight if zero => return false,
        Missing::Left | Missing::Right | Missing::AsZero | Missing::ZeroLeft | Missing::ZeroRight => x,
    };
    match &asked.test {
        generate::Test::Cuts(cuts) => x <= cuts[index],
        generate::Test::Equal(value) => x == *value,
        generate::Test::In(words) => {
            let none = match rule {
                CategoryRule::Truncate => x.trunc() < 0.0,
                CategoryRule::TruncateNonNegative => x < 0.0,
                CategoryRule::Exact => x < 0.0 || x.trunc() != x,
            };
            let category = x.trunc() as usize;
            !none && x < 16_777_216.0 && words.get(category / 32).is_some_and(|word| word >> (category % 32) & 1 == 1)
        }
    }
}

#[cfg(feature = "gpu")]
mod on_devices {
    use super::{super::gpu, *};
    use crate::devices::devices;

    #[test]
    fn the_kernels_conform() {
        for device in devices() {
            let client = device.client();
            let traverse = Traverse {
                code: &|values, coder| gpu::code(&client, values, coder),
                leaves: &|words, forest| gpu::leaves(&client, words, forest),
                sums: &|words, forest| gpu::sums(&client, words, forest),
            };
            conforms(&format!("{device:?}"), &traverse);
        }
    }

    /// Bytes and sums too are the twin's to the bit, and a row's do not depend on the rows beside it.
    #[test]
    fn the_kernels_give_the_twins_bits_in_any_batch() {
        let mut noise = Noise(11);
        for device in devices() {
            let client = device.client();
            for (depth, trees, width, vectors) in [(5, 120, 1, false), (11, 30, 2, false), (4, 33, 7, true)] {
                let random = Random::new(&mut noise, depth, trees, width, vectors);
                let coder = Coder::new(random.features, random.rule, &random.codes()).unwrap();
                let forest = Forest::new(coder.codes(), width, &random.trees()).unwrap();
                let rows = random.rows(&mut noise, 777);
                let coded = gpu::code(&client, &rows, &coder).unwrap();
                assert_eq!(coded, code_on_cpu(&rows, &coder).unwrap(), "{device:?}");
                let sums = gpu::sums(&client, &coded, &forest).unwrap();
                assert_eq!(sums, sums_on_cpu(&coded, &forest).unwrap(), "{device:?}");
                for batch in [1, 2, 5, 40, 300] {
                    let words = &coded[..batch * coder.words()];
                    assert_eq!(
                        gpu::sums(&client, words, &forest).unwrap(),
                        sums[..batch * width],
                        "{device:?}, {batch}"
                    );
                }
            }
        }
    }

    #[test]
    fn launches_refuse_what_does_not_fit() {
        for device in devices() {
            let client = device.client();
            let cuts = [1.0];
            let code = Code { feature: 1, missing: Missing::Left, test: Test::Cuts(&cuts) };
            let coder = Coder::new(2, CategoryRule::Exact, &[code; 5]).unwrap();
            let forest = Forest::new(5, 1, &[]).unwrap();
            let device_coder = gpu::DeviceCoder::upload(&client, &coder).unwrap();
            let device_forest = gpu::DeviceForest::upload(&client, &forest).unwrap();
            assert!(gpu::largest_launch(&client, &device_coder, &device_forest) >= 1 << 15);
            let three = client.create_from_slice(bytemuck::cast_slice(&[1.0_f32, 2.0, 3.0]));
            let error = gpu::launch_code(&client, three.clone(), &device_coder).err();
            assert_eq!(error, Some(Error::Rows { features: 2, got: 3 }));
            let error = gpu::launch_sums(&client, three, &device_forest).err();
            assert_eq!(error, Some(Error::Words { words: 2, got: 3 }));
            assert_eq!(gpu::code(&client, &[1.0], &coder).err(), Some(Error::Rows { features: 2, got: 1 }));
            assert_eq!(gpu::leaves(&client, &[1], &forest).err(), Some(Error::Words { words: 2, got: 1 }));
        }
    }
}
