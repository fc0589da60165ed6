//! A net of any of the architectures.

use std::cell::Cell;

use crate::{
    embedding::{Embedding, EmbeddingNet},
    error::{Error, Result},
    mlp::{Mlp, MlpNet},
    resnet::{ResNet, ResNetNet},
    share::{Forward, Scratch, answer},
    simd::{Instructions, Machine},
    tabm::{TabM, TabMNet},
    team::Help,
    transformer::{FtNet, FtTransformer},
};

/// All parameters of a net, borrowed: they are laid out anew, so that they need not be kept.
#[derive(Clone, Debug)]
pub struct Parameters<'a> {
    /// What numbers become before the net's first layer, if anything.
    pub embedding: Option<Embedding<'a>>,
    /// The net.
    pub body: Body<'a>,
}

/// Parameters of the architectures.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// A perceptron.
    Mlp(Mlp<'a>),
    /// A residual net.
    ResNet(ResNet<'a>),
    /// Many perceptrons that share their weights.
    TabM(TabM<'a>),
    /// A transformer, which takes no other embedding than its own.
    FtTransformer(FtTransformer<'a>),
}

/// A net that answers rows. Immutable, and shared by all threads.
#[derive(Clone, Debug)]
pub struct Net {
    net: Kind,
    machine: Machine,
}

#[derive(Clone, Debug)]
enum Kind {
    Plain(BodyNet),
    Embedded(EmbeddedNet),
}

#[derive(Clone, Debug)]
enum BodyNet {
    Mlp(MlpNet),
    ResNet(ResNetNet),
    TabM(TabMNet),
    FtTransformer(Box<FtNet>),
}

impl BodyNet {
    fn new(body: &Body<'_>, machine: Machine) -> Result<Self> {
        Ok(match body {
            Body::Mlp(mlp) => Self::Mlp(MlpNet::new(mlp, machine)?),
            Body::ResNet(resnet) => Self::ResNet(ResNetNet::new(resnet, machine)?),
            Body::TabM(tabm) => Self::TabM(TabMNet::new(tabm, machine)?),
            Body::FtTransformer(net) => Self::FtTransformer(Box::new(FtNet::new(net, machine)?)),
        })
    }

    fn net(&self) -> &dyn Forward {
        match self {
            Self::Mlp(net) => net,
            Self::ResNet(net) => net,
            Self::TabM(net) => net,
            Self::FtTransformer(net) => &**net,
        }
    }
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
        let Parameters { embedding, body } = parameters;
        let machine = Machine::with(instructions);
        let body = BodyNet::new(body, machine)?;
        let Some(embedding) = embedding else { return Ok(Self { net: Kind::Plain(body), machine }) };
        if let BodyNet::FtTransformer(_) = body {
            return Err(Error::shape("no embedding before a transformer", "one"));
        }
        let embedding = EmbeddingNet::new(embedding, machine)?;
        let (expected, got) = (embedding.outputs(), body.net().inputs());
        if expected != got {
            return Err(Error::shape(format_args!("a net of {expected} inputs, as the embedding gives them"), got));
        }
        Ok(Self { net: Kind::Embedded(EmbeddedNet { embedding, body }), machine })
    }

    fn net(&self) -> &dyn Forward {
        match &self.net {
            Kind::Plain(body) => body.net(),
            Kind::Embedded(embedded) => embedded,
        }
    }

    /// Values of a row.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.net().inputs()
    }

    /// Values of a row's answer.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.net().outputs()
    }

    /// Multiplications that a row takes, about: what its time can be predicted by.
    #[must_use]
    pub fn products(&self) -> usize {
        self.net().products()
    }

    /// Bytes of parameters held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.net().bytes()
    }

    /// The instructions that it is computed with.
    #[must_use]
    pub const fn instructions(&self) -> Instructions {
        self.machine.instructions()
    }

    /// [`Net::run`] with memory of the calling thread, which keeps it.
    ///
    /// # Errors
    /// As [`Net::run`].
    pub fn run_here(&self, rows: &[f32], out: &mut [f32]) -> Result<()> {
        // Taken and not borrowed: a thread of the pool may be given another call while it waits in this one.
        let mut scratch = SCRATCH.take();
        let result = self.run(rows, &mut scratch, out);
        SCRATCH.set(scratch);
        result
    }

    /// Writes the answers of `rows` (`[rows, inputs]`) to `out` (`[rows, outputs]`), on this thread, and on those of the present
    /// rayon pool where that is worth it. With a used scratch nothing is allocated but what wakes those threads.
    ///
    /// # Errors
    /// When `rows` are not whole rows, or `out` has not as many values as their answers.
    pub fn run(&self, rows: &[f32], scratch: &mut Scratch, out: &mut [f32]) -> Result<()> {
        let net = self.net();
        let (inputs, outputs) = (net.inputs(), net.outputs());
        if !rows.len().is_multiple_of(inputs) {
            let got = format!("{} values", rows.len());
            return Err(Error::shape(format_args!("whole rows of {inputs} values"), got));
        }
        let expected = rows.len() / inputs * outputs;
        if out.len() != expected {
            return Err(Error::shape(format_args!("room for {expected} values of answers"), out.len()));
        }
        if !rows.is_empty() {
            answer(net, rows, scratch, out);
        }
        Ok(())
    }
}

thread_local! {
    /// Memory for [`Net::run_here`].
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// A net with an embedding before it.
#[derive(Clone, Debug)]
struct EmbeddedNet {
    embedding: EmbeddingNet,
    body: BodyNet,
}

impl Forward for EmbeddedNet {
    fn inputs(&self) -> usize {
        self.embedding.inputs()
    }

    fn outputs(&self) -> usize {
        self.body.net().outputs()
    }

    fn products(&self) -> usize {
        self.embedding.products() + self.body.net().products()
    }

    fn between(&self) -> usize {
        self.embedding.outputs() + self.embedding.between().max(self.body.net().between())
    }

    fn abreast(&self) -> usize {
        self.body.net().abreast()
    }

    fn bytes(&self) -> usize {
        self.embedding.bytes() + self.body.net().bytes()
    }

    fn forward(&self, rows: &[f32], between: &mut [f32], out: &mut [f32], help: &mut Option<Help<'_>>) {
        let count = out.len() / self.outputs();
        let (embedded, rest) = between.split_at_mut(count * self.embedding.outputs());
        self.embedding.forward(count, rows, rest, embedded, help);
        self.body.net().forward(embedded, rest, out, help);
    }
}
