//! SHAP values by their definition, over all subsets of features, and by algorithm 2 of Lundberg et al. 2018, plainly.
//! Both are of one output of one tree, by feature.

use trees::ensemble::{Leaves, Node, Rules, Split, Tree};

/// A tree, a row, and one of the outputs.
#[derive(Clone, Copy)]
pub(crate) struct Game<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) features: &'a [f64],
    pub(crate) rules: Rules,
    pub(crate) output: usize,
    pub(crate) width: usize,
}

impl Game<'_> {
    fn leaf(&self, leaf: u32) -> f64 {
        match &self.tree.leaves {
            Leaves::Scalar { output, values } if *output as usize == self.output => values[leaf as usize],
            Leaves::Scalar { .. } => 0.0,
            Leaves::Vector(values) => values[leaf as usize * self.width + self.output],
        }
    }

    /// Children, the one that the row goes to first, with their parts of the covers.
    fn children(&self, node: usize, split: &Split) -> [(usize, f64); 2] {
        let (left, right) = (node + 1, split.right as usize);
        let sum = self.tree.covers[left] + self.tree.covers[right];
        let share = |child: usize| if sum == 0.0 { 0.5 } else { self.tree.covers[child] / sum };
        let children = [(left, share(left)), (right, share(right))];
        let x = self.features[split.feature as usize];
        if self.tree.goes_left(split, x, self.rules) { children } else { [children[1], children[0]] }
    }

    /// What is expected when the features of a subset (bits) are known.
    pub(crate) fn expected(&self, known: u32, node: usize) -> f64 {
        match &self.tree.nodes[node] {
            Node::Leaf(leaf) => self.leaf(*leaf),
            Node::Split(split) => {
                let [(hot, hot_share), (cold, cold_share)] = self.children(node, split);
                if known >> split.feature & 1 == 1 {
                    self.expected(known, hot)
                } else {
                    hot_share * self.expected(known, hot) + cold_share * self.expected(known, cold)
                }
            }
        }
    }

    /// Shapley values by their definition.
    pub(crate) fn values(&self) -> Vec<f64> {
        let players = self.features.len() as u32;
        let game = self.tabulate();
        let value = |i: u32| -> f64 {
            let without = (0..1_u32 << players).filter(|set| set >> i & 1 == 0);
            without
                .map(|set| {
                    let weight = orders(set.count_ones(), players);
                    weight * (game[(set | 1 << i) as usize] - game[set as usize])
                })
                .sum()
        };
        (0..players).map(value).collect()
    }

    /// Shapley interaction values by their definition, halved, for different features; zeros on the diagonal.
    pub(crate) fn interactions(&self) -> Vec<Vec<f64>> {
        let players = self.features.len() as u32;
        let game = self.tabulate();
        let pair = |i: u32, j: u32| -> f64 {
            if i == j {
                return 0.0;
            }
            let (i, j) = (1 << i, 1 << j);
            let without = (0..1_u32 << players).filter(|set| set & (i | j) == 0);
            without
                .map(|set| {
                    let at = |set: u32| game[set as usize];
                    0.5 * orders(set.count_ones(), players - 1)
                        * (at(set | i | j) - at(set | i) - at(set | j) + at(set))
                })
                .sum()
        };
        (0..players).map(|i| (0..players).map(|j| pair(i, j)).collect()).collect()
    }

    fn tabulate(&self) -> Vec<f64> {
        (0..1 << self.features.len()).map(|known| self.expected(known, 0)).collect()
    }

    /// Shapley values by algorithm 2.
    pub(crate) fn algorithm_2(&self) -> Vec<f64> {
        let mut values = vec![0.0; self.features.len()];
        self.recurse(&mut values, 0, Vec::new(), Step { zero: 1.0, one: 1.0, feature: None, weight: 0.0 });
        values
    }

    fn recurse(&self, values: &mut [f64], node: usize, path: Vec<Step>, step: Step) {
        let mut path = extend(path, step);
        match &self.tree.nodes[node] {
            Node::Leaf(leaf) => {
                for i in 1..path.len() {
                    let total: f64 = unwind(path.clone(), i).iter().map(|step| step.weight).sum();
                    let feature = path[i].feature.unwrap_or_default();
                    values[feature] += total * (path[i].one - path[i].zero) * self.leaf(*leaf);
                }
            }
            Node::Split(split) => {
                let feature = split.feature as usize;
                let [(hot, hot_share), (cold, cold_share)] = self.children(node, split);
                let (mut zero, mut one) = (1.0, 1.0);
                if let Some(k) = path.iter().position(|step| step.feature == Some(feature)) {
                    (zero, one) = (path[k].zero, path[k].one);
                    path = unwind(path, k);
                }
                let step = |zero, one| Step { zero, one, feature: Some(feature), weight: 0.0 };
                self.recurse(values, hot, path.clone(), step(zero * hot_share, one));
                self.recurse(values, cold, path, step(zero * cold_share, 0.0));
            }
        }
    }
}

/// Part of the orders of so many players in which exactly the `before` players of a set come before a given one.
fn orders(before: u32, players: u32) -> f64 {
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    factorial(before) * factorial(players - before - 1) / factorial(players)
}

/// An element of the path `m` of algorithm 2.
#[derive(Clone, Copy)]
struct Step {
    feature: Option<usize>,
    zero: f64,
    one: f64,
    weight: f64,
}

fn extend(mut path: Vec<Step>, step: Step) -> Vec<Step> {
    let l = path.len();
    path.push(Step { weight: if l == 0 { 1.0 } else { 0.0 }, ..step });
    for i in (0..l).rev() {
        path[i + 1].weight += step.one * path[i].weight * (i + 1) as f64 / (l + 1) as f64;
        path[i].weight = step.zero * path[i].weight * (l - i) as f64 / (l + 1) as f64;
    }
    path
}

fn unwind(mut path: Vec<Step>, i: usize) -> Vec<Step> {
    let l = path.len() - 1;
    let (zero, one) = (path[i].zero, path[i].one);
    let mut next = path[l].weight;
    for j in (0..l).rev() {
        if one != 0.0 {
            let before = path[j].weight;
            path[j].weight = next * (l + 1) as f64 / ((j + 1) as f64 * one);
            next = before - path[j].weight * zero * (l - j) as f64 / (l + 1) as f64;
        } else if zero != 0.0 {
            path[j].weight = path[j].weight * (l + 1) as f64 / (zero * (l - j) as f64);
        } else {
            // Nothing comes this way, known or not: all weights are 0.
            path[j].weight = 0.0;
        }
    }
    for j in i..l {
        path[j] = Step { weight: path[j].weight, ..path[j + 1] };
    }
    path.pop();
    path
}
