//! The promises of every connector, over the connectors of this crate. A new connector needs an
//! example in `fixtures` and one line here.

use tidegate_model::Connector;
use tidegate_platforms::{braze, onesignal};

use crate::fixtures;

const CONNECTORS: &[Connector] = &[
    Connector { sandbox: Some(tidegate_sandbox::braze::SANDBOX), ..braze::CONNECTOR },
    Connector { sandbox: Some(tidegate_sandbox::onesignal::SANDBOX), ..onesignal::CONNECTOR },
];

tidegate_testkit::connectors_conform!(CONNECTORS, fixtures::of);
