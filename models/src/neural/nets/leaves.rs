//! A net's parameters on a device, taken one by one by the forward pass.

use burn::tensor::{FloatDType, Gradients, Tensor, module::linear};

use super::layout::{Layout, Parameter, Role};

/// The parameters of a net as tensors of one axis each, in the order of their layout.
#[derive(Clone, Debug)]
pub(crate) struct Leaves {
    tensors: Vec<Tensor<1>>,
}

impl Leaves {
    /// Parts of the flat vector `parameters`.
    pub(crate) fn new(layout: &Layout, parameters: &Tensor<1>) -> Self {
        let part = |p: &Parameter| parameters.clone().slice([p.range.clone()]);
        Self { tensors: layout.parameters().iter().map(part).collect() }
    }

    /// The same as leaves of an autodiff graph, but for what is not trained.
    pub(crate) fn tracked(self, layout: &Layout) -> Self {
        let track = |(tensor, p): (Tensor<1>, &Parameter)| match p.role {
            Role::Weight | Role::Exempt => tensor.autodiff().require_grad(),
            Role::Statistic => tensor,
        };
        Self { tensors: self.tensors.into_iter().zip(layout.parameters()).map(track).collect() }
    }

    /// The gradient of all parameters as one flat vector. A parameter that the loss does not depend on has gradient zero.
    pub(crate) fn gradient(&self, layout: &Layout, gradients: &mut Gradients) -> Tensor<1> {
        let part = |(tensor, p): (&Tensor<1>, &Parameter)| match p.role {
            Role::Weight | Role::Exempt => {
                tensor.grad_remove(gradients).unwrap_or_else(|| tensor.clone().inner().zeros_like())
            }
            Role::Statistic => tensor.zeros_like(),
        };
        Tensor::cat(self.tensors.iter().zip(layout.parameters()).map(part).collect(), 0)
    }

    /// To take them in order, with products in precision `half` if there is one.
    pub(crate) fn cursor<'a>(&'a self, layout: &'a Layout, half: Option<FloatDType>) -> Cursor<'a> {
        Cursor { rest: self.tensors.iter().zip(layout.parameters()), statistics: Vec::new(), half }
    }
}

/// Takes parameters in the order of the layout.
pub(crate) struct Cursor<'a> {
    rest: std::iter::Zip<std::slice::Iter<'a, Tensor<1>>, std::slice::Iter<'a, Parameter>>,
    /// What statistics become, in their order.
    pub(crate) statistics: Vec<Tensor<1>>,
    /// What matrices are multiplied in, when it is not F32.
    half: Option<FloatDType>,
}

impl Cursor<'_> {
    /// The next parameter, which has `D` axes.
    ///
    /// # Panics
    /// There is none, or it has another number of axes: forward pass and layout disagree, which the tests of each architecture
    /// would show.
    pub(crate) fn take<const D: usize>(&mut self) -> Tensor<D> {
        #[expect(clippy::expect_used, reason = "layout and forward pass are written side by side")]
        let (tensor, parameter) = self.rest.next().expect("as many parameters as the forward pass takes");
        #[expect(clippy::expect_used, reason = "layout and forward pass are written side by side")]
        let shape: [usize; D] = parameter.shape.as_slice().try_into().expect("as many axes as the forward pass takes");
        tensor.clone().reshape(shape)
    }

    /// The next Linear of `x`.
    pub(crate) fn linear<const D: usize>(&mut self, x: Tensor<D>) -> Tensor<D> {
        let (weight, bias) = (self.take::<2>(), self.take::<1>());
        match self.half {
            Some(half) => linear(x.cast(half), weight.cast(half), None).cast(FloatDType::F32).add(bias.unsqueeze()),
            None => linear(x, weight, Some(bias)),
        }
    }

    /// The product of two matrices, or of many.
    pub(crate) fn product<const D: usize>(&self, a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
        match self.half {
            Some(half) => a.cast(half).matmul(b.cast(half)).cast(FloatDType::F32),
            None => a.matmul(b),
        }
    }

    /// Parameters that are left.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }
}
