//! A proxy that does to requests what real services do now and then.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::served::until;
use crate::support::variable;

/// microburst in front of a server, ended with the test.
pub(super) struct Proxy {
    pub(super) url: String,
    process: Child,
}

impl Proxy {
    /// In front of the server whose address the variable holds, with one rule.
    pub(super) async fn start(upstream: &str, rule: Value) -> Proxy {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port().to_string();
        let process = Command::new(variable("TIDEGATE_TEST_MICROBURST"))
            .args(["--upstream", &variable(upstream), "--port", &port, "--no-resign"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("microburst starts");
        let proxy = Proxy { url: format!("http://127.0.0.1:{port}"), process };
        let rules = format!("{}/_microburst/rules", proxy.url);
        until("the proxy takes rules", async || {
            let answer = reqwest::Client::new().post(&rules).body(json!([rule]).to_string()).send().await;
            let answer = answer.ok()?;
            assert!(answer.status().is_success(), "{}: {:?}", answer.status(), answer.text().await);
            Some(())
        })
        .await;
        proxy
    }

    /// How often it did what its rule says.
    pub(super) async fn fired(&self) -> u64 {
        let answer = reqwest::get(format!("{}/_microburst/rules", self.url)).await.expect("an answer");
        let rules: Value = serde_json::from_str(&answer.text().await.expect("text")).expect("JSON");
        rules[0]["fired_count"].as_u64().unwrap_or_else(|| panic!("{rules}"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
