//! The master key: made once, closed to others, missed loudly.

use std::fs;

use tidegate_model::{ErrorKind, Secret};
use tidegate_state::StateConfig;
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
        master_key: Some(Secret::new(key)),
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
