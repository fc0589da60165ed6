//! How targets and classes lie in a row's margins.
//!
//! A checkpoint answers with an array of `num_target` × `max(num_class)`, padded with zeros where a target has fewer
//! classes. Our margins are that array in row-major order without the padding: the classes of target 0, then those of
//! target 1, and so on, [`Layout::width`] numbers in all.

use crate::{Error, Result};

/// How targets and classes lie in a row's margins.
pub(super) struct Layout {
    /// Classes by target; at least one target, and one class each.
    classes: Vec<usize>,
    /// Where each target's classes begin.
    starts: Vec<usize>,
    /// The largest number of classes.
    most: usize,
    /// `leaf_vector_shape`: targets and classes of a leaf.
    shape: [usize; 2],
    width: usize,
}

impl Layout {
    /// `base_scores` is the number of base scores, which the file holds for every target and class: it bounds all that
    /// is allocated by their number.
    pub(super) fn new(classes: Vec<usize>, shape: [usize; 2], base_scores: usize) -> Result<Self> {
        let most = classes.iter().copied().max().unwrap_or(0);
        if classes.contains(&0) || most == 0 {
            return Err(Error::content(
                "at least one target in `num_target`, and one class in each `num_class`",
                "none",
            ));
        }
        if classes.len().checked_mul(most) != Some(base_scores) {
            return Err(Error::content(
                format!("entries of `base_scores` for {} targets of {most} classes", classes.len()),
                base_scores,
            ));
        }
        let mut width = 0;
        let mut starts = Vec::with_capacity(classes.len());
        for count in &classes {
            starts.push(width);
            width += count;
        }
        Ok(Self { classes, starts, most, shape, width })
    }

    /// Margins a row.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// Classes by target.
    pub(super) fn classes(&self) -> &[usize] {
        &self.classes
    }

    /// For each margin, its place in an array of targets × `max(num_class)`.
    pub(super) fn padded(&self) -> impl Iterator<Item = usize> + '_ {
        self.classes
            .iter()
            .enumerate()
            .flat_map(move |(target, classes)| (0..*classes).map(move |class| target * self.most + class))
    }

    /// Numbers that a leaf holds, in a tree of these ids (-1 for all).
    ///
    /// # Errors
    /// [`Error::Content`] when `leaf_vector_shape` is not what GTIL asks for such a tree, or an id has no target or
    /// class.
    pub(super) fn leaf(&self, target: i32, class: i32) -> Result<Reach> {
        let target = id("target_id", target, self.classes.len())?;
        let fewest = match target {
            Some(target) => self.classes.get(target).copied(),
            None => self.classes.iter().copied().min(),
        };
        let class = id("class_id", class, fewest.unwrap_or(0))?;
        let expected = [target.map_or(self.classes.len(), |_| 1), class.map_or(self.most, |_| 1)];
        if self.shape != expected {
            let name = |id: Option<usize>| id.map_or_else(|| "all".to_owned(), |id| id.to_string());
            return Err(Error::content(
                format!("a `leaf_vector_shape` of {expected:?} for target {} and class {}", name(target), name(class)),
                format!("{:?}", self.shape),
            ));
        }
        Ok(Reach { target, class, numbers: expected[0] * expected[1] })
    }

    /// For each number of a leaf, the margin that it is added to; none for padding. As long as a leaf of the tree, of
    /// which the file must hold one before this is asked.
    pub(super) fn places(&self, reach: Reach) -> Vec<Option<usize>> {
        let mut places = Vec::with_capacity(reach.numbers);
        let targets = reach.target.map_or(0..self.classes.len(), |target| target..target + 1);
        for (classes, start) in self.classes[targets.clone()].iter().zip(&self.starts[targets]) {
            let wanted = reach.class.map_or(0..self.most, |class| class..class + 1);
            places.extend(wanted.map(|class| (class < *classes).then_some(start + class)));
        }
        places
    }
}

/// The targets and classes that a tree adds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    target: Option<usize>,
    class: Option<usize>,
    /// Numbers a leaf.
    pub(super) numbers: usize,
}

impl Reach {
    /// Whether both ids are given, as GTIL asks of trees whose leaves are scalars.
    pub(super) const fn is_one(self) -> bool {
        self.target.is_some() && self.class.is_some()
    }
}

fn id(field: &str, id: i32, count: usize) -> Result<Option<usize>> {
    if id == -1 {
        return Ok(None);
    }
    match usize::try_from(id) {
        Ok(place) if place < count => Ok(Some(place)),
        _ => Err(Error::content(format!("-1, or an id below {count}, in `{field}`"), id)),
    }
}
