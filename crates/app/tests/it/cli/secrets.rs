//! Secrets are used and never seen.

use std::io::Write;
use std::process::Stdio;

use super::{Shop, expect};
use crate::support::{Ended, Project};

const KEY: &str = "braze-key-5f1a7c";

fn keep(project: &Project, name: &str, secret: &str) -> Ended {
    let mut command = project.tidegate(&["secret", "set", name]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("tidegate starts");
    process.stdin.take().expect("piped").write_all(secret.as_bytes()).expect("written");
    Ended::of(&process.wait_with_output().expect("it ends"))
}

#[tokio::test]
async fn cli_secrets_are_kept_sealed_used_and_never_shown() {
    let mut shop = Shop::open().await;
    let yaml = std::fs::read_to_string(shop.project.path().join("tidegate.yaml")).expect("read");
    let password = shop.database.password();
    let yaml = yaml
        .replacen("api_key: test", "api_key: { secret: braze }", 1)
        .replace(&format!("password: \"{password}\""), "password: \"${SHOP_PASSWORD}\"");
    shop.project.write("tidegate.yaml", &yaml);

    expect(&shop.project.done(&["run", "orders"]), 2, &["SHOP_PASSWORD", "export SHOP_PASSWORD=…"]);
    shop.project.set("SHOP_PASSWORD", &password);
    expect(&shop.project.done(&["run", "orders"]), 2, &["braze", "tidegate secret set braze"]);
    expect(&keep(&shop.project, "braze", ""), 2, &["the secret is empty"]);
    expect(&keep(&shop.project, "braze", &format!("{KEY}\n")), 0, &["stored `braze`, sealed"]);
    assert_eq!(shop.project.json(&["secret", "list"]), serde_json::json!(["braze"]));
    expect(&shop.project.done(&["secret", "rotate"]), 0, &["sealed 1 secret with the new master key"]);
    expect(&keep(&shop.project, "unused", "x"), 0, &[]);
    expect(&shop.project.done(&["secret", "remove", "unused"]), 0, &["removed `unused`"]);
    expect(&shop.project.done(&["secret", "remove", "unused"]), 2, &["there is no secret `unused`"]);
    let used = shop.project.done(&["secret", "remove", "braze"]);
    expect(
        &used,
        2,
        &["the secret `braze` is used by `connections.braze.api_key`", "→ change these settings"],
    );
    shop.project.set("RUST_LOG", "trace");

    let mut told = String::new();
    for arguments in [
        &["-vv", "check"][..],
        &["-vv", "plan", "orders"],
        &["-vv", "run", "orders"],
        &["-vv", "status"],
        &["-vv", "rows"],
        &["-vv", "secret", "list"],
        &["-vv", "setup", "shop"],
    ] {
        let ended = shop.project.done(arguments);
        assert!([0, 3].contains(&ended.code), "{arguments:?}: {ended:?}");
        told.push_str(&ended.stdout);
        told.push_str(&ended.stderr);
    }
    assert_eq!(shop.sandbox.stats("braze").await["events"], 297, "the key was used");
    // Failures must not tell it either.
    shop.sandbox.put_faults(r#"{"revoked": true}"#).await;
    shop.database.run("INSERT INTO orders VALUES (301, 'c1', now(), 1)").await;
    told.push_str(&shop.project.done(&["-vv", "run", "orders"]).stderr);
    shop.project.set("SHOP_PASSWORD", "wrong-password-81c2");
    told.push_str(&shop.project.done(&["-vv", "run", "orders"]).stderr);
    for secret in [KEY, password.as_str(), "wrong-password-81c2"] {
        let at = told.find(secret).map(|at| &told[at.saturating_sub(200)..at]);
        assert!(at.is_none(), "a secret is shown behind: {at:?}");
    }

    // Nor does any file of the project hold it.
    let mut folders = vec![shop.project.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let bytes = std::fs::read(entry.path()).expect("read");
            for secret in [KEY, password.as_str()] {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "a secret stands in {}", entry.path().display());
            }
        }
    }
}

#[test]
fn cli_a_key_pair_is_made_once_and_only_its_public_half_is_shown() {
    let project = Project::new("");
    let ended = project.done(&["secret", "generate-key", "snowflake_key"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.starts_with("MIIB") && ended.stdout.trim().len() > 300, "{ended:?}");
    assert!(ended.stderr.contains("{ secret: snowflake_key }"), "{ended:?}");
    assert!(!format!("{ended:?}").contains("PRIVATE"), "{ended:?}");
    let again = project.done(&["secret", "generate-key", "snowflake_key"]);
    assert_eq!(again.code, 2, "{again:?}");
    assert!(again.stderr.contains("take another name"), "{again:?}");
}

#[test]
fn cli_a_key_for_a_tunnel_is_a_line_of_authorized_keys() {
    let project = Project::new("");
    let ended = project.done(&["secret", "generate-key", "shop_ssh", "--ssh"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.stdout.starts_with("ssh-ed25519 AAAA") && ended.stdout.ends_with(" tidegate\n"),
        "{ended:?}"
    );
    assert!(!format!("{ended:?}").contains("PRIVATE"), "{ended:?}");
}
