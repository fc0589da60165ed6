//! A checkpoint of treelite that tests can make lie.

use std::ops::Range;

/// A checkpoint's fields, in the file's order.
pub(crate) struct Checkpoint {
    pub(crate) version: [i32; 3],
    pub(crate) types: [u8; 2],
    pub(crate) num_tree: u64,
    pub(crate) num_feature: i32,
    pub(crate) task: u8,
    pub(crate) average: u8,
    pub(crate) num_target: i32,
    pub(crate) num_class: Vec<i32>,
    pub(crate) shape: Vec<i32>,
    pub(crate) target_id: Vec<i32>,
    pub(crate) class_id: Vec<i32>,
    pub(crate) postprocessor: String,
    pub(crate) sigmoid_alpha: f32,
    pub(crate) ratio_c: f32,
    pub(crate) base_scores: Vec<f64>,
    pub(crate) attributes: String,
    pub(crate) optional: i32,
    pub(crate) trees: Vec<Arrays>,
    pub(crate) behind: Vec<u8>,
}

/// A tree's arrays.
#[derive(Clone)]
pub(crate) struct Arrays {
    pub(crate) num_nodes: i32,
    pub(crate) has_categories: u8,
    pub(crate) node_type: Vec<i8>,
    pub(crate) left: Vec<i32>,
    pub(crate) right: Vec<i32>,
    pub(crate) split_index: Vec<i32>,
    pub(crate) default_left: Vec<u8>,
    pub(crate) leaf_value: Vec<f64>,
    pub(crate) threshold: Vec<f64>,
    pub(crate) operator: Vec<i8>,
    pub(crate) list_right: Vec<u8>,
    pub(crate) vector: Vec<f64>,
    pub(crate) vectors: Vec<Range<u64>>,
    pub(crate) list: Vec<u32>,
    pub(crate) lists: Vec<Range<u64>>,
    pub(crate) sum_hess: Vec<f64>,
    pub(crate) sum_hess_present: Vec<u8>,
}

/// x0 <= 1 ? (x1 in {3, 5} ? 10 : 20) : 30
pub(crate) fn sound() -> Checkpoint {
    let tree = Arrays {
        num_nodes: 5,
        has_categories: 1,
        node_type: vec![1, 2, 0, 0, 0],
        left: vec![1, 3, -1, -1, -1],
        right: vec![2, 4, -1, -1, -1],
        split_index: vec![0, 1, -1, -1, -1],
        default_left: vec![1, 0, 0, 0, 0],
        leaf_value: vec![0.0, 0.0, 30.0, 10.0, 20.0],
        threshold: vec![1.0, 0.0, 0.0, 0.0, 0.0],
        operator: vec![3, 0, 0, 0, 0],
        list_right: vec![0; 5],
        vector: vec![],
        vectors: vec![0..0; 5],
        list: vec![3, 5],
        lists: vec![0..0, 0..2, 2..2, 2..2, 2..2],
        sum_hess: vec![],
        sum_hess_present: vec![],
    };
    Checkpoint {
        version: [4, 8, 1],
        types: [3, 3],
        num_tree: 1,
        num_feature: 2,
        task: 1,
        average: 0,
        num_target: 1,
        num_class: vec![1],
        shape: vec![1, 1],
        target_id: vec![0],
        class_id: vec![0],
        postprocessor: "identity".to_owned(),
        sigmoid_alpha: 1.0,
        ratio_c: 1.0,
        base_scores: vec![0.5],
        attributes: "{}".to_owned(),
        optional: 0,
        trees: vec![tree],
        behind: vec![],
    }
}

/// A tree of numerical splits, each of which has a leaf on its left and the next split on its right.
pub(crate) fn chain(splits: u32) -> Arrays {
    let count = 2 * splits.cast_signed() + 1;
    let node = |node: i32, split: i32| if node % 2 == 0 && node + 1 < count { split } else { -1 };
    let nodes = count as usize;
    Arrays {
        num_nodes: count,
        has_categories: 1,
        node_type: (0..count).map(|place| i8::from(node(place, 1) == 1)).collect(),
        left: (0..count).map(|place| node(place, place + 1)).collect(),
        right: (0..count).map(|place| node(place, place + 2)).collect(),
        split_index: vec![0; nodes],
        default_left: vec![0; nodes],
        leaf_value: vec![0.0; nodes],
        threshold: vec![0.0; nodes],
        operator: vec![3; nodes],
        list_right: vec![0; nodes],
        vector: vec![],
        vectors: vec![0..0; nodes],
        list: vec![],
        lists: vec![0..0; nodes],
        sum_hess: vec![],
        sum_hess_present: vec![],
    }
}

/// A length, and as many entries.
pub(crate) fn array<const N: usize>(file: &mut Vec<u8>, entries: impl ExactSizeIterator<Item = [u8; N]>) {
    file.extend((entries.len() as u64).to_le_bytes());
    file.extend(entries.flatten());
}

impl Checkpoint {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend(self.version.iter().flat_map(|number| number.to_le_bytes()));
        file.extend(self.types);
        file.extend(self.num_tree.to_le_bytes());
        file.extend(self.num_feature.to_le_bytes());
        file.extend([self.task, self.average]);
        file.extend(self.num_target.to_le_bytes());
        for ids in [&self.num_class, &self.shape, &self.target_id, &self.class_id] {
            array(&mut file, ids.iter().map(|id| id.to_le_bytes()));
        }
        array(&mut file, self.postprocessor.bytes().map(|byte| [byte]).collect::<Vec<_>>().into_iter());
        file.extend(self.sigmoid_alpha.to_le_bytes());
        file.extend(self.ratio_c.to_le_bytes());
        array(&mut file, self.base_scores.iter().map(|score| score.to_le_bytes()));
        array(&mut file, self.attributes.bytes().map(|byte| [byte]).collect::<Vec<_>>().into_iter());
        file.extend(self.optional.to_le_bytes());
        for tree in &self.trees {
            tree.put(&mut file);
        }
        file.extend(&self.behind);
        file
    }
}

impl Arrays {
    pub(crate) fn put(&self, file: &mut Vec<u8>) {
        file.extend(self.num_nodes.to_le_bytes());
        file.push(self.has_categories);
        array(file, self.node_type.iter().map(|byte| byte.to_le_bytes()));
        for links in [&self.left, &self.right, &self.split_index] {
            array(file, links.iter().map(|link| link.to_le_bytes()));
        }
        array(file, self.default_left.iter().map(|byte| [*byte]));
        array(file, self.leaf_value.iter().map(|number| number.to_le_bytes()));
        array(file, self.threshold.iter().map(|number| number.to_le_bytes()));
        array(file, self.operator.iter().map(|byte| byte.to_le_bytes()));
        array(file, self.list_right.iter().map(|byte| [*byte]));
        array(file, self.vector.iter().map(|number| number.to_le_bytes()));
        array(file, self.vectors.iter().map(|range| range.start.to_le_bytes()));
        array(file, self.vectors.iter().map(|range| range.end.to_le_bytes()));
        array(file, self.list.iter().map(|code| code.to_le_bytes()));
        array(file, self.lists.iter().map(|range| range.start.to_le_bytes()));
        array(file, self.lists.iter().map(|range| range.end.to_le_bytes()));
        array(file, std::iter::empty::<[u8; 8]>());
        array(file, std::iter::empty::<[u8; 1]>());
        array(file, self.sum_hess.iter().map(|number| number.to_le_bytes()));
        array(file, self.sum_hess_present.iter().map(|byte| [*byte]));
        array(file, std::iter::empty::<[u8; 8]>());
        array(file, std::iter::empty::<[u8; 1]>());
        file.extend([0; 8]);
    }
}
