//! The files of the dashboard: one stylesheet, one script, one icon. They are part of the program,
//! and their address changes with their content.

use std::io::Write;
use std::sync::{LazyLock, OnceLock};

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use xxhash_rust::xxh3::xxh3_64;

/// One file. htmx and its extension must arrive together, before the rest: several files would
/// race for the first message of a stream.
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let parts = [
        include_str!("assets/htmx.min.js"),
        include_str!("assets/hx-sse.min.js"),
        include_str!("assets/tidegate.js"),
    ];
    Asset::new("app", "js", "text/javascript; charset=utf-8", parts.join(";\n"))
});
static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("app", "css", "text/css; charset=utf-8", include_str!("assets/app.css")));
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")));

/// The licenses of what is inside the program, which `scripts/dist` collects before it builds. The path of
/// the file is absolute.
#[cfg(feature = "dist")]
const NOTICES: Option<&str> = Some(include_str!(env!("TIDEGATE_NOTICES")));
#[cfg(not(feature = "dist"))]
const NOTICES: Option<&str> = None;
static NOTICES_FILE: LazyLock<Option<Asset>> = LazyLock::new(|| NOTICES.map(notices_of));

fn notices_of(text: &'static str) -> Asset {
    Asset::new("notices", "txt", "text/plain; charset=utf-8", text)
}

/// The licenses of files that come from elsewhere.
pub(crate) const THIRD_PARTY: &str = include_str!("assets/THIRD-PARTY");
/// The symbols of the pages.
pub(crate) const SYMBOLS: &str = include_str!("assets/icons.svg");

struct Asset {
    path: String,
    kind: &'static str,
    plain: Bytes,
    /// Made when it is first asked for: notices of a megabyte take a moment.
    compressed: OnceLock<Bytes>,
}

impl Asset {
    fn new(name: &str, ending: &str, kind: &'static str, text: impl Into<Bytes>) -> Asset {
        let plain = text.into();
        let path = format!("/assets/{name}-{:016x}.{ending}", xxh3_64(&plain));
        Asset { path, kind, compressed: OnceLock::new(), plain }
    }

    fn compressed(&self) -> Bytes {
        self.compressed.get_or_init(|| gzip(&self.plain, Compression::best()).into()).clone()
    }

    /// Answers with the file.
    async fn answer(&'static self, headers: &HeaderMap) -> Response {
        let compressed = takes_gzip(headers);
        let body = match compressed {
            true => tokio::task::spawn_blocking(|| self.compressed()).await.unwrap_or_default(),
            false => self.plain.clone(),
        };
        let mut response = body.into_response();
        let all = response.headers_mut();
        all.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        all.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        all.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        all.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if compressed {
            all.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// Returns the address of the script.
pub(crate) fn script() -> &'static str {
    &SCRIPT.path
}

/// Returns the address of the stylesheet.
pub(crate) fn style() -> &'static str {
    &STYLE.path
}

/// Returns the address of the icon.
pub(crate) fn icon() -> &'static str {
    &ICON.path
}

/// Returns the address of the licenses of what is inside the program; `None` if it was built from source.
pub(crate) fn notices() -> Option<&'static str> {
    NOTICES_FILE.as_ref().map(|asset| asset.path.as_str())
}

/// Answers with a file.
pub(crate) async fn get(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let path = format!("/assets/{name}");
    let files = [&*SCRIPT, &*STYLE, &*ICON].into_iter().chain(NOTICES_FILE.as_ref());
    match files.into_iter().find(|asset| asset.path == path) {
        Some(asset) => asset.answer(&headers).await,
        None => (StatusCode::NOT_FOUND, "there is nothing at this path\n").into_response(),
    }
}

/// Whether a client reads gzip.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("gzip"))
}

/// Compresses a text.
pub(crate) fn gzip(text: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    // Writing to memory does not fail.
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use axum::body::to_bytes;
    use flate2::read::GzDecoder;

    use super::*;

    #[tokio::test]
    async fn notices_of_a_megabyte_arrive_whole_and_compressed() {
        let text: &str = Box::leak("The license of crate é.\n".repeat(42_000).into_boxed_str());
        let asset: &Asset = Box::leak(Box::new(notices_of(text)));
        let all = async |headers: &HeaderMap| {
            let answer = asset.answer(headers).await;
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
            to_bytes(answer.into_body(), usize::MAX).await.expect("a body")
        };
        assert!(all(&HeaderMap::new()).await == text.as_bytes());
        let gzip = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("br, gzip"))]);
        let mut read = String::new();
        GzDecoder::new(&all(&gzip).await[..]).read_to_string(&mut read).expect("gzip");
        assert!(read == text);
        let other: &Asset = Box::leak(Box::new(notices_of("other")));
        assert_ne!(asset.path, other.path, "an address that is kept for a year names its content");
    }
}
