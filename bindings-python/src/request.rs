//! Requests: from an ASGI scope or the bytes of a head to the core, and back to the environment of a handler.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use ferrio::{OriginDecision, RequestHead};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri};
use pyo3::{
    exceptions::PyValueError,
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyString, PyTuple},
};

/// The head of a request, from its ASGI scope.
fn from_any_scope(scope: &Bound<'_, PyDict>) -> PyResult<RequestHead> {
    let py = scope.py();
    let method = match scope.get_item(intern!(py, "method"))? {
        Some(method) => Method::from_bytes(method.extract::<&str>()?.as_bytes()).map_err(invalid)?,
        None => Method::GET,
    };
    let mut headers = HeaderMap::new();
    if let Some(list) = scope.get_item(intern!(py, "headers"))? {
        for pair in list.try_iter()? {
            // A tuple or a list: the specification asks for any iterable of two.
            let pair = pair?;
            let (name, value) = (pair.get_item(0)?, pair.get_item(1)?);
            add_header(&mut headers, bytes_of(&name)?, bytes_of(&value)?)?;
        }
    }
    let client = scope.get_item(intern!(py, "client"))?;
    let scheme =
        scope.get_item(intern!(py, "scheme"))?.map(|scheme| scheme.extract::<String>()).transpose()?;
    let mut head = RequestHead::new(method, uri(scope)?, headers, client.and_then(|client| peer(&client)));
    head.secure = matches!(scheme.as_deref(), Some("https" | "wss"));
    Ok(head)
}

/// The head of a request that is answered through ASGI: its scope goes with it.
pub(crate) fn from_scope(scope: &Bound<'_, PyDict>) -> PyResult<RequestHead> {
    let mut head = from_any_scope(scope)?;
    head.extensions.insert(Scope(Arc::new(scope.clone().unbind())));
    Ok(head)
}

/// The head of a request whose connection is taken over. It stays for as long as the connection, and so does what is
/// `kept` of its scope; the rest is made anew for those who ask for it.
pub(crate) fn from_adopted_scope(
    scope: &Bound<'_, PyDict>,
    kept: Option<Py<PyDict>>,
) -> PyResult<RequestHead> {
    let mut head = from_any_scope(scope)?;
    if let Some(kept) = kept {
        head.extensions.insert(Kept(Arc::new(kept)));
    }
    Ok(head)
}

/// Who the client is, as far as the server says: the specification asks for a host and a port, but some servers write the
/// port as text, or have none.
fn peer(client: &Bound<'_, PyAny>) -> Option<SocketAddr> {
    let host = client.get_item(0).ok()?.extract::<String>().ok()?;
    let port = client.get_item(1).ok()?;
    let port = port.extract::<u16>().ok().or_else(|| port.extract::<String>().ok()?.parse().ok());
    address(Some((host, port.unwrap_or(0))))
}

/// The scope itself, which goes with the request through the core.
#[derive(Clone)]
struct Scope(Arc<Py<PyDict>>);

/// What is left of the scope of a connection that was taken over.
#[derive(Clone)]
struct Kept(Arc<Py<PyDict>>);

fn address(client: Option<(String, u16)>) -> Option<SocketAddr> {
    let (host, port) = client?;
    Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, port))
}

fn uri(scope: &Bound<'_, PyDict>) -> PyResult<Uri> {
    let py = scope.py();
    let raw = scope.get_item(intern!(py, "raw_path"))?.filter(|raw| !raw.is_none());
    let mut target = if let Some(raw) = raw {
        raw.extract::<Vec<u8>>()?
    } else {
        let path = scope.get_item(intern!(py, "path"))?;
        let quoted = py.import(intern!(py, "urllib.parse"))?.call_method1(intern!(py, "quote"), (path,))?;
        quoted.extract::<String>()?.into_bytes()
    };
    if let Some(query) = scope.get_item(intern!(py, "query_string"))?.filter(|query| !query.is_none()) {
        let query = query.extract::<Vec<u8>>()?;
        if !query.is_empty() {
            // Some servers leave the query on the raw path.
            target.truncate(target.iter().position(|&byte| byte == b'?').unwrap_or(target.len()));
            target.push(b'?');
            target.extend_from_slice(&query);
        }
    }
    Uri::try_from(target).map_err(invalid)
}

/// The head of a request as uvicorn's HTTP protocols hand it to a WebSocket protocol: already checked and rewritten.
pub(crate) fn from_bytes(text: &[u8], remote: Option<(String, u16)>) -> PyResult<RequestHead> {
    let text = text.strip_suffix(b"\r\n\r\n").unwrap_or(text);
    let mut lines = text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut first = lines.next().unwrap_or_default().split(|&byte| byte == b' ');
    let method = Method::from_bytes(first.next().unwrap_or_default()).map_err(invalid)?;
    let uri = Uri::try_from(first.next().unwrap_or_default()).map_err(invalid)?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let colon = line.iter().position(|&byte| byte == b':');
        let colon = colon.ok_or_else(|| PyValueError::new_err("a header without a colon"))?;
        add_header(&mut headers, &line[..colon], line[colon + 1..].trim_ascii())?;
    }
    Ok(RequestHead::new(method, uri, headers, address(remote)))
}

fn add_header(headers: &mut HeaderMap, name: &[u8], value: &[u8]) -> PyResult<()> {
    let name = HeaderName::from_bytes(name).map_err(invalid)?;
    headers.append(name, HeaderValue::from_bytes(value).map_err(invalid)?);
    Ok(())
}

fn bytes_of<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<&'a [u8]> {
    Ok(value.cast::<PyBytes>()?.as_bytes())
}

fn invalid(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// What an application's rule about origins comes to.
pub(crate) fn origin_decision(is_allowed: bool) -> OriginDecision {
    if is_allowed { OriginDecision::Reflect } else { OriginDecision::Refused }
}

/// A response as `(status, headers, body)`.
pub(crate) fn response<'py>(py: Python<'py>, response: &Response<Bytes>) -> PyResult<Bound<'py, PyAny>> {
    let headers = PyList::empty(py);
    for (name, value) in response.headers() {
        headers.append((PyBytes::new(py, name.as_str().as_bytes()), PyBytes::new(py, value.as_bytes())))?;
    }
    let body = PyBytes::new(py, response.body());
    Ok((response.status().as_u16(), headers, body).into_pyobject(py)?.into_any())
}

/// The request that opened a session, for those who look at it.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Handshake(pub(crate) Arc<ferrio::Handshake>);

#[pymethods]
impl Handshake {
    /// Writes the request's WSGI environment into a dictionary.
    fn fill(&self, environ: &Bound<'_, PyDict>) -> PyResult<()> {
        fill(environ, &self.0.head)
    }

    /// When the session was opened, in seconds since 1970.
    #[getter]
    fn issued(&self) -> f64 {
        self.0.issued.duration_since(std::time::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
    }
}

/// A request's WSGI environment.
pub(crate) fn environ<'py>(py: Python<'py>, head: &RequestHead) -> PyResult<Bound<'py, PyDict>> {
    let environ = PyDict::new(py);
    fill(&environ, head)?;
    Ok(environ)
}

fn fill(environ: &Bound<'_, PyDict>, head: &RequestHead) -> PyResult<()> {
    let py = environ.py();
    let path = decoded(py, head.uri.path())?;
    let query = head.uri.query().unwrap_or_default();
    let (address, port) = head.remote.map_or_else(
        || ("127.0.0.1".to_owned(), "0".to_owned()),
        |remote| (remote.ip().to_string(), remote.port().to_string()),
    );
    let scheme = head.header("x-forwarded-proto").unwrap_or(if head.secure { "https" } else { "http" });
    environ.set_item(intern!(py, "REQUEST_METHOD"), head.method.as_str())?;
    environ.set_item(intern!(py, "SCRIPT_NAME"), "")?;
    environ.set_item(intern!(py, "PATH_INFO"), &path)?;
    environ.set_item(intern!(py, "QUERY_STRING"), query)?;
    environ.set_item(intern!(py, "RAW_URI"), head.uri.to_string())?;
    environ.set_item(intern!(py, "SERVER_PROTOCOL"), "HTTP/1.1")?;
    environ.set_item(intern!(py, "SERVER_SOFTWARE"), "ferrio")?;
    environ.set_item(intern!(py, "SERVER_NAME"), "ferrio")?;
    environ.set_item(intern!(py, "SERVER_PORT"), "0")?;
    environ.set_item(intern!(py, "REMOTE_ADDR"), address)?;
    environ.set_item(intern!(py, "REMOTE_PORT"), port)?;
    environ.set_item(intern!(py, "wsgi.url_scheme"), scheme)?;
    for name in head.headers.keys() {
        let values = head.headers.get_all(name).iter();
        let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let key = match name.as_str() {
            "content-type" => "CONTENT_TYPE".to_owned(),
            "content-length" => "CONTENT_LENGTH".to_owned(),
            other => format!("HTTP_{}", other.to_ascii_uppercase().replace('-', "_")),
        };
        // Not interned: from Python 3.12 on that is for ever, and clients choose the names.
        environ.set_item(&key, values.join(","))?;
    }
    let scope = match head.extensions.get::<Scope>() {
        Some(Scope(scope)) => scope.bind(py).clone(),
        None => scope(&path, head)?,
    };
    if let Some(Kept(kept)) = head.extensions.get() {
        scope.update(kept.bind(py).as_mapping())?;
    }
    environ.set_item(intern!(py, "asgi.scope"), scope)
}

/// The ASGI scope that the request would have had.
fn scope<'py>(path: &Bound<'py, PyAny>, head: &RequestHead) -> PyResult<Bound<'py, PyDict>> {
    let py = path.py();
    let is_websocket = head.headers.contains_key("sec-websocket-key");
    let scheme = match (is_websocket, head.secure) {
        (true, true) => "wss",
        (true, false) => "ws",
        (false, true) => "https",
        (false, false) => "http",
    };
    let headers = PyList::empty(py);
    for (name, value) in &head.headers {
        headers.append((PyBytes::new(py, name.as_str().as_bytes()), PyBytes::new(py, value.as_bytes())))?;
    }
    let asgi = PyDict::new(py);
    asgi.set_item("version", "3.0")?;
    asgi.set_item("spec_version", "2.3")?;
    let scope = PyDict::new(py);
    scope.set_item("type", if is_websocket { "websocket" } else { "http" })?;
    scope.set_item("asgi", asgi)?;
    scope.set_item("http_version", "1.1")?;
    scope.set_item("method", head.method.as_str())?;
    scope.set_item("scheme", scheme)?;
    scope.set_item("path", path)?;
    scope.set_item("raw_path", PyBytes::new(py, head.uri.path().as_bytes()))?;
    scope.set_item("query_string", PyBytes::new(py, head.uri.query().unwrap_or_default().as_bytes()))?;
    scope.set_item("root_path", "")?;
    scope.set_item("headers", headers)?;
    scope.set_item("client", head.remote.map(|remote| (remote.ip().to_string(), remote.port())))?;
    scope.set_item("server", None::<(String, u16)>)?;
    Ok(scope)
}

fn decoded<'py>(py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyAny>> {
    let path = PyString::new(py, path);
    if !path.contains("%")? {
        return Ok(path.into_any());
    }
    py.import(intern!(py, "urllib.parse"))?.call_method1(intern!(py, "unquote"), PyTuple::new(py, [path])?)
}
