//! From a row to a record: a pure function, checked before the first row.

mod apply;
mod compile;
mod contract;
mod fields;
mod spec;
#[cfg(test)]
mod tests;

pub use apply::{currency, instant, number, one_identity, quantity, truth};
pub use compile::{Mapping, Target, missing_column};
pub use contract::TableContract;
pub use fields::{FieldMisfit, misfits};
pub use spec::{Constant, Field, MappingSpec, Members, Path};
