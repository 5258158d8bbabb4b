//! A source that cannot be reached, or does not let us in.

use super::{PEOPLE, Scene, ended, from_people, says};

#[tokio::test]
async fn bad_input_a_host_that_does_not_exist_is_named_and_fixed() {
    let scene = Scene::of_people().await;
    let right = scene.database.connection();
    scene.write(&right.replace("127.0.0.1", "db.invalid"), &from_people());
    let port = scene.database.port();
    let place = format!("PostgreSQL at db.invalid:{port} cannot be reached: ");
    says(&scene.run(), 1, &[&place, "→ check `host`, `port` and the firewall"]);
    scene.write(&right, &from_people());
    scene.arrives_once(1..=200).await;
}

#[tokio::test]
async fn bad_input_a_port_that_nobody_listens_on_is_named_and_fixed() {
    let scene = Scene::of_people().await;
    let right = scene.database.connection();
    scene.write(&right.replace(&format!("port: {}", scene.database.port()), "port: 1"), &from_people());
    let place = "PostgreSQL at 127.0.0.1:1 cannot be reached: Connection refused";
    says(&scene.run(), 1, &[place, "→ check `host`, `port` and the firewall"]);
    scene.write(&right, &from_people());
    scene.arrives_once(1..=200).await;
}

#[tokio::test]
async fn bad_input_a_wrong_password_is_refused_and_never_shown() {
    let scene = Scene::of_people().await;
    let right = scene.database.connection();
    let wrong = right.replace(&scene.database.password(), "hunter2-is-wrong");
    scene.write(&wrong, &from_people());
    let refused = scene.run();
    let user = scene.database.user();
    says(
        &refused,
        1,
        &[&format!("password authentication failed for user \"{user}\""), "→ correct `user` or `password`"],
    );
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
    scene.write(&right, &from_people());
    scene.arrives_once(1..=200).await;
}

#[tokio::test]
async fn bad_input_a_missing_privilege_comes_with_the_grants_that_give_it() {
    let scene = Scene::of_people().await;
    let (name, role) = (&scene.database.name, format!("role {}", scene.database.name));
    scene
        .database
        .run(&format!(
            "CREATE ROLE \"{role}\" LOGIN PASSWORD 'x'; CREATE SCHEMA \"Sales\";
             ALTER TABLE people SET SCHEMA \"Sales\";
             REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"
        ))
        .await;
    let source = scene
        .database
        .connection()
        .replace(&format!("user: {}", scene.database.user()), &format!("user: \"{role}\""))
        .replace(&scene.database.password(), "x");
    scene.write(&source, &from_people().replace("table: people", "table: Sales.people"));
    let mut granted = Vec::new();
    // One refusal after the other: to connect, to look into the schema, to read the table.
    for _ in 0..3 {
        let refused = scene.run();
        says(&refused, 1, &["permission denied for ", "run: GRANT "]);
        let (_, grant) = refused.stderr.split_once("run: ").expect("a statement");
        let grant = grant.lines().next().expect("a line").to_owned();
        scene.database.run(&grant).await;
        granted.push(grant);
    }
    assert_eq!(
        granted,
        [
            format!("GRANT CONNECT ON DATABASE \"{name}\" TO \"{role}\";"),
            format!("GRANT USAGE ON SCHEMA \"Sales\" TO \"{role}\";"),
            format!("GRANT SELECT ON \"Sales\".\"people\" TO \"{role}\";"),
        ]
    );
    scene.arrives_once(1..=200).await;
    scene.database.run(&format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\"")).await;
}

#[tokio::test]
async fn bad_input_a_connection_that_the_server_ends_fails_the_run_and_the_next_goes_on() {
    let many = PEOPLE.replace("200", "50000").replace("'note ' || n", "repeat('x', 200)");
    let scene = Scene::new(&many, &from_people()).await;
    scene.sandbox.put_faults(r#"{"latency_ms": 100}"#).await;
    let running = scene.start(&["run", "s"]);
    scene.until_events_arrive().await;
    let ended_by = scene.database.count(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE application_name = 'tidegate' AND datname = current_database()",
    );
    assert_eq!(ended_by.await, 1, "the run reads");
    says(&ended(running), 1, &["PostgreSQL at 127.0.0.1", "Next: "]);
    scene.sandbox.put_faults("{}").await;
    scene.arrives_once(1..=50_000).await;
}
