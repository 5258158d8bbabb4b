//! Columns of an event table and the values in them.

use std::borrow::Cow;

use jiff::Timestamp;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text; UUIDs and JSON are text too.
    Text,
    /// A 64-bit integer.
    Int,
    /// True or false.
    Bool,
    /// A moment, microseconds, UTC.
    Timestamp,
    /// A day in UTC, `2026-11-22`.
    Date,
}

/// A column of an event table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnType,
    /// Whether it may be empty.
    pub nullable: bool,
}

/// One value of an event's row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// Of a text column.
    Text(Cow<'a, str>),
    /// Of an integer column.
    Int(i64),
    /// Of a boolean column.
    Bool(bool),
    /// Of a timestamp column.
    Timestamp(Timestamp),
    /// Of a column of days: days since 1970-01-01, in UTC.
    Date(i32),
}
