//! Cross-origin rules: who may read the server's answers from a page of another origin.
//!
//! The headers are those of npm's `cors` package, which socket.io uses. They only bind browsers, and only for HTTP:
//! a page of any origin may open a WebSocket unless [`Cors::enforce`] refuses it.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, CONTENT_LENGTH, HOST, ORIGIN, VARY,
    },
};
use regex::Regex;

use crate::request::RequestHead;

/// The cross-origin rules of a server.
#[derive(Debug, Clone)]
pub struct Cors {
    /// Which origins may read answers. Default [`Origin::Any`].
    pub origin: Origin,
    /// What `Access-Control-Allow-Methods` says. Default `GET,HEAD,PUT,PATCH,POST,DELETE`.
    pub methods: String,
    /// The request headers a page may set. Default `None`: those it asks for. An empty list allows none beyond the
    /// safe ones.
    pub allowed_headers: Option<Vec<String>>,
    /// The response headers a page may read beyond the safe ones. Default: none.
    pub exposed_headers: Vec<String>,
    /// Whether a page may send cookies. Default `false`. Browsers take it only with an origin that is named, so not
    /// together with [`Origin::Any`].
    pub credentials: bool,
    /// For how many seconds a browser may keep the answer to a preflight. Default `None`: as long as it likes.
    pub max_age: Option<u32>,
    /// The status that answers a preflight. Default 204. From 200 to 599; some old browsers want 200.
    pub options_success_status: u16,
    /// Whether a preflight is handled like any other request, with the headers added. Default `false`: it is answered
    /// here.
    pub preflight_continue: bool,
    /// Whether a request that names an origin which is not allowed is refused, be it HTTP or WebSocket.
    ///
    /// Default `false`, as in socket.io: browsers alone enforce the rules, and only for HTTP. `true` is
    /// python-socketio's way and keeps pages of other origins from using a visitor's cookies over a WebSocket.
    /// Requests without an `Origin` header do not come from pages and are served.
    pub enforce: bool,
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            origin: Origin::default(),
            methods: "GET,HEAD,PUT,PATCH,POST,DELETE".to_owned(),
            allowed_headers: None,
            exposed_headers: Vec::new(),
            credentials: false,
            max_age: None,
            options_success_status: 204,
            preflight_continue: false,
            enforce: false,
        }
    }
}

/// Which origins may read answers.
#[derive(Debug, Clone, Default)]
pub enum Origin {
    /// Every origin, told by `*`.
    #[default]
    Any,
    /// Every origin, told by its own name.
    Reflect,
    /// This one, told to everybody, whoever asks.
    Fixed(String),
    /// Those that match one of the patterns, told by their own name.
    List(Vec<OriginPattern>),
    /// The origin of the server itself: the request's scheme and `Host`, or what a proxy says of them in
    /// `X-Forwarded-Proto` and `X-Forwarded-Host`.
    SameHost,
    /// The layer is asked, by [`Layer::origin`](crate::Layer::origin), once for a session.
    Host,
    /// No header is sent, none is checked and preflights are not answered.
    None,
}

/// One entry of [`Origin::List`].
#[derive(Debug, Clone)]
pub enum OriginPattern {
    /// This very origin, such as `https://example.com`.
    Exact(String),
    /// Every origin in which the expression matches somewhere; anchor it with `^` and `$`.
    Pattern(Regex),
}

/// What a layer says to [`Layer::origin`](crate::Layer::origin).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginDecision {
    /// The request's own origin is allowed, and told by its name.
    Reflect,
    /// Every origin is allowed, told by `*`.
    Any,
    /// This origin is allowed, whoever asks.
    Fixed(String),
    /// Nobody is: no header is sent and a preflight is handled like any other request.
    Refused,
}

/// The rule for one request, once the host was asked.
enum Rule<'a> {
    Off,
    Any,
    Fixed(&'a str),
    /// Whether the request's own origin is allowed.
    Own(bool),
}

impl Cors {
    /// Whether the host's decision is needed for each request.
    pub(crate) fn needs_host(&self) -> bool {
        matches!(self.origin, Origin::Host)
    }

    /// Whether the request may be served at all. To be asked before [`preflight`](Self::preflight).
    ///
    /// `decision` is the host's; it is looked at only with [`Origin::Host`], where its absence is a refusal.
    pub(crate) fn allows(&self, head: &RequestHead, decision: Option<&OriginDecision>) -> bool {
        let Some(origin) = head.headers.get(ORIGIN).filter(|_| self.enforce) else { return true };
        match self.rule(head, decision) {
            Rule::Any => true,
            Rule::Own(is_allowed) => is_allowed,
            Rule::Fixed(fixed) => origin.as_bytes() == fixed.as_bytes(),
            Rule::Off => matches!(self.origin, Origin::None),
        }
    }

    /// Adds what belongs to the answer to this request. Headers that the answer has already stay.
    pub(crate) fn apply(
        &self,
        head: &RequestHead,
        decision: Option<&OriginDecision>,
        headers: &mut HeaderMap,
    ) {
        match self.rule(head, decision) {
            Rule::Off => return,
            Rule::Any => set(headers, ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            Rule::Fixed(origin) => {
                set(headers, ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                vary(headers, "Origin");
            }
            Rule::Own(is_allowed) => {
                if let Some(origin) = head.headers.get(ORIGIN).filter(|_| is_allowed) {
                    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                }
                vary(headers, "Origin");
            }
        }
        if self.credentials {
            set(headers, ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        }
        if head.method == Method::OPTIONS {
            self.apply_preflight(head, headers);
        }
        set_list(headers, ACCESS_CONTROL_EXPOSE_HEADERS, &self.exposed_headers);
    }

    fn apply_preflight(&self, head: &RequestHead, headers: &mut HeaderMap) {
        set(headers, ACCESS_CONTROL_ALLOW_METHODS, &self.methods);
        match (&self.allowed_headers, head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS)) {
            (Some(allowed), _) => set_list(headers, ACCESS_CONTROL_ALLOW_HEADERS, allowed),
            (None, asked) => {
                vary(headers, "Access-Control-Request-Headers");
                if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
                    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
                }
            }
        }
        if let Some(max_age) = self.max_age {
            headers.insert(ACCESS_CONTROL_MAX_AGE, max_age.into());
        }
    }

    /// The whole answer to a preflight; `None` when the request is to be handled like any other.
    pub(crate) fn preflight(
        &self,
        head: &RequestHead,
        decision: Option<&OriginDecision>,
    ) -> Option<Response<Bytes>> {
        let is_off = matches!(self.rule(head, decision), Rule::Off);
        if head.method != Method::OPTIONS || self.preflight_continue || is_off {
            return None;
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() =
            StatusCode::from_u16(self.options_success_status).unwrap_or(StatusCode::NO_CONTENT);
        self.apply(head, decision, response.headers_mut());
        // Safari waits for a body for ever without it, also with status 204.
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        Some(response)
    }

    fn rule<'a>(&'a self, head: &RequestHead, decision: Option<&'a OriginDecision>) -> Rule<'a> {
        match &self.origin {
            Origin::Any => Rule::Any,
            Origin::Reflect => Rule::Own(true),
            Origin::Fixed(origin) => Rule::Fixed(origin),
            Origin::List(patterns) => Rule::Own(is_listed(head, patterns)),
            Origin::SameHost => Rule::Own(is_same_host(head)),
            Origin::None => Rule::Off,
            Origin::Host => match decision {
                Some(OriginDecision::Reflect) => Rule::Own(true),
                Some(OriginDecision::Any) => Rule::Any,
                Some(OriginDecision::Fixed(origin)) => Rule::Fixed(origin),
                Some(OriginDecision::Refused) | None => Rule::Off,
            },
        }
    }

    /// Checks every option against its bounds; `check` takes whether it is in them, its name, the bound and the value.
    pub(crate) fn validate<E>(
        &self,
        check: impl Fn(bool, &'static str, &str, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        let text = |option, value: &str| {
            check(HeaderValue::from_str(value).is_ok(), option, "text that an HTTP header can hold", value)
        };
        match &self.origin {
            Origin::Fixed(origin) => text("cors.origin", origin)?,
            Origin::List(patterns) => {
                for pattern in patterns {
                    if let OriginPattern::Exact(origin) = pattern {
                        text("cors.origin", origin)?;
                    }
                }
            }
            _ => {}
        }
        text("cors.methods", &self.methods)?;
        for name in self.allowed_headers.iter().flatten() {
            text("cors.allowed_headers", name)?;
        }
        for name in &self.exposed_headers {
            text("cors.exposed_headers", name)?;
        }
        let status = self.options_success_status;
        let is_valid = (200..600).contains(&status);
        check(is_valid, "cors.options_success_status", "from 200 to 599", &status.to_string())
    }
}

fn is_listed(head: &RequestHead, patterns: &[OriginPattern]) -> bool {
    let Some(origin) = head.header(ORIGIN) else { return false };
    patterns.iter().any(|pattern| match pattern {
        OriginPattern::Exact(exact) => exact == origin,
        OriginPattern::Pattern(regex) => regex.is_match(origin),
    })
}

fn is_same_host(head: &RequestHead) -> bool {
    let (Some(origin), Some(host)) = (head.header(ORIGIN), head.header(HOST)) else { return false };
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let is = |own_scheme: &str, own_host: &str| {
        scheme.eq_ignore_ascii_case(own_scheme) && authority.eq_ignore_ascii_case(own_host)
    };
    let own_scheme = if head.secure { "https" } else { "http" };
    // Behind several proxies the first entry is what the client saw.
    let forwarded = |name| head.header(name).map(|list| list.split(',').next().unwrap_or_default().trim());
    is(own_scheme, host)
        || is(
            forwarded("x-forwarded-proto").unwrap_or(own_scheme),
            forwarded("x-forwarded-host").unwrap_or(host),
        )
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    } else {
        // Options were checked; the host's decision about one request was not.
        tracing::warn!(%name, value, "the cross-origin decision is no header value");
    }
}

fn set_list(headers: &mut HeaderMap, name: HeaderName, values: &[String]) {
    if !values.is_empty() {
        set(headers, name, &values.join(","));
    }
}

/// Adds a field to `Vary`, unless it is there.
fn vary(headers: &mut HeaderMap, field: &'static str) {
    let present = headers.get(VARY).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut fields = present.split(',').map(str::trim);
    if fields.any(|present| present == "*" || present.eq_ignore_ascii_case(field)) {
        return;
    }
    let joined = if present.is_empty() { field.to_owned() } else { format!("{present}, {field}") };
    set(headers, VARY, &joined);
}

#[cfg(test)]
mod tests;
