//! Who asks, and whether they may: tokens, roles, and the checks that keep web pages away from an open queen.
//!
//! One layer in front of everything; what it does not know needs the most rights. It knows addresses, not handlers.
//! Read next: `tokens.rs`, `session.rs` (a browser's cookie).

use super::{
    error::ApiError,
    session::{self, Session},
    tokens,
};
use crate::{
    app::Context,
    config::Config,
    store::{AccessRole, AccessToken},
};
use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{self, HeaderName},
        request::Parts,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// What an address demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: the page's own files, and whether the queen is well.
    Nothing,
    /// To be a drone.
    Drone,
    /// To fetch a source that the queen holds: readers and drones.
    Fetch,
    /// To read.
    Read,
    /// To make jobs or stop them.
    Trigger,
    /// To run the queen.
    Admin,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Somebody without a token, where nothing is demanded.
    Nobody,
    /// Somebody on this machine, while the queen is open to it.
    Open,
    /// The holder of a token.
    Token(AccessRole),
}

impl Access {
    /// True if this one may do what needs `need`.
    #[must_use]
    pub fn may(self, need: Need) -> bool {
        let role = match self {
            Self::Nobody => return need == Need::Nothing,
            Self::Open => return true,
            Self::Token(role) => role,
        };
        match need {
            Need::Nothing => true,
            Need::Drone => matches!(role, AccessRole::Drone | AccessRole::Admin),
            Need::Fetch => true,
            Need::Read => role != AccessRole::Drone,
            Need::Trigger => matches!(role, AccessRole::Trigger | AccessRole::Admin),
            Need::Admin => role == AccessRole::Admin,
        }
    }

    /// Refuses what this one may not do.
    pub fn check(self, need: Need) -> Result<(), ApiError> {
        if self.may(need) {
            return Ok(());
        }
        let Self::Token(role) = self else {
            return Err(no_token());
        };
        let has = tokens::word(role);
        let wanted = match need {
            Need::Drone => "drone",
            Need::Trigger => "trigger or admin",
            Need::Admin => "admin",
            Need::Nothing | Need::Fetch | Need::Read => "read, trigger or admin",
        };
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("your token has the role {has}, this needs {wanted}: use another token, or ask an admin for one"),
        ))
    }
}

/// What `method` on `path` demands. What is not named here needs `read` to look at and `admin` to change.
#[must_use]
pub fn need(method: &Method, path: &str, query: &str) -> Need {
    let safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if path.starts_with(super::GIT) {
        // An encoded name reaches the handler decoded: what is sent counts as a push unless it plainly asks to fetch.
        let writes = if safe {
            super::git::is_write(path, Some(query))
        } else {
            !path.ends_with("/git-upload-pack")
        };
        return if writes { Need::Trigger } else { Need::Fetch };
    }
    let Some(rest) = path.strip_prefix("/api/") else {
        return match path {
            "/metrics" => Need::Read,
            _ if safe => Need::Nothing,
            _ => Need::Admin,
        };
    };
    match rest.strip_prefix("v1").unwrap_or_default() {
        "/openapi.json" if safe => Need::Nothing,
        // Who signs in has nothing to show yet.
        "/session" => Need::Nothing,
        "/drone" => Need::Drone,
        tokens if tokens == "/tokens" || tokens.starts_with("/tokens/") => Need::Admin,
        // What a failure of a file means is for those who make jobs to say.
        files if !safe && files.starts_with("/projects/") => Need::Trigger,
        jobs if !safe && (jobs == "/jobs" || jobs.starts_with("/jobs/")) => Need::Trigger,
        _ if safe => Need::Read,
        _ => Need::Admin,
    }
}

/// The layer: finds out who asks and refuses what they may not do. Handlers find [`Access`] in the extensions, and the
/// [`AccessToken`] if there is one.
pub async fn guard(State(context): State<Context>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut stale = false;
    let mut response = match admit(&context, &parts, &mut stale).await {
        Ok((access, token)) => {
            parts.extensions.insert(access);
            if let Some(token) = token {
                parts.extensions.insert(token);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refusal) => {
            let git = parts.uri.path().starts_with(super::GIT);
            let unauthorized = refusal.status == StatusCode::UNAUTHORIZED;
            let mut response = refusal.into_response();
            if git && unauthorized {
                // The git program sends credentials only when it is asked in this way.
                response.headers_mut().insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Basic realm=\"skep\""),
                );
            }
            response
        }
    };
    if stale && !response.headers().contains_key(header::SET_COOKIE) {
        response.headers_mut().insert(header::SET_COOKIE, session::cleared());
    }
    response
}

/// Who asks, with their token; `stale` says whether they came with a cookie that is good for nothing any more.
async fn admit(context: &Context, parts: &Parts, stale: &mut bool) -> Result<(Access, Option<AccessToken>), ApiError> {
    let Parts {
        method, headers, uri, ..
    } = parts;
    let need = need(method, uri.path(), uri.query().unwrap_or_default());
    if matches!(uri.path(), "/healthz" | "/readyz") && method.is_safe() {
        return Ok((Access::Nobody, None));
    }
    let acts = !method.is_safe() || headers.contains_key(header::UPGRADE);
    let own_page = acts && check_origin(&context.config, headers)?;
    let mut refusal = no_token();
    let token = match presented(headers)? {
        Some(value) => Some(
            context
                .store
                .token(tokens::hash(&value))
                .await?
                .ok_or_else(wrong_token)?,
        ),
        None => match session::of(&*context.store, headers, session::now()).await? {
            Session::None => None,
            // The browser sends its cookie whoever asks it to: what changes anything, the queen's own page must ask for.
            Session::Of(_) if acts && !own_page => return Err(no_proof()),
            Session::Of(token) => Some(token),
            Session::Stale(why) => {
                // Cookies know no ports: on an open queen it may be the one of another queen of this machine.
                *stale = !is_open(&context.config);
                refusal = unauthorized(why);
                None
            }
        },
    };
    let access = match &token {
        Some(token) => Access::Token(token.role),
        None if is_open(&context.config) => {
            check_host(&context.config, headers)?;
            Access::Open
        }
        None if need == Need::Nothing => Access::Nobody,
        None => return Err(refusal),
    };
    access.check(need)?;
    Ok((access, token))
}

/// True if requests from this machine need no token.
fn is_open(config: &Config) -> bool {
    config.listen.ip().is_loopback() && !config.require_token
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
}

fn no_token() -> ApiError {
    unauthorized(
        "this queen demands a token: sign in on its page, or send the header \"Authorization: Bearer TOKEN\" \
         (QUEEN_TOKEN or DRONE_TOKEN in the environment of the programs)",
    )
}

fn no_proof() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "bad-origin",
        "with the session's cookie only the queen's own page may do this, and nothing says that it was its page: \
         the header Origin must equal Host, or Sec-Fetch-Site be same-origin; a program sends a token instead",
    )
}

pub(super) fn wrong_token() -> ApiError {
    unauthorized(
        "this queen does not know the token: it is mistyped, revoked or of another queen; \
         an admin makes a new one with `queen token add`",
    )
}

/// What stands before the token where it is offered as a WebSocket subprotocol.
const TOKEN_PROTOCOL: &str = "skep.token.";

/// The token in `Authorization`, as Bearer or as the password of Basic (for git). A page's script cannot give a
/// WebSocket that header, so it offers the token beside the subprotocol that it speaks.
fn presented(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        let offered = text(headers, header::SEC_WEBSOCKET_PROTOCOL).unwrap_or_default();
        let token = offered
            .split(',')
            .find_map(|one| one.trim().strip_prefix(TOKEN_PROTOCOL));
        return Ok(token.map(ToOwned::to_owned));
    };
    let bad = || {
        unauthorized(
            "the Authorization header cannot be read: send \"Bearer TOKEN\", or Basic with the token as password",
        )
    };
    let (scheme, rest) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(bad)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty() {
        return Ok(Some(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(bad());
    }
    STANDARD
        .decode(rest)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|pair| pair.split_once(':').map(|(_, password)| password.to_owned()))
        .filter(|password| !password.is_empty())
        .map(Some)
        .ok_or_else(bad)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A page under a name that somebody has pointed at this machine must not get in: only names of this machine do.
fn check_host(config: &Config, headers: &HeaderMap) -> Result<(), ApiError> {
    let host = text(headers, header::HOST).unwrap_or_default();
    let name = host_name(host);
    let public = config.public_url.as_deref().and_then(|url| url::Url::parse(url).ok());
    if is_loopback(name) || public.is_some_and(|url| url.host_str().is_some_and(|own| own.eq_ignore_ascii_case(name))) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "bad-host",
        format!(
            "without a token this queen answers only to names of its own machine, not to {host:?}: \
             use localhost, set the public URL, or send a token"
        ),
    ))
}

/// A page of another site must neither change anything nor listen. True if the browser says that it was the queen's own
/// page; a program says nothing.
fn check_origin(config: &Config, headers: &HeaderMap) -> Result<bool, ApiError> {
    // No script can set this header, and a proxy that changes Host leaves it alone.
    let site = text(headers, HeaderName::from_static("sec-fetch-site"));
    if site == Some("same-origin") {
        return Ok(true);
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        // "none" is somebody who typed the address.
        return match site {
            None | Some("none") => Ok(false),
            Some(_) => Err(bad_origin("another site")),
        };
    };
    let origin = origin.to_str().unwrap_or_default();
    let host = text(headers, header::HOST).unwrap_or_default();
    let same = origin
        .split_once("://")
        .is_some_and(|(scheme, rest)| matches!(scheme, "http" | "https") && !host.is_empty() && rest == host);
    let public = config.public_url.as_deref().and_then(|url| url::Url::parse(url).ok());
    if same || public.is_some_and(|url| url.origin().ascii_serialization() == origin) {
        return Ok(true);
    }
    Err(bad_origin(&format!("{origin:?}")))
}

fn bad_origin(who: &str) -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "bad-origin",
        format!("a page of {who} may not do this: open the queen's own page, or call the API from a program"),
    )
}

/// The name or address of a Host header, without its port.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or("", |(name, _)| name);
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
