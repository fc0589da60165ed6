//! A net of any of the architectures.

use crate::{
    error::{Error, Result},
    mlp::{Mlp, MlpNet},
    share::{Forward, Scratch, answer},
    simd::{Instructions, Machine},
};

/// All parameters of a net.
#[derive(Clone, Debug)]
pub struct Parameters<'a> {
    /// The net.
    pub body: Body<'a>,
}

/// Parameters of the architectures.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// A perceptron.
    Mlp(Mlp<'a>),
}

/// A net that answers rows.
#[derive(Clone, Debug)]
pub struct Net {
    body: BodyNet,
    machine: Machine,
}

#[derive(Clone, Debug)]
enum BodyNet {
    Mlp(MlpNet),
}

impl Net {
    /// Checks the parameters and lays them out for the best instructions of this machine.
    ///
    /// # Errors
    /// When the parameters are not as many as the sizes say, or the sizes contradict each other.
    pub fn new(parameters: &Parameters<'_>) -> Result<Self> {
        Self::with(parameters, Instructions::best())
    }

    /// The same with these instructions; without those that the machine lacks.
    ///
    /// # Errors
    /// As [`Net::new`].
    pub fn with(parameters: &Parameters<'_>, instructions: Instructions) -> Result<Self> {
        let Parameters { body } = parameters;
        let machine = Machine::with(instructions);
        let body = match body {
            Body::Mlp(mlp) => BodyNet::Mlp(MlpNet::new(mlp, machine)?),
        };
        Ok(Self { body, machine })
    }

    /// Values of a row.
    #[must_use]
    pub fn inputs(&self) -> usize {
        match &self.body {
            BodyNet::Mlp(net) => net.inputs(),
        }
    }

    /// Values of a row's answer.
    #[must_use]
    pub fn outputs(&self) -> usize {
        match &self.body {
            BodyNet::Mlp(net) => net.outputs(),
        }
    }

    /// Multiplications that a row takes, about: what its time can be predicted by.
    #[must_use]
    pub fn products(&self) -> usize {
        match &self.body {
            BodyNet::Mlp(net) => net.products(),
        }
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.body {
            BodyNet::Mlp(net) => net.bytes(),
        }
    }

    /// The instructions that it is computed with.
    #[must_use]
    pub const fn instructions(&self) -> Instructions {
        self.machine.instructions()
    }

    /// Writes the answers of `rows` (`[rows, inputs]`) to `out` (`[rows, outputs]`), on this thread, and on those of the present
    /// rayon pool where that is worth it. With a used scratch nothing is allocated but what wakes those threads.
    ///
    /// # Errors
    /// When `rows` are not whole rows, or `out` has not as many values as their answers.
    pub fn run(&self, rows: &[f32], scratch: &mut Scratch, out: &mut [f32]) -> Result<()> {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        if !rows.len().is_multiple_of(inputs) {
            return Err(Error::shape(format_args!("whole rows of {inputs} values"), format_args!("{} values", rows.len())));
        }
        let expected = rows.len() / inputs * outputs;
        if out.len() != expected {
            return Err(Error::shape(format_args!("room for {expected} values of answers"), out.len()));
        }
        if rows.is_empty() {
            return Ok(());
        }
        match &self.body {
            BodyNet::Mlp(net) => answer(net, rows, scratch, out),
        }
        Ok(())
    }
}
