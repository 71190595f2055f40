//! The page's own files, out of the program itself (a debug build reads them from the disk).
//!
//! Owns what a browser may do with them: only scripts and styles of the queen run, nothing inline but what
//! `index.html` holds at its making, known by hash. Knows nothing of the API. Read next: `assets/made.rs` (what is made of
//! the files before they are sent), `packed.rs`.

mod join;
mod made;
mod module;
#[cfg(test)]
mod module_tests;
mod scan;

use super::{error::ApiError, packed::Coding};
use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, header::HeaderName},
    response::{IntoResponse, Response},
};
use made::{File, Made};
use rust_embed::RustEmbed;
use std::{
    borrow::Cow,
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
};

#[derive(RustEmbed)]
#[folder = "../web"]
#[exclude = "tests/*"]
#[exclude = "*.json"]
#[exclude = "*.d.ts"]
#[exclude = "*.d.mts"]
struct Web;

const INDEX: &str = "index.html";
/// Addresses of views that the page itself tells apart.
const VIEWS: &[&str] = &["jobs", "projects", "new"];

/// The policy of everything that is not the page: it may do nothing.
pub const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// Serves a file of the page, or the page itself for the addresses of its views.
pub async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let view = path.split('/').next().unwrap_or_default();
    let name = if path.is_empty() || VIEWS.contains(&view) {
        INDEX
    } else {
        path
    };
    match file(name) {
        Some(file) => answer(name, file, &headers).await,
        None if name == INDEX => ApiError::not_found(
            "this queen was built without its page: the API is at /api/v1, its addresses at /api/v1/openapi.json",
        )
        .into_response(),
        None => ApiError::unknown_route(uri).await.into_response(),
    }
}

/// What was made of the files.
static MADE: Mutex<Option<Arc<Made>>> = Mutex::new(None);

/// What was made of the program's files; a debug build looks whether the disk has others, each time that it is `asked` to.
fn made(asked: bool) -> Arc<Made> {
    let mut kept = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(made) = kept.as_ref().filter(|_| !cfg!(debug_assertions) || !asked) {
        return made.clone();
    }
    let of = made::inputs(Web::iter(), read);
    if let Some(made) = kept.as_ref().filter(|made| made.of == of) {
        return made.clone();
    }
    let made = Arc::new(Made::of(INDEX, of, read));
    if let Some(why) = &made.problem {
        tracing::warn!(why, "the page's modules go out one by one: slower, but the same");
    }
    kept.insert(made).clone()
}

/// A file of the page as it is served. Its tests and notes lie beside it and are not embedded.
fn file(name: &str) -> Option<File> {
    // Whoever asks for the page gets it all anew.
    made(name == INDEX).files.get(name).cloned().or_else(|| read(name))
}

/// A file as it lies there.
fn read(name: &str) -> Option<File> {
    let file = if name.contains("..") { None } else { Web::get(name) }?;
    Some(File {
        hash: file.metadata.sha256_hash(),
        data: match file.data {
            Cow::Borrowed(data) => Bytes::from_static(data),
            Cow::Owned(data) => Bytes::from(data),
        },
        policy: None,
        map: false,
    })
}

async fn answer(name: &str, file: File, headers: &HeaderMap) -> Response {
    let kind = content_type(name);
    let hash = file.hash;
    let coding = if is_text(kind) {
        Coding::wanted(headers)
    } else {
        Coding::Plain
    };
    // Each form of a file has a tag of its own.
    let mut tag = String::from("\"");
    for byte in &hash[..16] {
        // Writing to a String does not fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push_str(coding.suffix());
    tag.push('"');
    let mut response = if matches(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match coding.pack(name, hash, file.data).await {
            Ok(bytes) => bytes.into_response(),
            Err(error) => {
                tracing::error!(%error, name, "a file of the page could not be packed");
                return ApiError::panicked().into_response();
            }
        }
    };
    let changed = response.status() == StatusCode::OK;
    let own = response.headers_mut();
    let mut set = |key, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            own.insert(key, value);
        }
    };
    set(header::ETAG, &tag);
    set(header::VARY, "accept-encoding");
    // A newer queen brings newer files under the same names.
    set(header::CACHE_CONTROL, "no-cache");
    set(header::CONTENT_TYPE, kind);
    set(
        header::CONTENT_SECURITY_POLICY,
        file.policy.as_deref().unwrap_or(NOTHING),
    );
    if file.map {
        // Asked for by developer tools alone.
        set(HeaderName::from_static("sourcemap"), &format!("/{name}.map"));
    }
    if let Some(word) = coding.word().filter(|_| changed) {
        set(header::CONTENT_ENCODING, word);
    }
    response
}

/// Pictures and fonts are packed already, all but those that are text.
fn is_text(kind: &str) -> bool {
    kind.starts_with("text/") || kind.contains("json") || kind.contains("xml")
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("map") => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}

fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let asked = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    asked.is_some_and(|tags| {
        tags.split(',')
            .map(|one| one.trim().trim_start_matches("W/"))
            .any(|one| one == tag || one == "*")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_of_this_page_can_be_joined() {
        let made = made(true);
        assert_eq!(made.problem, None);
        for name in ["index.html", "app.js", "views/job.js", "components/log.js"] {
            assert!(made.files.contains_key(name), "{name}");
        }
        // One instance of what holds the state of all components, however a view was come to.
        let with = |text: &str| {
            let holds = |file: &&File| String::from_utf8_lossy(&file.data).contains(text);
            made.files.values().filter(|file| file.map).filter(holds).count()
        };
        assert_eq!(with("module('/vendor/preact/preact.mjs', "), 1);
        assert_eq!(with("module('/components/html.js', "), 1);
        let policy = made.files[INDEX].policy.clone().unwrap_or_default();
        assert!(
            policy.contains("style-src 'self' 'sha256-") && !policy.contains("unsafe"),
            "{policy}"
        );
    }
}
