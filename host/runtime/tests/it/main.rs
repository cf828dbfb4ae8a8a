//! The runtime at its boundary: files that are no providers, hostile guests, and steps.

mod guest;
mod hostile;
mod load;
mod steps;
