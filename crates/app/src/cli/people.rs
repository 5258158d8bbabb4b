//! People, tokens and the audit log.

use clap::Subcommand;
use tidegate_model::people::Role;

#[derive(Debug, Subcommand)]
pub(crate) enum PeopleAction {
    /// Adds a person, or changes the role of one, and prints a link to choose a password.
    Add {
        /// The name to sign in with.
        name: String,
        /// What the person may do: `viewer`, `editor` or `admin`.
        #[arg(long)]
        role: Role,
        /// The person may see values of rows.
        #[arg(long)]
        rows: bool,
        /// Read the password from stdin instead of printing a link.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Lists everyone.
    List,
    /// Prints a new link to choose a password, for example in place of a forgotten one.
    Link {
        /// The name.
        name: String,
    },
    /// Removes a person and ends all sessions.
    Remove {
        /// The name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokensAction {
    /// Creates a token and prints it, once.
    Add {
        /// The name of the program.
        name: String,
        /// What the program may do: `viewer`, `editor` or `admin`.
        #[arg(long)]
        role: Role,
        /// The program may see values of rows.
        #[arg(long)]
        rows: bool,
        /// Days until it expires, 366 at most.
        #[arg(long, value_name = "DAYS", default_value_t = 90)]
        days: u32,
    },
    /// Lists all tokens, without their secrets.
    List,
    /// Removes a token.
    Remove {
        /// The name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditAction {
    /// Lists what was done, newest first.
    List {
        /// The maximum number of entries to list.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Compares every entry with its hash.
    Verify,
}
