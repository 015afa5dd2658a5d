//! Stories: what happens, and what is to be told of it.

mod crowd;
mod fleet;
mod onset;
mod planned;
mod properties;
mod stage;
mod stories;
mod weather;
