//! Whether a platform is right about repetitions.

use tidegate_model::{Faults, Idempotency, Outcome};

use super::suite::Suite;

/// If the object is declared idempotent or keyed, sending it again
/// changes nothing: after an answer as well as after a lost one.
pub async fn a_repetition_has_the_effect_of_one_delivery(suite: &Suite) {
    for world in suite.worlds().await {
        let platform = world.platform();
        if platform.object().idempotency == Idempotency::None {
            continue;
        }
        let records = world.records(5);
        let before = world.state().await;
        world.misbehave(&Faults { dropped: 1.0, ..Faults::default() });
        platform.deliver(&records).await.unwrap_or_else(|error| panic!("{world}: {error:?}"));
        let once = world.state().await;
        assert!(once != before, "{world}: a dropped answer is one with an effect");

        world.misbehave(&Faults::default());
        for _ in 0..2 {
            let again = platform.deliver(&records).await.unwrap_or_else(|error| panic!("{world}: {error:?}"));

            assert_eq!(again.outcomes, vec![Outcome::Delivered; records.len()], "{world}");
            let idempotency = platform.object().idempotency;
            world
                .assert_still(&once, &format!("said to be {idempotency:?}, and a repetition had an effect"))
                .await;
        }
    }
}
