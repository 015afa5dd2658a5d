//! Stories: what happens, and what is to be told of it.

mod crowd;
mod fleet;
mod onset;
mod properties;
mod stage;
mod stories;
mod weather;
