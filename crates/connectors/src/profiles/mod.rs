//! The embedded platform: users, events, purchases and catalogs in one SQLite
//! file. It is a platform like any other, and what every vendor's sandbox keeps
//! its state in.

mod catalogs;
mod export;
mod happenings;
mod store;
mod users;

pub(crate) use catalogs::Catalog;
pub(crate) use export::{Export, Totals};
pub(crate) use happenings::{Event, Happening, Key, Purchase};
pub(crate) use store::{Durability, Profiles, Session};
pub(crate) use users::{User, UserId};
