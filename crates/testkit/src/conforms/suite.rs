//! The registry that is tested, with its examples.

use tidegate_model::Connector;

use super::example::Example;
use super::world::World;

/// The registry and its examples.
pub struct Suite {
    /// Every connector.
    pub connectors: &'static [Connector],
    /// The example of a kind.
    pub example: fn(&str) -> Option<Example>,
}

impl Suite {
    /// Every connector with its example.
    ///
    /// # Panics
    /// When a connector has no example, or none for a role that it plays.
    pub fn each(&self) -> Vec<(&'static Connector, Example)> {
        let with_example = |connector: &'static Connector| {
            let kind = connector.kind;
            let example = (self.example)(kind)
                .unwrap_or_else(|| panic!("`{kind}` has no example: add one to `fixtures::of`"));
            assert_eq!(connector.platform.is_some(), example.platform.is_some(), "{kind}: platform example");
            assert_eq!(connector.source.is_some(), example.source.is_some(), "{kind}: source example");
            assert_eq!(connector.ingest.is_some(), example.ingest.is_some(), "{kind}: ingest example");
            (connector, example)
        };
        self.connectors.iter().map(with_example).collect()
    }

    /// Every kind of object of every platform, in a new world each.
    pub async fn worlds(&self) -> Vec<World> {
        let mut worlds = Vec::new();
        for (connector, _) in self.each() {
            for kind in connector.platform.iter().flat_map(|role| role.objects) {
                let Example { settings, platform, .. } =
                    (self.example)(connector.kind).expect("looked at before");
                let platform = platform.expect("looked at before");
                worlds.push(World::new(connector, settings, platform, *kind).await);
            }
        }
        worlds
    }

    /// Returns the same, where a sandbox can misbehave.
    pub async fn sandboxes(&self) -> Vec<World> {
        let mut worlds = self.worlds().await;
        worlds.retain(|world| world.connector.sandbox.is_some());
        worlds
    }
}

#[cfg(test)]
mod tests {
    use super::{Connector, Example, Suite};

    const NOTHING: Connector = Connector {
        kind: "nothing",
        title: "",
        readme: "",
        icon: "",
        settings: tidegate_model::settings::schema_of::<()>,
        ..Connector::EMPTY
    };

    #[test]
    #[should_panic(expected = "`nothing` has no example")]
    fn a_kind_without_an_example_fails() {
        Suite { connectors: &[NOTHING], example: |_| None }.each();
    }

    #[test]
    #[should_panic(expected = "nothing: source example")]
    fn a_role_without_its_part_of_the_example_fails() {
        const READABLE: Connector = Connector {
            source: Some(tidegate_model::SourceRole {
                selection: tidegate_model::settings::schema_of::<()>,
                modes: &[tidegate_model::Mode::Full, tidegate_model::Mode::Incremental],
                keeps_checkpoint: false,
                open: |_, _| Err(tidegate_model::Error::settings("there is nothing to open")),
            }),
            ..NOTHING
        };
        let example = |_: &str| Some(Example::default());
        assert_eq!(Suite { connectors: &[NOTHING], example }.each().len(), 1);
        Suite { connectors: &[READABLE], example }.each();
    }
}
