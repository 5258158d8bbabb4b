//! One function for each promise, by subject. They panic where it is broken.

pub mod alerts;
pub mod answers;
pub mod commits;
pub mod failed_rows;
pub mod intents;
pub mod leases;
pub mod ledger;
pub mod pages;
pub mod people;
pub mod runs;
pub mod state;
mod steps;
