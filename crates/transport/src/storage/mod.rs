//! Folders on this machine and in object stores.

mod errors;
mod root;
mod settings;
mod trust;

pub use errors::explain;
pub use root::StorageRoot;
pub use settings::LakeSettings;
