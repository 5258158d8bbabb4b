//! Names of things.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Creates the name, unchanged.
            pub fn new(name: impl AsRef<str>) -> $type {
                $type(name.as_ref().into())
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a connection in the project.
    ConnectionId
}
name! {
    /// The name of a stream of events: the connection that they come in through.
    StreamId
}
name! {
    /// The name of a sync in the project.
    SyncId
}
name! {
    /// The name of a run: sorts by start, unique everywhere.
    RunId
}
