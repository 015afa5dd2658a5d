//! How runs are written: bytes and bits, rows of an envelope, and column blocks at rest.

pub(crate) mod bits;
pub(crate) mod block;
pub(crate) mod bytes;
pub(crate) mod column;
pub(crate) mod row;
