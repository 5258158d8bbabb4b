//! Amazon Web Services: credentials, signing, errors, batches. One signed POST per call, no SDK.

mod arn;
mod batch;
mod client;
mod credentials;
mod errors;
mod policy;
mod settings;
mod sign;
mod signer;
#[cfg(test)]
pub mod tests;

pub use arn::Arn;
pub use batch::receipt;
pub use client::{AwsClient, ErrorHints, Service, failed};
pub(crate) use credentials::{CredentialsProvider, S3Credentials};
pub use errors::xml_text;
pub use policy::Grant;
pub use settings::AwsSettings;
pub(crate) use sign::sign;
pub use signer::Signer;
