//! The files of the browser's client, on a port of the core's own: what `serve-client.ts` is elsewhere.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use bytes::Bytes;
use ferrio::{Config, Cors, Origin, RequestHead, Responder};
use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL,
        CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, ORIGIN, VARY,
    },
};

/// The files that are served; each has a source map beside it.
const NAMES: [&str; 8] = [
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
];

/// The files, each read when it is first asked for and then kept.
pub(crate) struct ClientFiles {
    base: String,
    folder: PathBuf,
    tag: String,
    cors: Option<Cors>,
    files: [OnceLock<File>; NAMES.len()],
}

struct File {
    plain: Bytes,
    compressed: Bytes,
}

impl File {
    fn read(path: &Path) -> io::Result<Self> {
        let plain = Bytes::from(fs::read(path)?);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&plain)?;
        Ok(Self { compressed: Bytes::from(encoder.finish()?), plain })
    }
}

impl ClientFiles {
    pub(crate) fn new(config: &Config, folder: String, version: &str) -> Self {
        Self {
            base: format!("{}/", config.engine.path.trim_end_matches('/')),
            folder: folder.into(),
            tag: format!("\"{version}\""),
            cors: config.engine.cors.clone(),
            files: Default::default(),
        }
    }

    /// The answer to a request for one of the files, `None` when it is for something else.
    fn respond(&self, head: &RequestHead) -> Option<Response<Bytes>> {
        let name = head.uri.path().strip_prefix(&self.base)?;
        let idx = NAMES.iter().position(|known| *known == name).filter(|_| head.method != Method::OPTIONS)?;
        Some(self.serve(idx, head).unwrap_or_else(not_found))
    }

    /// Answers requests for the files.
    pub(crate) fn responder(self) -> Responder {
        let paths: Vec<_> = NAMES.iter().map(|name| format!("{}{name}", self.base)).collect();
        Responder::new(paths, move |head| self.respond(head))
    }

    fn serve(&self, idx: usize, head: &RequestHead) -> Option<Response<Bytes>> {
        let mut response = Response::new(Bytes::new());
        self.allow_origin(head, &mut response);
        let known = head.header(IF_NONE_MATCH).unwrap_or_default();
        if known.strip_prefix("W/").unwrap_or(known) == self.tag {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Some(response);
        }
        let file = self.file(idx)?;
        let is_map = NAMES[idx].strip_suffix(".map").is_some();
        let kind =
            if is_map { "application/json; charset=utf-8" } else { "application/javascript; charset=utf-8" };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=0"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(ETAG, HeaderValue::from_str(&self.tag).ok()?);
        if accepts_gzip(head) {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            *response.body_mut() = file.compressed.clone();
        } else {
            *response.body_mut() = file.plain.clone();
        }
        Some(response)
    }

    fn file(&self, idx: usize) -> Option<&File> {
        if let Some(file) = self.files[idx].get() {
            return Some(file);
        }
        let file = File::read(&self.folder.join(NAMES[idx])).ok()?;
        Some(self.files[idx].get_or_init(|| file))
    }

    fn allow_origin(&self, head: &RequestHead, response: &mut Response<Bytes>) {
        let Some(cors) = &self.cors else { return };
        let own = head.headers.get(ORIGIN);
        let allowed = match &cors.origin {
            Origin::Any => Some(HeaderValue::from_static("*")),
            Origin::Fixed(origin) => HeaderValue::from_str(origin).ok(),
            Origin::Reflect => own.cloned(),
            Origin::List(origins) => own.filter(|own| is_listed(own, origins)).cloned(),
            _ => None,
        };
        let headers = response.headers_mut();
        if !matches!(cors.origin, Origin::Any | Origin::None) {
            headers.insert(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(allowed) = allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        }
        if cors.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

fn not_found() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"Not found"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn is_listed(own: &HeaderValue, origins: &[String]) -> bool {
    origins.iter().any(|origin| own.as_bytes() == origin.as_bytes())
}

/// Whether a client takes gzip, by its name or as anything.
fn accepts_gzip(head: &RequestHead) -> bool {
    let accepted = head.header(ACCEPT_ENCODING).unwrap_or_default();
    let weight_of = |wanted: &str| {
        accepted.split(',').find_map(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let is_wanted = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
            let mut weights = parts.filter_map(|parameter| parameter.strip_prefix("q="));
            is_wanted.then(|| weights.next().map_or(1.0, |weight| weight.parse::<f32>().unwrap_or(0.0)))
        })
    };
    weight_of("gzip").or_else(|| weight_of("*")).is_some_and(|weight| weight > 0.0)
}
