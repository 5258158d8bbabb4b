//! What `check` notes about a sync that works, and may do more than a person expects.

use tidegate_model::{Checks, ObjectKind, SyncId};
use tidegate_project::{ImportSpec, SyncSpec};

use super::Engine;

impl Engine {
    /// Notes deletions without a limit, and events that another sync sends as well.
    pub(super) fn advise(&self, id: &SyncId, sync: &ImportSpec, checks: &mut Checks) {
        let object = sync.destination.object;
        if object == ObjectKind::Deletion && sync.limits.removed.is_none() {
            checks.warn(
                "deletions",
                format!(
                    "each row deletes a user at {}, which cannot be undone, and no limit stops a run of many",
                    sync.destination.connection
                ),
                "look at `tidegate plan` first, and write `limits: { removed: 100 }` with the most that one run may delete",
            );
        }
        if matches!(object, ObjectKind::Event | ObjectKind::Purchase) {
            for other in self.sending_the_same(id, sync) {
                checks.warn(
                    "twice",
                    format!("`{other}` also sends one {object} for each row of the same table"),
                    "if these are the same events, remove one of the two syncs: they count twice",
                );
            }
        }
    }

    /// Returns the other syncs that make the same object of the same table, at the same destination.
    fn sending_the_same(&self, id: &SyncId, sync: &ImportSpec) -> Vec<&SyncId> {
        let table = |sync: &ImportSpec| sync.source.selection.shown().get("table").cloned();
        let Some(read) = table(sync) else { return Vec::new() };
        let is_the_same = |other: &ImportSpec| {
            other.source.connection == sync.source.connection
                && other.destination.connection == sync.destination.connection
                && other.destination.object == sync.destination.object
                && table(other).as_ref() == Some(&read)
        };
        let syncs = self.config.project.syncs.iter();
        let imports = syncs.filter_map(|(other, spec)| match spec {
            SyncSpec::Import(import) if other != id && is_the_same(import) => Some(other),
            _ => None,
        });
        imports.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::tests::Stage;

    #[tokio::test(start_paused = true)]
    async fn check_notes_deletions_without_a_limit_and_events_that_are_sent_by_two_syncs() {
        let sync = |name: &str, more: &str| {
            format!(
                "  {name}:\n    source: {{ connection: a, table: orders }}\n    mode: full\n    \
                 destination: {{ connection: a, object: {more}\n    enabled: false\n"
            )
        };
        let event = "event }\n    mapping: { external_id: id, name: { value: e } }";
        let deletion = "deletion }\n    mapping: { external_id: id }";
        let yaml = format!(
            "connections:\n  a: {{ type: counter }}\nsyncs:\n{}{}{}{}",
            sync("first", event),
            sync("second", event),
            sync("gone", deletion),
            sync("limited", &format!("{deletion}\n    limits: {{ removed: 10 }}")),
        );
        let stage = Stage::of(&yaml, &[], 8);
        for (name, expected) in
            [("first", "`second` also sends one event"), ("gone", "cannot be undone"), ("limited", "")]
        {
            let id = SyncId::new(name);
            let SyncSpec::Import(spec) = stage.engine.sync(&id).expect("a sync") else { panic!("an import") };
            let mut checks = Checks::default();
            stage.engine.advise(&id, spec, &mut checks);
            let said: Vec<&str> = checks.0.iter().map(|check| check.detail.as_str()).collect();
            match expected {
                "" => assert!(said.is_empty(), "{said:?}"),
                expected => assert!(said.len() == 1 && said[0].contains(expected), "{said:?}"),
            }
        }
    }
}
