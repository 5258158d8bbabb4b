//! From a row to a record: a pure function, checked before the first row.

mod apply;
mod compile;
mod contract;
mod fields;
mod spec;
#[cfg(test)]
mod tests;
mod values;

pub use apply::one_identity;
pub use compile::{Mapping, Target, missing_column};
pub use contract::TableContract;
pub use fields::{FieldMisfit, misfits};
pub use spec::{Absent, Constant, Field, MappingSpec, Members, Path};
pub use values::{currency, instant, number, quantity, truth};
