//! The files of the dashboard: one stylesheet, one script, one icon. They are part of the program,
//! and their address changes with their content.

use std::io::Write;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
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
static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("app", "css", "text/css; charset=utf-8", include_str!("assets/app.css").to_owned())
});
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg").to_owned()));

/// The licenses of what is inside the program, which `scripts/dist` collects before it builds.
#[cfg(feature = "dist")]
const NOTICES: Option<&str> = Some(include_str!(env!("TIDEGATE_NOTICES")));
#[cfg(not(feature = "dist"))]
const NOTICES: Option<&str> = None;
static NOTICES_FILE: LazyLock<Option<Asset>> = LazyLock::new(|| {
    NOTICES.map(|text| Asset::new("notices", "txt", "text/plain; charset=utf-8", text.to_owned()))
});

/// The licenses of files that come from elsewhere.
pub(crate) const THIRD_PARTY: &str = include_str!("assets/THIRD-PARTY");
/// The symbols of the pages.
pub(crate) const SYMBOLS: &str = include_str!("assets/icons.svg");

struct Asset {
    path: String,
    kind: &'static str,
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

impl Asset {
    fn new(name: &str, ending: &str, kind: &'static str, text: String) -> Asset {
        let path = format!("/assets/{name}-{:016x}.{ending}", xxh3_64(text.as_bytes()));
        Asset { path, kind, compressed: gzip(text.as_bytes(), Compression::best()), plain: text.into_bytes() }
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
    let Some(asset) = files.into_iter().find(|asset| asset.path == path) else {
        return (StatusCode::NOT_FOUND, "there is nothing at this path\n").into_response();
    };
    let compressed = takes_gzip(&headers);
    let body = if compressed { &asset.compressed } else { &asset.plain };
    let mut response = body.clone().into_response();
    let all = response.headers_mut();
    all.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    all.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    all.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    all.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if compressed {
        all.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
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
