//! Secrets and values of rows stay where they belong.

mod settings;
