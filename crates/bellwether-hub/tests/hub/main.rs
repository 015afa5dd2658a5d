//! What is served, asked as clients ask it.

mod access;
mod bodies;
mod client;
mod door;
mod events;
mod metrics;
mod page;
mod reading;
mod writing;
