//! Serves the long-polling transport.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};

use crate::hub::{Hub, Session};
use crate::replies;

/// Separates the packets of one payload.
const RECORD_SEPARATOR: char = '\u{1e}';

/// Opens a session.
pub(crate) fn open(hub: &Hub) -> Response<Full<Bytes>> {
    text(replies::open_packet(&hub.open(true)))
}

/// Waits until there is something to send and sends everything there is.
pub(crate) async fn poll(session: &Session) -> Response<Full<Bytes>> {
    let mut waiting = session.waiting.lock().await;
    let mut payload = waiting.recv().await.map(|message| message.as_str().to_owned()).unwrap_or_default();
    while let Ok(message) = waiting.try_recv() {
        payload.push(RECORD_SEPARATOR);
        payload.push_str(&message);
    }
    text(payload)
}

/// Takes the packets of a POST.
pub(crate) async fn receive(
    hub: &Hub,
    session: &Session,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    for message in std::str::from_utf8(&body).unwrap_or_default().split(RECORD_SEPARATOR) {
        if let Some(reply) = replies::reply(hub, session, message) {
            let _ = session.outbox.send(reply);
        }
    }
    text("ok".to_owned())
}

fn text(body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    response
}
