//! Folders on this machine and in object stores.

mod errors;
mod place;
mod settings;

pub use errors::explain;
pub use place::Place;
pub use settings::LakeSettings;
