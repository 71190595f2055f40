//! A browser's session: a cookie that counts as the token that was shown at its making.
//!
//! The cookie is a voucher, not the token: it names the token by its hash and says until when, under a key of the store,
//! so that nothing is kept of it, it ends with its token, and what a browser holds opens nothing anywhere else. What must
//! be proven beside it is in `auth.rs`. Read next: `tokens.rs`.

use super::{
    auth::{self, Access, Need},
    error::{Answer, ApiError},
    extract::Json,
    tokens,
    view::{ErrorView, SessionView, SignedIn},
};
use crate::{
    app::Context,
    clock,
    store::{AccessToken, Store, StoreError},
};
use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::IntoResponse,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The cookie's name.
pub const COOKIE: &str = "skep_session";
/// Seconds that a session lasts.
const LASTS: i64 = 30 * 86_400;

/// What somebody may do, by the word that the page knows it by, and the request that shows whether they may.
const DEEDS: [(&str, Method, &str); 7] = [
    ("read", Method::GET, "/api/v1/jobs"),
    ("submit", Method::POST, "/api/v1/jobs"),
    ("cancel", Method::POST, "/api/v1/jobs/x/cancel"),
    ("rerun", Method::POST, "/api/v1/jobs/x/rerun"),
    ("quarantine", Method::PUT, "/api/v1/projects/x/y/quarantine"),
    ("drain", Method::POST, "/api/v1/drones/x/drain"),
    ("tokens", Method::POST, "/api/v1/tokens"),
];

pub(super) fn router() -> OpenApiRouter<Context> {
    OpenApiRouter::new().routes(routes!(read, sign_in, sign_out))
}

/// What a request's cookie says.
pub(super) enum Session {
    /// There is none.
    None,
    /// This token was shown when it was made.
    Of(AccessToken),
    /// It is good for nothing any more, and what to do.
    Stale(&'static str),
}

/// The session that `headers` speak of; `now` in seconds.
pub(super) async fn of(store: &dyn Store, headers: &HeaderMap, now: i64) -> Result<Session, StoreError> {
    let Some(value) = cookie(headers) else {
        return Ok(Session::None);
    };
    let Some((hash, until)) = opened(store, value) else {
        return Ok(Session::Stale(
            "this queen did not make the session's cookie: sign in again",
        ));
    };
    if until <= now {
        return Ok(Session::Stale("the session has ended: sign in again"));
    }
    Ok(match store.token(hash).await? {
        Some(token) => Session::Of(token),
        None => Session::Stale("the token that the session was begun with is revoked: sign in with another one"),
    })
}

pub(super) fn now() -> i64 {
    clock::now().0 / 1_000
}

/// The value of the cookie.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// A voucher for the token with this hash until `until`, in seconds.
fn voucher(store: &dyn Store, hash: [u8; 32], until: i64) -> String {
    let said = format!("{}.{until}", URL_SAFE_NO_PAD.encode(hash));
    let seal = store.fingerprint(&format!("session {said}"));
    format!("{said}.{}", URL_SAFE_NO_PAD.encode(seal))
}

/// What a voucher of this queen says.
fn opened(store: &dyn Store, value: &str) -> Option<([u8; 32], i64)> {
    let mut parts = value.split('.');
    let hash = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?.try_into().ok()?;
    let until = parts.next()?.parse().ok()?;
    let own = voucher(store, hash, until);
    bool::from(own.as_bytes().ct_eq(value.as_bytes())).then_some((hash, until))
}

/// The header that takes the cookie away.
pub(super) fn cleared() -> HeaderValue {
    HeaderValue::from_static("skep_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0")
}

/// True if the browser has come by https, to a proxy in front of the queen.
fn is_https(headers: &HeaderMap) -> bool {
    let begins = |name: &str, with: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.starts_with(with))
    };
    begins("x-forwarded-proto", "https") || begins("origin", "https://")
}

/// Who asks, and what they may do. Needs no token: a page asks it first.
#[utoipa::path(get, path = "/session", tag = "session", responses((status = 200, body = SessionView)))]
async fn read(Extension(access): Extension<Access>, token: Option<Extension<AccessToken>>) -> axum::Json<SessionView> {
    let may = DEEDS
        .iter()
        .filter(|(_, method, path)| access.may(auth::need(method, path, "")));
    axum::Json(SessionView {
        role: match access {
            Access::Nobody => None,
            Access::Open => Some("open".into()),
            Access::Token(role) => Some(tokens::word(role).into()),
        },
        name: token.map(|Extension(token)| token.name),
        signed_in: matches!(access, Access::Token(_)),
        may: may.map(|(word, ..)| (*word).into()).collect(),
    })
}

/// What signs in.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SignIn {
    /// A token that may read at least.
    token: String,
}

/// Begins a session: the cookie that comes back counts as the token, for 30 days or until the token is revoked. What
/// changes something with it, and a WebSocket, must come from the queen's own page (`Origin` or `Sec-Fetch-Site` says so).
#[utoipa::path(post, path = "/session", tag = "session", request_body = SignIn, responses(
    (status = 200, body = SignedIn, headers(("set-cookie" = String, description = "The session's cookie"))),
    (status = 401, body = ErrorView), (status = 403, body = ErrorView), (status = 422, body = ErrorView)))]
async fn sign_in(
    State(context): State<Context>,
    headers: HeaderMap,
    Json(SignIn { token }): Json<SignIn>,
) -> Answer<impl IntoResponse> {
    let hash = tokens::hash(token.trim());
    let token = context.store.token(hash).await?.ok_or_else(auth::wrong_token)?;
    Access::Token(token.role).check(Need::Read)?;
    let value = voucher(&*context.store, hash, now() + LASTS);
    let secure = if is_https(&headers) { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={LASTS}{secure}");
    let cookie = HeaderValue::try_from(cookie).map_err(|_| ApiError::panicked())?;
    let body = SignedIn {
        role: tokens::word(token.role).into(),
        name: token.name,
    };
    Ok(([(header::SET_COOKIE, cookie)], axum::Json(body)))
}

/// Ends the session of this browser.
#[utoipa::path(delete, path = "/session", tag = "session", responses(
    (status = 204, description = "The cookie is taken away"), (status = 403, body = ErrorView)))]
async fn sign_out() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cleared())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SqliteStore;

    #[tokio::test]
    async fn a_voucher_opens_only_as_it_was_made_and_where() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = SqliteStore::open(dir.path()).await.unwrap();
        let other = SqliteStore::open(elsewhere.path()).await.unwrap();
        let value = voucher(&store, [7; 32], 99);
        assert_eq!(opened(&store, &value), Some(([7; 32], 99)));
        assert_eq!(opened(&other, &value), None);
        let longer = value.replace(".99.", ".999.");
        let seal = value.rsplit('.').next().unwrap();
        let stranger = format!("{}.99.{seal}", URL_SAFE_NO_PAD.encode([8; 32]));
        for bad in [
            "",
            ".",
            "..",
            "a.99.b",
            &longer,
            &stranger,
            &format!("{value}."),
            &format!("{value}A"),
        ] {
            assert_eq!(opened(&store, bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_session_ends_with_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path()).await.unwrap();
        let minted = tokens::mint("laptop", crate::store::AccessRole::Read);
        store.add_token(&minted.token, minted.hash).await.unwrap();
        let pair = format!("{COOKIE}={}", voucher(&store, minted.hash, 100));
        let headers = [(header::COOKIE, pair.parse().unwrap())].into_iter().collect();
        assert!(matches!(of(&store, &headers, 99).await.unwrap(), Session::Of(token) if token.name == "laptop"));
        let ended = of(&store, &headers, 100).await.unwrap();
        assert!(matches!(ended, Session::Stale(why) if why == "the session has ended: sign in again"));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let of = |lines: &[&'static str]| {
            let lines = lines
                .iter()
                .map(|line| (header::COOKIE, HeaderValue::from_static(line)));
            cookie(&lines.collect()).map(ToOwned::to_owned)
        };
        assert_eq!(of(&["a=b; skep_session=x.y"]).as_deref(), Some("x.y"));
        assert_eq!(of(&["a=b", "skep_session=z"]).as_deref(), Some("z"));
        assert_eq!(of(&["my_skep_session=x; skep_session"]), None);
        assert_eq!(of(&[]), None);
    }
}
