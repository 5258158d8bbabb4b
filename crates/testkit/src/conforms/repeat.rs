//! Whether a platform is right about repetitions.

use tidegate_model::{Faults, Outcome, Repeat};

use super::Suite;

/// Where the object is said to be safe to repeat, or keyed, sending it again
/// changes nothing: after an answer as well as after a lost one.
pub async fn a_repetition_has_the_effect_of_one_delivery(suite: &Suite) {
    for world in suite.worlds().await {
        let platform = world.platform();
        if platform.object().repeat == Repeat::Unsafe {
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
            let repeat = platform.object().repeat;
            world
                .assert_still(&once, &format!("said to be {repeat:?}, and a repetition had an effect"))
                .await;
        }
    }
}
