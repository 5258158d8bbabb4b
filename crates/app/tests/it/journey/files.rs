//! The quickstart, as a newcomer runs it: files, and the sandbox inside the program.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Project, Sandbox, repository};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        match entry.file_name() == ".tidegate" {
            true => {}
            false if entry.path().is_dir() => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copied")),
        }
    }
}

/// How many rows a file of the project has.
fn rows(project: &Project, file: &str) -> u64 {
    let text = fs::read_to_string(project.path().join("data").join(file)).expect("read");
    let head = usize::from(file.ends_with(".csv"));
    (text.lines().count() - head) as u64
}

/// The delivered rows of every run, by sync.
fn delivered(runs: &Value) -> Vec<(String, u64)> {
    let runs = runs.as_array().expect("a list");
    assert!(runs.iter().all(|run| run["ending"] == "succeeded"), "{runs:#?}");
    let count = |run: &Value| run["counts"]["delivered"].as_u64().expect("a count");
    runs.iter().map(|run| (run["sync"].as_str().expect("a name").to_owned(), count(run))).collect()
}

/// What the sandbox inside the program keeps, served on a port.
async fn kept(project: &Project) -> (Value, Value) {
    let sandbox = Sandbox::of(project);
    (sandbox.stats("braze").await, sandbox.stats("onesignal").await)
}

#[tokio::test]
async fn journey_the_quickstart_delivers_its_files_and_then_only_what_is_new() {
    let project = Project::new("");
    copy(&repository().join("examples/quickstart"), project.path());
    let menu = fs::read_to_string(project.path().join("menu.json")).expect("read");
    assert_eq!(Sandbox::of(&project).post("/catalogs", "Bearer sandbox", &menu).await, 201);

    let customers = rows(&project, "customers.csv");
    let orders: Vec<String> = fs::read_dir(project.path().join("data/orders"))
        .expect("a folder")
        .map(|entry| format!("orders/{}", entry.expect("an entry").file_name().to_string_lossy()))
        .collect();
    let orders = orders.iter().map(|file| rows(&project, file)).sum::<u64>();
    let (lines, products, tweets) =
        (rows(&project, "order_lines.csv"), rows(&project, "products.jsonl"), rows(&project, "tweets.jsonl"));
    let expected = [
        ("customers_to_braze", customers),
        ("customers_to_onesignal", customers),
        ("orders_to_braze", orders),
        ("orders_to_onesignal", orders),
        ("purchases_to_braze", lines),
        ("products_to_braze", products),
        ("tweets_to_braze", tweets),
    ];
    let named = |counts: &[(&str, u64)]| -> Vec<(String, u64)> {
        counts.iter().map(|(sync, count)| ((*sync).to_owned(), *count)).collect()
    };
    assert_eq!(delivered(&project.json(&["run", "--all"])), named(&expected));
    let (braze, onesignal) = kept(&project).await;
    assert_eq!((&braze["users"], &onesignal["users"]), (&customers.into(), &customers.into()));
    assert_eq!((&braze["events"], &onesignal["events"]), (&(orders + tweets).into(), &orders.into()));
    assert_eq!((&braze["purchases"], &braze["catalog_items"]), (&lines.into(), &products.into()));

    // A second time nothing is new.
    let nothing: Vec<(&str, u64)> = expected.iter().map(|(sync, _)| (*sync, 0)).collect();
    assert_eq!(delivered(&project.json(&["run", "--all"])), named(&nothing));

    // A new file: its rows alone. A line more in a file: that line alone.
    let customer = "e75e50f5-8542-4fee-ae6d-237535079cfd";
    project.write(
        "data/orders/2018-09-10.csv",
        &format!(
            "id,customer,ordered_at,store,subtotal,tax_paid,order_total\n\
             new-1,{customer},2018-09-10T08:00:00Z,Philadelphia,5.00,0.30,5.30\n\
             new-2,{customer},2018-09-10T09:00:00Z,Philadelphia,6.00,0.36,6.36\n"
        ),
    );
    let path = project.path().join("data/customers.csv");
    let text = fs::read_to_string(&path).expect("read");
    let line = "new-customer,Grace,Hopper,grace@example.com,Philadelphia,2018-09-10\n";
    fs::write(&path, format!("{text}{line}")).expect("written");
    let mut new = nothing;
    for (sync, count) in &mut new {
        *count = match *sync {
            "customers_to_braze" | "customers_to_onesignal" => 1,
            "orders_to_braze" | "orders_to_onesignal" => 2,
            _ => 0,
        };
    }
    assert_eq!(delivered(&project.json(&["run", "--all"])), named(&new));
    let (braze, _) = kept(&project).await;
    assert_eq!((&braze["users"], &braze["events"]), (&(customers + 1).into(), &(orders + tweets + 2).into()));
}

#[test]
fn journey_make_run_shows_what_arrived() {
    let project = Project::new("");
    copy(&repository().join("examples/quickstart"), &project.path().join("examples/quickstart"));
    fs::create_dir_all(project.path().join("scripts")).expect("made");
    fs::copy(repository().join("scripts/quickstart"), project.path().join("scripts/quickstart"))
        .expect("copied");
    let binary = Path::new(env!("CARGO_BIN_EXE_tidegate"));
    let target = binary.parent().and_then(Path::parent).expect("the target folder");
    let ended =
        Command::new(project.path().join("scripts/quickstart")).env("CARGO_TARGET_DIR", target).output();
    let ended = ended.expect("bash runs");
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{told}{}", String::from_utf8_lossy(&ended.stderr));
    for word in
        ["In the Braze sandbox", r#""users":125"#, r#""catalog_items":10"#, "customers_to_braze: succeeded"]
    {
        assert!(told.contains(word), "{word} in\n{told}");
    }
}
