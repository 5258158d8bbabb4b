//! What is done about alerts, secrets and users.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsAction {
    /// Lists the open alerts, and who was notified of them.
    List {
        /// List the last N that were resolved as well.
        #[arg(long, value_name = "N", default_value_t = 0)]
        resolved: usize,
    },
    /// Sends a test alert and its recovery.
    Test {
        /// The channel [default: all].
        channel: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretAction {
    /// Reads a secret from stdin and stores it.
    Set {
        /// Its name, as in `{ secret: NAME }`.
        name: String,
    },
    /// Creates a key pair, stores the private half and prints the public half.
    ///
    /// An RSA pair for services that know a public key of yours, as Snowflake does; with `--ssh` an Ed25519 pair
    /// for the SSH server of a tunnel. The private half is never shown.
    GenerateKey {
        /// The name of the private half, as in `{ secret: NAME }`.
        name: String,
        /// Create a key for the SSH server of a `tunnel`.
        #[arg(long)]
        ssh: bool,
    },
    /// Lists the names of the stored secrets.
    List,
    /// Removes a secret that no setting refers to.
    Remove {
        /// Its name.
        name: String,
    },
    /// Seals everything with a new master key.
    ///
    /// The new key is made in the data folder, or is the one in `TIDEGATE_MASTER_KEY`; then
    /// `TIDEGATE_FORMER_MASTER_KEY` holds the previous key.
    Rotate {
        /// Remove what was sealed with a key that is lost.
        #[arg(long)]
        discard_unreadable: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsersAction {
    /// Erases a user from failed rows, history, the event log and the built-in platform.
    ///
    /// Delete the user at the source first, and stop `tidegate serve`.
    Erase {
        /// The identifier, as in `rows` and `events`.
        id: String,
    },
    /// Lists what was erased and when; the identifiers are not stored.
    Erasures {
        /// Erasures of this user only.
        id: Option<String>,
    },
}
