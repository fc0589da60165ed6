//! The words all rooms of Emberline share: tensors, signatures, losses, devices, version metadata and the
//! traits between the serving engine and the models.
//!
//! `engine` and `server` use these types, `models` implements the traits, and neither side knows the other.
//! So this crate has almost no dependencies and compiles in seconds: nothing here computes on a device,
//! reads a disk or speaks a protocol.

mod buffer;
mod datatype;
mod device;
mod error;
mod levels;
mod loss;
mod metadata;
mod model;
mod signature;
mod strings;
mod tensor;
mod train;
mod value;

pub use buffer::{AlignedBuffer, RowBlock};
pub use datatype::{DataType, Element};
pub use device::{Device, DeviceKind, DeviceSelector, ParseDeviceError};
pub use error::{InputError, OpenError, RunError};
pub use levels::Levels;
pub use loss::{LabelRange, LossKind, ParseLossError, SMALLEST_PROBABILITY};
pub use metadata::{ColumnKind, ColumnSpec, CurvePoint, TrainingEnd, VersionMetadata};
pub use model::{Cost, Direct, Explain, Format, Golden, Invariance, MemoryUse, Model, Replica, Ticket};
pub use signature::{Axis, Signature, Task, TaskSpec, TensorSpec};
pub use strings::{Bitmap, Strings};
pub use tensor::Tensor;
pub use train::TrainEvent;
pub use value::Value;
