//! Folders on this machine and in object stores.

mod bucket;
mod bucket_address;
mod errors;
mod root;
mod settings;
mod stage;
mod trust;
mod writer;

pub use bucket::StorageBucket;
pub use bucket_address::BucketAddress;
pub use errors::explain;
pub use root::StorageRoot;
pub use settings::LakeSettings;
pub use writer::{FencedWriter, FileVersion};
