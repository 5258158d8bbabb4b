//! Lakes as their readers see them.

mod ahead;
mod delta;
mod delta_tables;
mod files;
mod readers;
mod s3;
mod support;
