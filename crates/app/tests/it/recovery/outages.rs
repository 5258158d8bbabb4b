//! Runs that cannot come to their end: a revoked key, a stopped process.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Scene, events_to};
use crate::support::{Ended, once};

#[tokio::test]
async fn recovery_a_key_revoked_in_the_middle_pauses_the_sync_and_skips_nothing() {
    let scene = Scene::with_orders(30_000).await;
    scene.sandbox.put_faults(r#"{"latency_ms": 150}"#).await;
    let project = scene.project(&(events_to("braze") + "    in_doubt: hold\n"));
    let run = project.start("orders");
    scene.sandbox.wait_for("braze", "events", 5_000).await;
    scene.sandbox.put_faults(r#"{"revoked": true}"#).await;
    let ended = Ended::of(&run.wait_with_output().expect("it ends"));
    assert_eq!(ended.code, 1, "{ended:?}");
    let reached = scene.sandbox.stats("braze").await["events"].as_u64().expect("a count");
    assert!((5_000..30_000).contains(&reached), "the key was revoked in the middle: {reached}");

    let status = &project.json(&["status"])[0];
    assert_eq!(
        (&status["last_run"]["ending"], &status["paused"]["by"]),
        (&"failed".into(), &"system".into())
    );
    let why = status["paused"]["why"].as_str().expect("a sentence");
    for part in ["Braze", "401", "Next: ", "key"] {
        assert!(why.contains(part), "`{part}` in: {why}");
    }
    assert_eq!(status["failed_rows"], 0, "no row is blamed for the key");
    // Still revoked: nothing moves.
    assert_eq!(project.run("orders")["ending"], "failed");
    assert_eq!(scene.sandbox.stats("braze").await["events"], reached);

    scene.sandbox.put_faults("{}").await;
    project.run_to("orders", "succeeded", &[("in_doubt", 0), ("rejected", 0)]);
    assert!(project.json(&["status"])[0]["paused"].is_null(), "it is active again");
    assert_eq!(scene.sandbox.times("braze/events", "/properties/id").await, once(30_000));
    project.run_to("orders", "succeeded", &[("delivered", 0)]);
}

#[tokio::test]
async fn recovery_a_run_that_is_asked_to_stop_ends_soon_and_the_next_one_goes_on() {
    let scene = Scene::with_orders(30_000).await;
    scene.sandbox.put_faults(r#"{"latency_ms": 300}"#).await;
    let project = scene.project(&(events_to("braze") + "    in_doubt: hold\n"));
    let run = project.start("orders");
    scene.sandbox.wait_for("braze", "events", 3_000).await;
    let asked = Instant::now();
    let kill = Command::new("kill").args(["-TERM", &run.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    let ended = Ended::of(&run.wait_with_output().expect("it ends"));
    assert!(asked.elapsed() < Duration::from_secs(7), "{:?}", asked.elapsed());
    assert_eq!(ended.code, 1, "{ended:?}");
    let runs = project.json(&["runs"]);
    assert_eq!(runs[0]["ending"], "interrupted", "{runs:#}");
    let reached = scene.sandbox.stats("braze").await["events"].as_u64().expect("a count");
    assert!(reached < 30_000, "it was stopped in the middle");
    assert_eq!(runs[0]["counts"]["delivered"], reached, "the ledger knows what took effect");

    scene.sandbox.put_faults("{}").await;
    project.run_to("orders", "succeeded", &[("in_doubt", 0), ("delivered", 30_000 - reached)]);
    assert_eq!(scene.sandbox.times("braze/events", "/properties/id").await, once(30_000));
}

#[tokio::test]
async fn recovery_a_run_whose_terminal_is_closed_is_interrupted_and_one_under_nohup_goes_on() {
    let scene = Scene::with_orders(20_000).await;
    scene.sandbox.put_faults(r#"{"latency_ms": 300}"#).await;
    let project = scene.project(&(events_to("braze") + "    in_doubt: hold\n"));
    let hang_up = |id: u32| {
        let kill = Command::new("kill").args(["-HUP", &id.to_string()]).status();
        assert!(kill.expect("kill runs").success());
    };
    let run = project.start("orders");
    scene.sandbox.wait_for("braze", "events", 1_000).await;
    hang_up(run.id());
    let ended = Ended::of(&run.wait_with_output().expect("it ends"));
    assert_eq!(ended.code, 1, "{ended:?}");
    let runs = project.json(&["runs"]);
    assert_eq!(runs[0]["ending"], "interrupted", "{runs:#}");
    let reached = scene.sandbox.stats("braze").await["events"].as_u64().expect("a count");
    assert!(reached < 20_000, "it was stopped in the middle");

    let plain = project.tidegate(&["run", "orders"]);
    let mut nohup = Command::new("nohup");
    nohup.arg(plain.get_program()).args(plain.get_args());
    plain.get_envs().for_each(|(name, value)| match value {
        Some(value) => _ = nohup.env(name, value),
        None => _ = nohup.env_remove(name),
    });
    if let Some(folder) = plain.get_current_dir() {
        nohup.current_dir(folder);
    }
    nohup.stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = nohup.spawn().expect("nohup starts");
    scene.sandbox.wait_for("braze", "events", reached + 1_000).await;
    hang_up(run.id());
    let ended = Ended::of(&run.wait_with_output().expect("it ends"));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(scene.sandbox.times("braze/events", "/properties/id").await, once(20_000));
}

#[tokio::test]
async fn recovery_an_unreachable_source_or_platform_is_named_and_tried_again() {
    let scene = Scene::with_orders(100).await;
    let rest = events_to("braze") + "    retry_for: 1s\n";
    let mut project = scene.project(&rest);
    let yaml = std::fs::read_to_string(project.path().join("tidegate.yaml")).expect("read");
    project.set("NO_PROXY", "*");

    // Nothing listens on port 9 of this machine.
    project.write("tidegate.yaml", &yaml.replace(&scene.sandbox.url, "http://127.0.0.1:9"));
    let run = project.run("orders");
    assert_eq!(run["ending"], "failed");
    let told = run["error"].as_str().expect("a sentence");
    assert!(told.contains("Braze cannot be reached") && told.contains("Next: "), "{told}");
    project.write("tidegate.yaml", &yaml.replace(&format!("port: {}", scene.database.port()), "port: 9"));
    let told = project.json(&["run", "orders"])[0]["error"].as_str().expect("a sentence").to_owned();
    assert!(told.contains("127.0.0.1:9"), "{told}");

    project.write("tidegate.yaml", &yaml);
    project.run_to("orders", "succeeded", &[("delivered", 100)]);
    assert_eq!(scene.sandbox.times("braze/events", "/properties/id").await, once(100));
}
