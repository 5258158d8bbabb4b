//! The master key: made once, closed to others, missed loudly.

use std::fs;

use tidegate_model::{ErrorKind, Secret};
use tidegate_state::{MasterKeys, StateConfig};
use tidegate_testkit::store::Backend as _;

use crate::embedded::{Folder, config};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[tokio::test]
async fn the_master_key_is_made_with_the_first_secret_and_only_its_owner_can_read_it() {
    let folder = Folder::new();
    let file = folder.data.path().join("master.key");
    let store = folder.open().await;
    assert!(!file.exists());

    store.put_secret("braze", &Secret::new("hunter2")).await.expect("kept");

    let key = fs::read_to_string(&file).expect("made");
    assert_eq!(key.trim().len(), 44);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }
    folder.open().await.put_secret("shop", &Secret::new("hunter3")).await.expect("kept");
    assert_eq!(fs::read_to_string(&file).expect("there"), key);
}

#[tokio::test]
async fn no_file_holds_a_secret_as_it_is() {
    let folder = Folder::new();
    let store = folder.open().await;

    store.put_secret("braze", &Secret::new("hunter2-hunter2")).await.expect("kept");

    for entry in fs::read_dir(folder.data.path()).expect("listed") {
        let path = entry.expect("entry").path();
        let bytes = if path.is_file() { fs::read(&path).expect("read") } else { Vec::new() };
        assert!(!bytes.windows(15).any(|window| window == b"hunter2-hunter2"), "{}", path.display());
    }
}

#[tokio::test]
async fn another_master_key_is_denied_by_the_name_of_its_file() {
    let folder = Folder::new();
    let file = folder.data.path().join("master.key");
    folder.open().await.put_secret("braze", &Secret::new("hunter2")).await.expect("kept");
    fs::write(&file, KEY).expect("changed");

    let error = folder.open().await.secret("braze").await.expect_err("wrong key");

    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().contains(&file.display().to_string()), "{error}");
    assert!(error.message().contains("braze") && !error.chain().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_lost_master_key_is_denied_and_not_made_anew() {
    let folder = Folder::new();
    let file = folder.data.path().join("master.key");
    folder.open().await.put_secret("braze", &Secret::new("hunter2")).await.expect("kept");
    fs::remove_file(&file).expect("removed");

    let error = folder.open().await.secret("braze").await.expect_err("no key");

    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().contains(&file.display().to_string()), "{error}");
    assert!(!file.exists());
}

#[tokio::test]
async fn a_given_master_key_is_used_and_no_file_made() {
    let folder = Folder::new();
    let given = |key: &str| StateConfig {
        master_keys: MasterKeys { current: Some(Secret::new(key)), former: None },
        ..config(folder.data.path(), &folder.clock)
    };
    let store = tidegate_state::open(given(KEY)).await.expect("opened");
    store.put_secret("braze", &Secret::new("hunter2")).await.expect("kept");

    let store = tidegate_state::open(given(KEY)).await.expect("opened");
    assert_eq!(store.secret("braze").await.expect("opened"), Some(Secret::new("hunter2")));
    assert!(!folder.data.path().join("master.key").exists());

    let store = tidegate_state::open(given("short")).await.expect("opened");
    let error = store.secret("braze").await.expect_err("no key");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().contains("TIDEGATE_MASTER_KEY"), "{error}");
}

async fn with_secrets(folder: &Folder) {
    let store = folder.open().await;
    store.put_secret("braze", &Secret::new("hunter2")).await.expect("stored");
    store.put_secret("shop", &Secret::new("hunter3")).await.expect("stored");
}

async fn assert_both_open(folder: &Folder, when: &str) {
    let store = folder.open().await;
    for (name, value) in [("braze", "hunter2"), ("shop", "hunter3")] {
        let opened = store.secret(name).await.unwrap_or_else(|error| panic!("{when}: {error:?}"));
        assert_eq!(opened, Some(Secret::new(value)), "{when}");
    }
}

#[tokio::test]
async fn a_rotated_master_key_opens_every_secret_and_the_former_key_opens_none() {
    let folder = Folder::new();
    let file = folder.data.path().join("master.key");
    with_secrets(&folder).await;
    let serving = folder.open().await;
    let former = fs::read(&file).expect("a key");

    let rotation = folder.open().await.rotate_master_key(false).await.expect("rotated");

    assert_eq!(rotation.sealed, 2);
    assert_ne!(fs::read(&file).expect("a key"), former);
    assert_both_open(&folder, "afterwards").await;
    // A process that was running all along follows.
    assert_eq!(serving.secret("braze").await.expect("opened"), Some(Secret::new("hunter2")));
    serving.put_secret("late", &Secret::new("hunter4")).await.expect("stored");
    assert_eq!(folder.open().await.secret("late").await.expect("opened"), Some(Secret::new("hunter4")));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }
    fs::write(&file, former).expect("written");
    let error = folder.open().await.secret("braze").await.expect_err("the former key");
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn a_rotation_that_crashes_at_any_step_leaves_every_secret_readable() {
    let folder = Folder::new();
    let (file, next) = (folder.data.path().join("master.key"), folder.data.path().join("master.key.next"));
    with_secrets(&folder).await;

    // The new key was written, and nothing was sealed with it.
    fs::write(&next, KEY).expect("written");
    assert_both_open(&folder, "before the commit").await;
    folder.open().await.put_secret("braze", &Secret::new("hunter2")).await.expect("stored");
    assert_both_open(&folder, "before the commit").await;

    // Everything was sealed with it, and it is not in its place.
    let former = fs::read(&file).expect("a key");
    folder.open().await.rotate_master_key(false).await.expect("rotated");
    let new = fs::read(&file).expect("a key");
    for step in ["opening", "storing", "rotating"] {
        fs::write(&file, &former).expect("written");
        fs::write(&next, &new).expect("written");
        let store = folder.open().await;
        match step {
            "storing" => store.put_secret("shop", &Secret::new("hunter3")).await.expect("stored"),
            "rotating" => drop(store.rotate_master_key(false).await.expect("rotated")),
            _ => {}
        }
        assert_both_open(&folder, step).await;
        assert!(!next.exists(), "{step}");
    }
}

#[tokio::test]
async fn a_given_master_key_is_rotated_with_the_former_one_beside_it() {
    const NEW: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let folder = Folder::new();
    let open = async |current: &str, former: Option<&str>| {
        let master_keys = MasterKeys { current: Some(Secret::new(current)), former: former.map(Secret::new) };
        let config = StateConfig { master_keys, ..config(folder.data.path(), &folder.clock) };
        tidegate_state::open(config).await.expect("opened")
    };
    open(KEY, None).await.put_secret("braze", &Secret::new("hunter2")).await.expect("stored");

    let store = open(NEW, Some(KEY)).await;
    assert_eq!(store.secret("braze").await.expect("opened"), Some(Secret::new("hunter2")));
    assert_eq!(store.rotate_master_key(false).await.expect("rotated").sealed, 1);

    assert_eq!(open(NEW, None).await.secret("braze").await.expect("opened"), Some(Secret::new("hunter2")));
    assert!(open(KEY, None).await.secret("braze").await.is_err());
}

#[tokio::test]
async fn a_lost_master_key_is_replaced_only_when_its_secrets_may_go() {
    let folder = Folder::new();
    with_secrets(&folder).await;
    fs::write(folder.data.path().join("master.key"), KEY).expect("changed");
    let store = folder.open().await;

    let error = store.rotate_master_key(false).await.expect_err("the key is lost");
    assert!(error.next_step().contains("--discard-unreadable"), "{}", error.next_step());
    let rotation = store.rotate_master_key(true).await.expect("rotated");

    assert_eq!((rotation.sealed, rotation.discarded), (0, vec!["braze".to_owned(), "shop".to_owned()]));
    assert!(store.secrets().await.expect("names").is_empty());
    assert!(store.remove_secret("braze").await.is_ok_and(|removed| !removed));
}
