//! x
mod compare;
