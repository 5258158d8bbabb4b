//! Arrow columns as values, for every source that reads them: Parquet files and the results of
//! warehouses; and events as Arrow columns, for every sink that writes Parquet.

pub mod events;
pub mod stream;
mod value;
pub mod wide;

pub use value::{data_type, value, value_in};
