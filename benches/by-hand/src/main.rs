//! Holds code that is written by hand for speed against the library that would replace it, in
//! one run, on the same data.
//!
//! It compiles the very files of the product. A piece that is not clearly quicker than the library, on a
//! path that has a target, makes room for it.

mod clock;
#[path = "../../../crates/state/src/codec.rs"]
#[expect(dead_code, reason = "the whole file of the product, of which a part is measured")]
mod codec;
#[path = "../../../crates/state/src/failure.rs"]
mod failure;
#[path = "../../../crates/state/src/folder.rs"]
#[expect(dead_code, reason = "the whole file of the product, of which a part is measured")]
mod folder;
mod history;
mod json;
mod log;
mod seal;
mod sqlite;
mod table;
#[path = "../../../crates/state/src/user_mark.rs"]
mod user_mark;

use anyhow::Result;

fn main() -> Result<()> {
    let rounds = std::env::args().nth(1).map_or(Ok(9), |rounds| rounds.parse())?;
    let mut parts = history::file::parts()?;
    parts.extend(history::blocks::parts()?);
    parts.extend(log::dedup::parts());
    parts.extend(json::parts());
    parts.extend(seal::parts());
    println!("{}", table::speed(parts, rounds));
    println!("{}", sqlite::report(rounds)?);
    Ok(())
}
