//! What every connector promises, over the whole registry. A new connector
//! needs an example in `fixtures` and nothing here.

use crate::fixtures;

tidegate_testkit::connectors_conform!(tidegate_connectors::CONNECTORS, fixtures::of);
