use super::super::{NameChanges, Project, read_text, replace_text};
use super::{CHANNELS, CONNECTORS, good, parse};

fn project(text: &str) -> Project {
    parse(text, "tidegate.yaml", CONNECTORS, CHANNELS).unwrap_or_else(|invalid| panic!("{invalid:?}"))
}

#[test]
fn comments_and_moved_lines_are_no_changes_and_a_changed_line_is_one() {
    let before = project(&good());
    let commented = format!("# of the shop\n\n{}", good());
    assert!(before.changes_to(&project(&commented)).is_empty(), "every reference is two lines further down");
    let after = project(&good().replace("lookback: 5m", "lookback: 6m"));
    let changes = before.changes_to(&after);
    assert_eq!(changes.syncs, NameChanges { changed: vec!["orders".to_owned()], ..NameChanges::default() });
    assert_eq!(changes.to_string(), "~ sync orders");
    assert_eq!(after.changes_to(&after), super::super::Changes::default());
}

#[test]
fn what_is_added_and_removed_is_named() {
    let (nothing, all) = (Project::default(), project(&good()));
    let added = nothing.changes_to(&all);
    assert!(added.syncs.added.contains(&"orders".to_owned()) && added.connections.removed.is_empty());
    let removed = all.changes_to(&nothing);
    assert_eq!(removed.syncs.removed, added.syncs.added);
    assert!(removed.to_string().contains("- sync orders"), "{removed}");
}

#[test]
#[cfg(unix)]
fn a_file_that_is_replaced_keeps_its_permissions_and_its_link() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempfile::tempdir().expect("a folder");
    let (real, link) = (folder.path().join("real.yaml"), folder.path().join("tidegate.yaml"));
    std::fs::write(&real, "syncs:\n").expect("written");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).expect("set");
    symlink(&real, &link).expect("a link");
    replace_text(folder.path(), "connections:\n").expect("replaced");
    assert_eq!(read_text(&link).expect("read"), "connections:\n");
    assert!(
        link.is_symlink() && std::fs::metadata(&real).expect("there").permissions().mode() & 0o777 == 0o640
    );
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 2, "nothing is left beside it");
}

#[test]
fn a_folder_that_cannot_be_written_keeps_its_file_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("gone");
    let error = replace_text(&missing, "x").expect_err("there is no such folder");
    assert!(error.next_step().contains("tidegate serve"), "{error}");
}
