//! Which crate may depend on which, as the manifests say; and pages that name
//! files name files that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each crate, and the crates of this workspace that it may depend on.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("transport", &["model"]),
    ("project", &["model"]),
    ("engine", &["model", "project"]),
    ("state", &["model"]),
    ("alerts", &["model", "transport"]),
    ("testkit", &["model"]),
    ("platforms", &["model", "transport"]),
    ("tunnel", &["model", "transport"]),
    ("warehouses", &["model", "transport", "tunnel"]),
    ("streams", &["model", "transport"]),
    ("ingest", &["model", "transport"]),
    ("lake", &["model", "transport"]),
    ("kafka", &["model"]),
    ("profiles", &["model"]),
    ("sandbox", &["model", "profiles"]),
    ("web", &["engine", "model"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// The crates of this workspace under `[dependencies]`.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let (_, rest) = manifest.split_once("[dependencies]").unwrap_or_default();
    let section = rest.split("\n[").next().unwrap_or_default();
    let own = section.lines().filter_map(|line| line.strip_prefix("tidegate-"));
    own.map(|line| line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn each_crate_knows_only_the_floors_below_it() {
    for (name, allowed) in ROOMS {
        let path = root().join("crates").join(name).join("Cargo.toml");
        let known = dependencies(&fs::read_to_string(&path).expect("a manifest"));
        let extra: Vec<&String> = known.iter().filter(|one| !allowed.contains(&one.as_str())).collect();
        assert!(extra.is_empty(), "{name} depends on {extra:?}");
    }
    let crates = fs::read_dir(root().join("crates")).expect("crates").count();
    assert_eq!(crates, ROOMS.len() + 1, "a crate is missing here: `app` is the only one that knows all");
}

#[test]
fn the_engine_has_no_network_and_no_sql_library() {
    let manifest = fs::read_to_string(root().join("crates/engine/Cargo.toml")).expect("a manifest");
    for library in ["reqwest", "hyper", "rusqlite", "sqlx", "tokio-postgres", "rdkafka", "object_store"] {
        assert!(!manifest.contains(library), "{library}");
    }
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path.to_string_lossy().into_owned());
        }
    }
}

#[test]
fn pages_for_contributors_name_files_that_exist() {
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    let mut missing = Vec::new();
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md", "STYLE.md"] {
        let text = fs::read_to_string(root().join(page)).expect("a page");
        for name in
            text.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs") && !name.contains(' '))
        {
            let ending = name.strip_prefix("crates").unwrap_or(name);
            let ending = if ending.starts_with('/') { ending.to_owned() } else { format!("/{ending}") };
            if !files.iter().any(|file| file.ends_with(&ending)) {
                missing.push(format!("{page}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
