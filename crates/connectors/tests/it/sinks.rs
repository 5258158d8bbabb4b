//! What every sink promises, over the whole registry. A new sink needs a place
//! in `fixtures` and nothing here.

use crate::fixtures;

tidegate_testkit::sinks_conform!(tidegate_connectors::CONNECTORS, fixtures::sinks::of);
