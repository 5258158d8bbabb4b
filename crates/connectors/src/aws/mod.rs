//! What every service of Amazon Web Services has in common: who we are, how a
//! request is signed, what a refusal means. One signed POST per call, no SDK.

mod account;
mod arn;
mod batch;
mod credentials;
mod policy;
mod refusal;
mod settings;
mod shape;
mod sign;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use account::{Account, Help, Service, failed};
pub(crate) use arn::Arn;
pub(crate) use batch::receipt;
pub(crate) use policy::Grant;
pub(crate) use settings::AwsSettings;
pub(crate) use shape::{Shape, Writer, base64_len};
