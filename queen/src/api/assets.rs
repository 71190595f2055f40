//! The page's own files, out of the program itself (a debug build reads them from the disk).
//!
//! Owns what a browser may do with them: only scripts and styles of the queen run, nothing inline but what
//! `index.html` holds at its making, known by hash. Knows nothing of the API. Read next: `packed.rs`.

use super::{error::ApiError, packed::Coding};
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};
use std::fmt::Write;

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

/// The page's tests and notes lie beside it and are not embedded.
fn file(name: &str) -> Option<EmbeddedFile> {
    if name.contains("..") { None } else { Web::get(name) }
}

async fn answer(name: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let kind = content_type(name, &file).to_owned();
    let hash = file.metadata.sha256_hash();
    let coding = if is_text(&kind) {
        Coding::wanted(headers)
    } else {
        Coding::Plain
    };
    let policy = policy(name, &file.data);
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
    set(header::CONTENT_TYPE, &kind);
    set(header::CONTENT_SECURITY_POLICY, &policy);
    if let Some(word) = coding.word().filter(|_| changed) {
        set(header::CONTENT_ENCODING, word);
    }
    response
}

/// Pictures and fonts are packed already, all but those that are text.
fn is_text(kind: &str) -> bool {
    kind.starts_with("text/") || kind.contains("json") || kind.contains("xml")
}

fn content_type<'a>(name: &str, file: &'a EmbeddedFile) -> &'a str {
    match name.rsplit('.').next() {
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        _ => file.metadata.mimetype(),
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

/// What the browser lets the file do. The hashes let in the inline scripts that the page was made with (its import map).
fn policy(name: &str, data: &[u8]) -> String {
    if name != INDEX {
        return NOTHING.to_owned();
    }
    let page = String::from_utf8_lossy(data);
    let hashes: String = inline_scripts(&page)
        .map(|script| format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(script.as_bytes()))))
        .collect();
    format!(
        "default-src 'none'; script-src 'self'{hashes}; style-src 'self'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// The text of every script element of `page` that names no source.
fn inline_scripts(page: &str) -> impl Iterator<Item = &str> {
    page.split("<script").skip(1).filter_map(|rest| {
        let (attributes, rest) = rest.split_once('>')?;
        let (script, _) = rest.split_once("</script>")?;
        (!attributes.contains("src=")).then_some(script)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_inline_scripts_are_hashed() {
        let page = "<script type=\"importmap\">{}</script><script type=\"module\" src=\"/app.js\"></script>";
        assert_eq!(inline_scripts(page).collect::<Vec<_>>(), ["{}"]);
        let policy = policy(INDEX, page.as_bytes());
        // printf '{}' | openssl dgst -sha256 -binary | base64
        assert!(
            policy.contains("'sha256-RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o='"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
