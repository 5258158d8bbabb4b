//! A Databricks workspace that has encoded its one result beforehand: what it does for a request is
//! to write bytes that lie in memory.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use anyhow::Result;
use memchr::memmem;
use serde_json::{Value, json};

use super::pages::{Page, columns};

/// The id of the warehouse.
pub(super) const WAREHOUSE: &str = "bench";

/// The workspace. Clones share its pages.
#[derive(Clone)]
pub(super) struct Workspace {
    pages: Arc<Vec<Page>>,
}

impl Workspace {
    /// Serves these pages on a port of its own, in threads of its own.
    pub(super) fn start(pages: Vec<Page>) -> Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let workspace = Workspace { pages: Arc::new(pages) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let workspace = workspace.clone();
                thread::spawn(move || workspace.serve(stream, address));
            }
        });
        Ok(address)
    }

    fn serve(&self, mut stream: TcpStream, address: SocketAddr) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::new();
        let mut piece = vec![0; 64 * 1024];
        loop {
            let head = loop {
                if let Some(end) = memmem::find(&buffer, b"\r\n\r\n") {
                    break end + 4;
                }
                match stream.read(&mut piece)? {
                    0 => return Ok(()),
                    read => buffer.extend_from_slice(&piece[..read]),
                }
            };
            let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
            let length = text
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse::<usize>().ok())
                .unwrap_or(0);
            while buffer.len() < head + length {
                match stream.read(&mut piece)? {
                    0 => return Ok(()),
                    read => buffer.extend_from_slice(&piece[..read]),
                }
            }
            let mut words = text.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            self.answer(&mut stream, method, path, &buffer[head..head + length], address)?;
            buffer.drain(..head + length);
        }
    }

    fn answer(
        &self,
        stream: &mut TcpStream,
        method: &str,
        path: &str,
        body: &[u8],
        address: SocketAddr,
    ) -> io::Result<()> {
        if let Some(page) =
            path.strip_prefix("/page/").and_then(|at| self.pages.get(at.parse::<usize>().ok()?))
        {
            return respond(stream, "200 OK", &page.bytes);
        }
        let statement: Value = serde_json::from_slice(body).unwrap_or_default();
        let answer = match (method, path) {
            ("POST", "/oidc/v1/token") => {
                json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 3600 })
            }
            ("POST", "/api/2.0/sql/statements" | "/api/2.0/sql/statements/") => {
                self.result(&statement, address)
            }
            ("DELETE", _) => json!({}),
            ("GET", path) => match path.rsplit_once("/result/chunks/") {
                Some((_, at)) => {
                    let at = at.split('?').next().and_then(|at| at.parse().ok()).unwrap_or(0);
                    json!({ "external_links": [self.link(at, address)] })
                }
                None => {
                    return respond(
                        stream,
                        "404 Not Found",
                        b"{\"error_code\":\"NOT_FOUND\",\"message\":\"no\"}",
                    );
                }
            },
            _ => {
                return respond(
                    stream,
                    "404 Not Found",
                    b"{\"error_code\":\"NOT_FOUND\",\"message\":\"no\"}",
                );
            }
        };
        respond(stream, "200 OK", answer.to_string().as_bytes())
    }

    fn result(&self, statement: &Value, address: SocketAddr) -> Value {
        let text = statement["statement"].as_str().unwrap_or_default();
        let linked = statement["disposition"] == "EXTERNAL_LINKS";
        let rows: u64 = self.pages.iter().map(|page| page.rows).sum();
        let (columns, total, result) = if linked {
            (columns(), rows, json!({ "external_links": [self.link(0, address)] }))
        } else if text.contains("count(*)") {
            (json!([{ "name": "n", "type_text": "BIGINT" }]), 1, json!({ "data_array": [["0"]] }))
        } else {
            (columns(), 0, json!({}))
        };
        json!({
            "statement_id": "s",
            "status": { "state": "SUCCEEDED" },
            "manifest": {
                "format": "ARROW_STREAM", "schema": { "columns": columns }, "truncated": false,
                "total_chunk_count": if linked { self.pages.len() } else { 0 },
                "total_row_count": total, "result_compression": "LZ4_FRAME",
            },
            "result": result,
        })
    }

    fn link(&self, at: usize, address: SocketAddr) -> Value {
        let next = (at + 1 < self.pages.len()).then_some(at + 1);
        json!({
            "chunk_index": at, "row_count": self.pages[at].rows, "byte_count": self.pages[at].bytes.len(),
            "next_chunk_index": next, "external_link": format!("http://{address}/page/{at}"),
            "expiration": "2099-01-01T00:00:00Z",
        })
    }
}

fn respond(stream: &mut TcpStream, status: &str, body: &[u8]) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    match body.len() {
        0..=65_536 => stream.write_all(&[head.as_bytes(), body].concat()),
        _ => {
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)
        }
    }
}
