//! Secrets and values of rows stay where they belong.

mod alone;
mod erase;
mod journeys;
mod settings;

pub(crate) use journeys::holds;
