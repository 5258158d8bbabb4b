//! Tables and files in lakes: Delta tables, Parquet and JSON files, on disk and in object stores.
