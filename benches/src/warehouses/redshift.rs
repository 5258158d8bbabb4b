//! A Redshift with one result, over PostgreSQL's wire: rows of text for a cursor, and rows as Amazon's own client asks
//! for them, with numbers and times in binary.

use std::io::{self, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use anyhow::Result;

use super::rows;

/// Types of PostgreSQL, by which Redshift calls them, too: BIGINT, VARCHAR, TIMESTAMPTZ.
const TYPES: [(u32, i16); 5] = [(20, 8), (1043, -1), (1043, -1), (1184, 8), (1043, -1)];
/// 2000-01-01T00:00:00Z, from which times in binary count, in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;
const PROTOCOL: u32 = 196_608;
const SSL_REQUEST: u32 = 80_877_103;
/// The end of an answer.
const READY: &[u8] = b"Z\0\0\0\x05I";

/// Returns the connection that reads from the double.
pub(super) fn connection(address: SocketAddr) -> String {
    format!(
        "type: redshift
    host: 127.0.0.1
    port: {}
    database: bench
    user: bench
    password: bench
    tls: disable",
        address.port()
    )
}

/// The cluster.
pub(super) struct Cluster {
    texts: Encoded,
    /// As the client of Amazon asks for them.
    binary: Encoded,
}

/// Rows, one message after the other.
#[derive(Default)]
struct Encoded {
    bytes: Vec<u8>,
    /// Where each row begins, and where the last one ends.
    bounds: Vec<usize>,
}

impl Encoded {
    fn new(rows: u64, row: fn(u64) -> [Vec<u8>; 5]) -> Encoded {
        let mut encoded = Encoded { bytes: Vec::new(), bounds: vec![0] };
        for number in 0..rows {
            let cells = row(number);
            let size = 4 + 2 + cells.iter().map(|cell| 4 + cell.len()).sum::<usize>();
            encoded.bytes.push(b'D');
            encoded.bytes.extend((size as u32).to_be_bytes());
            encoded.bytes.extend((cells.len() as u16).to_be_bytes());
            for cell in cells {
                encoded.bytes.extend((cell.len() as u32).to_be_bytes());
                encoded.bytes.extend(cell);
            }
            encoded.bounds.push(encoded.bytes.len());
        }
        encoded
    }

    fn len(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    fn rows(&self, from: usize, to: usize) -> &[u8] {
        &self.bytes[self.bounds[from]..self.bounds[to]]
    }
}

fn texts(number: u64) -> [Vec<u8>; 5] {
    let (second, milli) = (number / 1_000, number % 1_000);
    let (hour, minute, second) = (second / 3_600 % 24, second / 60 % 60, second % 60);
    // All of them are of one day.
    let at = format!("2026-01-01 {hour:02}:{minute:02}:{second:02}.{milli:03}+00");
    [number.to_string(), rows::event_name(number), rows::user_id(number), at, rows::event_data(number)]
        .map(String::into_bytes)
}

fn binary(number: u64) -> [Vec<u8>; 5] {
    let at = rows::event_timestamp(number) - EPOCH;
    [
        number.to_be_bytes().to_vec(),
        rows::event_name(number).into_bytes(),
        rows::user_id(number).into_bytes(),
        at.to_be_bytes().to_vec(),
        rows::event_data(number).into_bytes(),
    ]
}

impl Cluster {
    /// Encodes a number of rows; also for the client of Amazon, if it will ask.
    pub(super) fn new(rows: u64, has_peer: bool) -> Cluster {
        let binary = if has_peer { Encoded::new(rows, binary) } else { Encoded::default() };
        Cluster { texts: Encoded::new(rows, texts), binary }
    }

    /// Returns how many bytes the rows have as texts.
    pub(super) fn bytes(&self) -> usize {
        self.texts.bytes.len()
    }

    /// Serves on a port of its own, in threads of its own.
    pub(super) fn start(self) -> Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let cluster = Arc::new(self);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let cluster = Arc::clone(&cluster);
                thread::spawn(move || Session::serve(&cluster, stream));
            }
        });
        Ok(address)
    }
}

/// A connection of a client.
struct Session<'a> {
    cluster: &'a Cluster,
    stream: TcpStream,
    /// The statement that was parsed last.
    statement: String,
    /// The row that the cursor is before.
    next: usize,
}

impl Session<'_> {
    fn serve(cluster: &Cluster, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        loop {
            let body = body(&mut reader)?;
            match body.first_chunk().map(|code| u32::from_be_bytes(*code)) {
                Some(SSL_REQUEST) => stream.write_all(b"N")?,
                Some(PROTOCOL) => break,
                _ => return Ok(()),
            }
        }
        let mut hello = message(b'R', &0_u32.to_be_bytes());
        for (name, value) in [("client_encoding", "UTF8"), ("server_protocol_version", "0")] {
            hello.extend(message(b'S', format!("{name}\0{value}\0").as_bytes()));
        }
        hello.extend(message(b'K', &[0; 8]));
        hello.extend(READY);
        stream.write_all(&hello)?;
        let mut session = Session { cluster, stream, statement: String::new(), next: 0 };
        loop {
            let mut kind = [0];
            reader.read_exact(&mut kind)?;
            let body = body(&mut reader)?;
            match kind[0] {
                b'Q' => session.asked(&text(&body))?,
                b'X' => return Ok(()),
                kind => session.step(kind, &body)?,
            }
        }
    }

    /// Answers a statement that comes as a text.
    fn asked(&mut self, sql: &str) -> io::Result<()> {
        let lower = sql.to_ascii_lowercase();
        if lower.starts_with("declare") {
            self.next = 0;
        }
        let mut words = lower.split_whitespace();
        if words.next() == Some("fetch") {
            let wanted = words.find_map(|word| word.parse().ok()).unwrap_or(usize::MAX);
            let (from, rows) = (self.next, &self.cluster.texts);
            self.next = from.saturating_add(wanted).min(rows.len());
            self.stream.write_all(&described())?;
            self.stream.write_all(rows.rows(from, self.next))?;
            return self.done(&format!("FETCH {}", self.next - from));
        }
        if lower.contains("count(") {
            let count = [&1_u16.to_be_bytes()[..], &1_u32.to_be_bytes(), b"0"].concat();
            self.stream.write_all(&[column_list(&[("count", TYPES[0])]), message(b'D', &count)].concat())?;
        }
        self.done("OK")
    }

    fn done(&mut self, tag: &str) -> io::Result<()> {
        self.stream.write_all(&[&message(b'C', format!("{tag}\0").as_bytes())[..], READY].concat())
    }

    /// Answers a step of the extended protocol.
    fn step(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        let gives_rows = self.statement.contains("event_data") || self.statement.contains("limit 0");
        let answer = match kind {
            b'P' => {
                // The name of the statement, and its text.
                let sql = body.split(|byte| *byte == 0).nth(1).unwrap_or_default();
                self.statement = String::from_utf8_lossy(sql).to_ascii_lowercase();
                message(b'1', &[])
            }
            b'D' if gives_rows => [message(b't', &[0, 0]), described()].concat(),
            b'D' => [message(b't', &[0, 0]), message(b'n', &[])].concat(),
            b'B' => message(b'2', &[]),
            b'C' => message(b'3', &[]),
            b'E' if gives_rows => {
                self.stream.write_all(&self.cluster.binary.bytes)?;
                message(b'C', format!("SELECT {}\0", self.cluster.binary.len()).as_bytes())
            }
            b'E' => message(b'C', b"BEGIN\0"),
            b'S' => READY.to_vec(),
            _ => Vec::new(),
        };
        self.stream.write_all(&answer)
    }
}

/// Fetches all rows over one connection, and drops them.
pub(super) fn fetch(double: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(double)?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 1 << 20];
    for asked in
        [&[&8_u32.to_be_bytes()[..], &PROTOCOL.to_be_bytes()].concat(), &message(b'Q', b"FETCH ALL\0")]
    {
        stream.write_all(asked)?;
        loop {
            let read = stream.read(&mut buffer)?;
            anyhow::ensure!(read > 0, "the double closed the connection");
            if buffer[..read].ends_with(READY) {
                break;
            }
        }
    }
    Ok(())
}

fn body(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut size = [0; 4];
    reader.read_exact(&mut size)?;
    let mut body = vec![0; (u32::from_be_bytes(size) as usize).saturating_sub(4)];
    reader.read_exact(&mut body)?;
    Ok(body)
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap_or(body)).into_owned()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

/// Returns what the columns of the result are.
fn described() -> Vec<u8> {
    let columns: Vec<(&str, (u32, i16))> = rows::COLUMNS.into_iter().zip(TYPES).collect();
    column_list(&columns)
}

fn column_list(columns: &[(&str, (u32, i16))]) -> Vec<u8> {
    let mut body = (columns.len() as u16).to_be_bytes().to_vec();
    for (name, (oid, size)) in columns {
        body.extend(name.as_bytes());
        // No table, no number in it; no modifier of the type; as text.
        body.extend([0; 7]);
        body.extend(oid.to_be_bytes());
        body.extend(size.to_be_bytes());
        body.extend((-1_i32).to_be_bytes());
        body.extend([0; 2]);
    }
    message(b'T', &body)
}
