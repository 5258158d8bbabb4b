use std::path::Path;

use super::super::{folder_of, is_project, load, locate};
use super::{CHANNELS, CONNECTORS, good};

#[test]
fn both_names_of_a_project_file_are_found_and_two_files_are_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    assert!(!is_project(path));
    let missing = load(path, CONNECTORS, CHANNELS).expect_err("there is none");
    assert!(missing.message().contains("tidegate.yaml") && missing.next_step().contains("tidegate init"));
    std::fs::write(path.join("tidegate.yml"), good()).expect("written");
    assert!(is_project(path));
    assert_eq!(load(path, CONNECTORS, CHANNELS).expect("valid").syncs.len(), 2);
    std::fs::write(path.join("tidegate.yaml"), "").expect("written");
    let both = locate(path).expect_err("which of them?");
    assert!(both.message().contains("tidegate.yaml") && both.message().contains("tidegate.yml"), "{both}");
    let named = path.join("tidegate.yml");
    assert_eq!(
        load(&named, CONNECTORS, CHANNELS).expect("valid").syncs.len(),
        2,
        "a file may be named itself"
    );
}

#[test]
fn the_folder_of_a_project_is_that_of_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("other.yaml");
    std::fs::write(&file, good()).expect("written");
    assert_eq!(folder_of(&file), folder.path());
    assert_eq!(folder_of(folder.path()), folder.path());
    assert_eq!(folder_of(Path::new(".")), Path::new("."));
}

#[test]
fn several_errors_are_told_together_with_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = good().replace("lookback: 5m", "lookback: soon").replace("cursor:", "curser:");
    std::fs::write(folder.path().join("tidegate.yaml"), text).expect("written");
    let error = load(folder.path(), CONNECTORS, CHANNELS).expect_err("invalid");
    assert!(error.message().starts_with("the project file has 2 errors\n"), "{error}");
    assert!(
        error.message().contains(
            "tidegate.yaml:9:5: `syncs.orders`: unknown key `curser`\n    → did you mean `cursor`?"
        ),
        "{error}"
    );
}
