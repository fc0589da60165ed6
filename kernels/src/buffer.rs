//! Handing buffers to a launch, and reading them back.

use bytemuck::AnyBitPattern;
use cubecl::{
    client::Client,
    prelude::BufferArg,
    server::{Handle, ServerError},
};

use crate::{Error, Result};

/// Number of `E` in a buffer.
pub(crate) fn len<E>(handle: &Handle) -> usize {
    handle.size_in_used() as usize / size_of::<E>()
}

/// A buffer as a kernel's argument of type `[E]`, with the length that the buffer really has.
#[expect(unsafe_code, reason = "CubeCL has no safe constructor; here the length is the buffer's own")]
pub(crate) fn argument<E>(handle: Handle) -> BufferArg {
    let len = len::<E>(&handle);
    // SAFETY: a wrong length would let the kernel go out of bounds. This one is the buffer's size over the element's.
    unsafe { BufferArg::from_raw_parts(handle, len) }
}

/// Waits for all work on a buffer and copies it to the host.
pub(crate) fn read<E: AnyBitPattern + bytemuck::NoUninit>(client: &Client, handle: Handle) -> Result<Vec<E>> {
    let bytes = client.read_one(handle).map_err(|error| failed(&error))?;
    Ok(bytemuck::pod_collect_to_vec(&bytes))
}

/// An error of CubeCL's, without the backtrace that its text ends with.
pub(crate) fn failed(error: &ServerError) -> Error {
    let text = error.to_string();
    let reason = text.split("\nBacktrace").next().unwrap_or_default().replace('\n', " ");
    if error.is_device_poisoned() { Error::DeviceLost(reason) } else { Error::Device(reason) }
}
