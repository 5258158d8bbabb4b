//! `tidegate serve` by https, without a proxy.

use reqwest::{Client, StatusCode, redirect};
use tidegate_testkit::tls::Certificate;

use crate::api::project;
use crate::people::{PASSWORD, add};
use crate::served::{Served, until};

/// A client that trusts one certificate besides the system's, and follows no redirect.
fn client(certificate: &Certificate) -> Client {
    let root = reqwest::Certificate::from_pem(certificate.pem.as_bytes()).expect("a certificate");
    let client = Client::builder().redirect(redirect::Policy::none()).tls_certs_merge([root]);
    client.build().expect("a client")
}

#[tokio::test]
async fn a_person_signs_in_by_https_without_a_proxy_and_a_renewed_certificate_needs_no_restart() {
    let project = project();
    let (first, renewed) = (Certificate::of("127.0.0.1"), Certificate::of("127.0.0.1"));
    let write = |certificate: &Certificate| {
        project.write("cert.pem", &certificate.pem);
        project.write("key.pem", &certificate.key_pem);
    };
    write(&first);
    add(&project, "ada", "admin", false);
    let file = |name: &str| project.path().join(name).to_string_lossy().into_owned();
    let alone = project.done(&["serve", "--tls-cert", &file("cert.pem")]);
    assert_eq!(alone.code, 2, "{alone:?}");
    let foreign = project.done(&["serve", "--tls-cert", &file("cert.pem"), "--tls-key", &file("cert.pem")]);
    assert_eq!(foreign.code, 2, "{foreign:?}");
    assert!(foreign.stderr.contains("does not hold a private key"), "{foreign:?}");

    let served = Served::with(&project, &["--tls-cert", &file("cert.pem"), "--tls-key", &file("key.pem")]);
    assert!(served.url.starts_with("https://"), "{}", served.url);
    let browser = client(&first);
    let form = format!("name=ada&password={}", PASSWORD.replace(' ', "+"));
    let post = browser.post(format!("{}/sign-in", served.url)).header("origin", &served.url);
    let post = post.header("content-type", "application/x-www-form-urlencoded").body(form);
    let entered = post.send().await.expect("an answer");
    assert_eq!(entered.status(), StatusCode::SEE_OTHER);
    let cookie = entered.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(cookie.starts_with("__Host-") && cookie.contains("Secure"), "{cookie}");
    assert!(entered.headers().contains_key("strict-transport-security"));
    let pair = cookie.split(';').next().expect("a pair");
    let home = browser.get(&served.url).header("cookie", pair).send().await.expect("an answer");
    assert_eq!(home.status(), StatusCode::OK);

    write(&renewed);
    served.signal("HUP");
    until("the renewed certificate", async || {
        served.said().contains("the certificate was read again").then_some(())
    })
    .await;
    let health = client(&renewed).get(format!("{}/healthz", served.url)).send().await.expect("trusted");
    assert_eq!(health.status(), StatusCode::OK);
    let still = browser.get(format!("{}/healthz", served.url)).send().await.expect("its connection is open");
    assert_eq!(still.status(), StatusCode::OK);
    assert!(client(&first).get(&served.url).send().await.is_err(), "the one before is gone");
}
