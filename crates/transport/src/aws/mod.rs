//! What every service of Amazon Web Services has in common: who we are, how a
//! request is signed, what a refusal means. One signed POST per call, no SDK.

mod account;
mod arn;
mod batch;
mod credentials;
mod policy;
mod refusal;
mod settings;
mod sign;
#[cfg(test)]
pub mod tests;

pub use account::{Account, Help, Service, failed};
pub use arn::Arn;
pub use batch::receipt;
pub use policy::Grant;
pub use settings::AwsSettings;
