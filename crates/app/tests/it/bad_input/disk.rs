//! A disk that fills up while a run writes down what it does.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{PEOPLE, Scene, from_people, says};

/// Whether this process may mount.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id");
    id.stdout.trim_ascii() == b"0"
}

/// A small disk of its own, unmounted at the end.
pub(crate) struct Mount {
    folder: PathBuf,
}

impl Mount {
    pub(crate) fn new(folder: &Path, options: &str) -> Mount {
        std::fs::create_dir_all(folder).expect("made");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder)
            .output()
            .expect("mount");
        assert!(
            mounted.status.success(),
            "this journey mounts a small tmpfs and has to run as root in a machine that allows it \
             (a container needs CAP_SYS_ADMIN): {}",
            String::from_utf8_lossy(&mounted.stderr)
        );
        Mount { folder: folder.to_owned() }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.folder).output();
    }
}

#[tokio::test]
async fn bad_input_a_full_disk_ends_the_run_with_its_name_and_loses_nothing() {
    let many = PEOPLE.replace("200", "40000");
    let scene = Scene::new(&many, &from_people()).await;
    let data = scene.project.path().join("data");
    let _disk = Mount::new(&data, "size=3m");
    let shown = data.display().to_string();
    let run = || scene.project.done(&["run", "s", "--data", &shown]);

    says(
        &run(),
        1,
        &[&format!("the disk is full: nothing more fits into {shown}"), "free space on that disk"],
    );
    let before = scene.seen().await;
    assert!(
        !before.is_empty() && before.values().all(|times| *times == 1),
        "some events arrived, none twice"
    );
    assert!(before.len() < 40_000, "the disk filled up before the end");
    // Still full: it says so again, and sends nothing more than it can write down.
    says(&run(), 1, &["the disk is full", &shown, "free space on that disk"]);

    let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&data).status().expect("mount");
    assert!(grown.success());
    let last = run();
    assert!(last.code == 0 || last.code == 3, "{last:?}");
    let rows = ["rows", "--in-doubt", "--limit", "100000", "--data", &shown];
    let in_doubt = scene.project.json(&rows);
    let in_doubt: Vec<&str> =
        in_doubt.as_array().expect("a list").iter().map(|row| row["key"].as_str().expect("a key")).collect();
    let after = scene.seen().await;
    assert!(after.values().all(|times| *times == 1), "nothing was sent twice");
    for id in 1..=40_000 {
        let id = id.to_string();
        assert!(after.contains_key(&id) || in_doubt.contains(&id.as_str()), "row {id} is lost");
    }
    says(&run(), 0, &[]);
    assert_eq!(scene.seen().await, after);
}
