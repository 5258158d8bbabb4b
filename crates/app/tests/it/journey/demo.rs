//! `tidegate demo`: everything there is to see, from the program alone.

use crate::support::Project;

#[test]
fn journey_the_demo_needs_nothing_but_the_program_and_brings_every_event_back() {
    let project = Project::new("");
    std::fs::remove_file(project.path().join("tidegate.yaml")).expect("removed");
    let folder = project.path().to_str().expect("UTF-8");

    let ended = project.done(&["demo", folder, "--once"]);
    assert!(ended.stderr.contains("to change and to run again"), "{ended:?}");
    assert!(ended.stdout.contains("customers_to_braze: succeeded · 125 read · 125 delivered"), "{ended:?}");
    let came_back = ended.stdout.lines().find(|line| line.ends_with("message events came back"));
    assert!(came_back.is_some_and(|line| !line.starts_with("0 ")), "{ended:?}");
    let status = &project.json(&["status", "message_events_to_lake"])[0];
    assert_eq!(status["lag"][0]["behind"], 0, "{status:#}");

    let again = project.json(&["demo", folder, "--once"]);
    for run in again.as_array().expect("a list") {
        assert_eq!(run["counts"]["delivered"], 0, "nothing is sent twice: {run:#}");
    }
}

#[test]
fn journey_a_second_demo_listens_elsewhere_and_its_events_come_back_there() {
    let project = Project::new("");
    std::fs::remove_file(project.path().join("tidegate.yaml")).expect("removed");
    let folder = project.path().to_str().expect("UTF-8");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let refused = project.done(&["demo", folder, "--once", "--listen", &address]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("choose another address with `--listen`"), "{refused:?}");
    assert!(!project.path().join("tidegate.yaml").exists(), "nothing was written");

    let ended = project.done(&["demo", folder, "--once", "--listen", "127.0.0.1:0"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let came_back = ended.stdout.lines().find(|line| line.ends_with("message events came back"));
    assert!(came_back.is_some_and(|line| !line.starts_with("0 ")), "{ended:?}");
    let again = project.done(&["demo", folder, "--once", "--listen", "127.0.0.1:18417"]);
    assert!(again.stderr.contains("sends its message events to port"), "{again:?}");
    assert_eq!(project.done(&["demo", folder, "--once"]).code, 0, "it listens where its project sends to");
}
