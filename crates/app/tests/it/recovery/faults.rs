//! A platform that throttles, fails and loses its answers.

use std::collections::BTreeMap;

use super::{Scene, events_to};
use crate::support::{Ended, once};

#[tokio::test]
async fn recovery_a_throttled_platform_gets_everything_once() {
    let scene = Scene::with_orders(1_500).await;
    scene.know_users().await;
    scene.sandbox.put_faults(r#"{"throttled": 0.3, "unavailable": 0.1, "seed": 1}"#).await;
    for vendor in ["braze", "onesignal"] {
        let project = scene.project(&events_to(vendor));
        let run = project.run_to("orders", "succeeded", &[("delivered", 1_500), ("in_doubt", 0)]);
        if vendor == "braze" {
            assert!(run["counts"]["retries"].as_u64() > Some(0), "{run:#}");
        }
        let times = scene.sandbox.times(&format!("{vendor}/events"), "/properties/id").await;
        assert_eq!(times, once(1_500), "{vendor}");
    }
}

#[tokio::test]
async fn recovery_lost_answers_cost_nothing_where_repeating_is_safe() {
    let scene = Scene::with_orders(1_000).await;
    scene.know_users().await;
    scene.sandbox.put_faults(r#"{"dropped": 0.3, "seed": 5}"#).await;
    // Events of OneSignal have a key; users of Braze are set to what they are.
    let project = scene.project(&(events_to("onesignal") + "    in_doubt: hold\n"));
    project.run_to("orders", "succeeded", &[("delivered", 1_000), ("in_doubt", 0)]);
    let events = scene.sandbox.times("onesignal/events", "/properties/id").await;
    assert_eq!(events, once(1_000), "each once, though answers were lost");

    let project = scene.project(
        "    mode: full\n    destination: { connection: braze, object: user }\n    \
         mapping: { external_id: id, attributes: [total] }\n",
    );
    let run = project.run_to("orders", "succeeded", &[("delivered", 1_000), ("in_doubt", 0)]);
    assert!(run["counts"]["retries"].as_u64() > Some(0), "{run:#}");
    assert_eq!(scene.sandbox.times("braze/users", "/external_id").await, once(1_000));
}

#[tokio::test]
async fn recovery_lost_answers_are_held_in_doubt_and_resent_only_on_demand() {
    let scene = Scene::with_orders(1_500).await;
    scene.sandbox.put_faults(r#"{"dropped": 0.2, "seed": 2}"#).await;
    let project = scene.project(&(events_to("braze") + "    in_doubt: hold\n"));
    let ended = Ended::of(&project.tidegate(&["run", "orders"]).output().expect("tidegate starts"));
    assert_eq!(ended.code, 3, "{ended:?}");
    let in_doubt = project.rows(&["--in-doubt"]);
    let delivered = project.rows(&["--delivered"]);
    assert!(!in_doubt.is_empty());
    assert_eq!(in_doubt.len() + delivered.len(), 1_500);
    for row in &in_doubt {
        assert_eq!(row["reason"]["code"], "response_lost");
    }
    // They did take effect here, which only the sandbox knows; none of them twice.
    let times = scene.sandbox.times("braze/events", "/properties/id").await;
    assert!(times.values().all(|times| *times == 1), "no event arrived twice");
    for row in &delivered {
        assert!(times.contains_key(row["key"].as_str().expect("a key")), "{row}");
    }
    // Neither a run nor a retry of rejected rows touches them.
    project.run_to("orders", "succeeded", &[("delivered", 0)]);
    assert!(project.json(&["retry", "orders"])["run"].is_null());
    assert_eq!(scene.sandbox.times("braze/events", "/properties/id").await, times);

    // A person decides to send them again.
    scene.sandbox.put_faults("{}").await;
    let retried = project.json(&["retry", "orders", "--in-doubt"]);
    assert_eq!(retried["run"]["counts"]["delivered"], in_doubt.len(), "{retried:#}");
    assert_eq!(project.json(&["status"])[0]["failed_rows"], 0);
    let after = scene.sandbox.times("braze/events", "/properties/id").await;
    let held: BTreeMap<&str, ()> =
        in_doubt.iter().filter_map(|row| Some((row["key"].as_str()?, ()))).collect();
    for (id, times) in &after {
        assert_eq!(*times, if held.contains_key(id.as_str()) { 2 } else { 1 }, "order {id}");
    }
}

#[tokio::test]
async fn recovery_resending_loses_nothing() {
    let scene = Scene::with_orders(1_500).await;
    scene.sandbox.put_faults(r#"{"dropped": 0.2, "seed": 2}"#).await;
    let project = scene.project(&(events_to("braze") + "    in_doubt: resend\n"));
    project.run_to("orders", "succeeded", &[("delivered", 1_500), ("in_doubt", 0)]);
    let times = scene.sandbox.times("braze/events", "/properties/id").await;
    assert_eq!(times.len(), 1_500, "every order arrived");
    assert!(times.values().any(|times| *times > 1), "some twice: that is what resending means");
}
