//! Nothing calls home: the program works where there is no way out, and does not look for one.

use std::path::Path;
use std::process::Command;

use crate::bad_input::disk::is_root;
use crate::support::{Ended, Project, repository};

/// Runs a script where the machine has a loopback interface and no route.
fn without_routes(folder: &Path, script: &str) -> Ended {
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !is_root() {
        command.arg("--map-root-user");
    }
    // What no route leads to is counted, whether or not anything notices.
    let counted = "awk '/^Ip: [0-9]/ { print \"lost\", $13 }' /proc/net/snmp; \
                   awk '$1 == \"Ip6OutNoRoutes\" { print \"lost\", $2 }' /proc/net/snmp6";
    command.args(["sh", "-c", &format!("ip link set lo up; {script}; code=$?; {counted}; exit $code")]);
    let target = Path::new(env!("CARGO_BIN_EXE_tidegate")).ancestors().nth(2).expect("the target folder");
    command.current_dir(folder).env("CARGO_TARGET_DIR", target);
    Ended::of(&command.output().expect("unshare starts"))
}

#[test]
fn leaks_the_quickstart_works_without_a_route_and_nothing_looks_for_one() {
    let project = Project::new("");
    for name in ["examples/quickstart", "scripts/quickstart"] {
        let to = project.path().join(name);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        let copied = Command::new("cp").arg("-r").arg(repository().join(name)).arg(&to).status();
        assert!(copied.expect("cp starts").success());
    }
    let _ = std::fs::remove_dir_all(project.path().join("examples/quickstart/.tidegate"));

    let ended = without_routes(project.path(), "scripts/quickstart");

    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains(r#""users":125"#), "{ended:?}");
    let lost: Vec<&str> = ended.stdout.lines().filter(|line| line.starts_with("lost ")).collect();
    assert_eq!(lost, ["lost 0"; 2], "{ended:?}");

    // The counter counts: without this, nothing above was proved.
    let out = "bash -c 'echo > /dev/udp/192.0.2.1/53' || true";
    let ended = without_routes(project.path(), out);
    assert!(ended.stdout.contains("lost 1"), "{ended:?}");
}
