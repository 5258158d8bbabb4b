//! What a platform says when the other side misbehaves.

use tidegate_model::{ErrorKind, Faults, Outcome};

use super::suite::Suite;
use super::world::World;

/// Whether an error is of the right kind.
type Expected = fn(ErrorKind) -> bool;

/// Ways to be refused without an effect, with the kind of error each of them is.
fn refusals() -> [(Faults, Expected); 3] {
    let fine = Faults::default;
    [
        (Faults { throttled: 1.0, ..fine() }, |kind| matches!(kind, ErrorKind::Throttled(Some(_)))),
        (Faults { unavailable: 1.0, ..fine() }, |kind| kind == ErrorKind::Unavailable),
        (Faults { revoked: true, ..fine() }, |kind| kind == ErrorKind::Denied),
    ]
}

/// An `Err` says that none of the records took effect, and its kind why.
pub async fn an_error_says_its_kind_and_has_no_effect(suite: &Suite) {
    for world in suite.sandboxes().await {
        let before = world.state().await;
        for (faults, expected) in refusals() {
            world.misbehave(&faults);

            let error = match world.platform().deliver(&world.records(5)).await {
                Ok(receipt) => panic!("{world}: {faults:?} gave {receipt:?}"),
                Err(error) => error,
            };

            assert!(expected(error.kind()), "{world}: {faults:?} gave {error:?}");
            assert!(!error.next_step().is_empty(), "{world}: {error:?} has no next step");
            world.assert_still(&before, &format!("{faults:?} had an effect")).await;
        }
        delivers_again(&world).await;
    }
}

/// Once the other side behaves, the same records are delivered.
async fn delivers_again(world: &World) {
    world.misbehave(&Faults::default());
    let records = world.records(5);
    let receipt =
        world.platform().deliver(&records).await.unwrap_or_else(|error| panic!("{world}: {error:?}"));
    assert_eq!(receipt.outcomes, vec![Outcome::Delivered; records.len()], "{world}");
}

/// Never an error, which would say that nothing happened: it did.
pub async fn a_lost_answer_leaves_every_record_in_doubt(suite: &Suite) {
    for world in suite.sandboxes().await {
        let before = world.state().await;
        world.misbehave(&Faults { dropped: 1.0, ..Faults::default() });
        let records = world.records(5);

        let receipt = world.platform().deliver(&records).await;

        let receipt = receipt.unwrap_or_else(|error| panic!("{world}: in doubt, but {error:?}"));
        assert_eq!(receipt.outcomes.len(), records.len(), "{world}");
        let doubtful = |outcome: &Outcome| matches!(outcome, Outcome::Unknown(_));
        assert!(receipt.outcomes.iter().all(doubtful), "{world}: {receipt:?}");
        assert!(world.state().await != before, "{world}: a dropped answer is one with an effect");
    }
}

/// A check that fails says what fixes it; it is no error.
pub async fn a_revoked_key_fails_the_check_with_a_remedy(suite: &Suite) {
    for world in suite.sandboxes().await {
        world.misbehave(&Faults { revoked: true, ..Faults::default() });

        let checks = world.platform().check().await.unwrap_or_else(|error| panic!("{world}: {error:?}"));

        assert!(!checks.passed(), "{world}: {checks:?}");
        for check in checks.0.iter().filter(|check| !check.passed) {
            assert!(check.remedy.is_some(), "{world}: {check:?}");
        }
    }
}
