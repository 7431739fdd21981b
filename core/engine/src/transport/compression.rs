//! Compression of polling bodies, by what the client says it accepts.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use http::HeaderValue;

use crate::runtime::runtime;

/// Encodes a body of at least `threshold` bytes as the client prefers, and names the encoding.
///
/// The body comes back as it was when the client accepts neither encoding, or likes its plain form better, or when
/// the encoded form would not be shorter, unless it is `always` wanted. It is encoded on a thread that is there for what takes time: even a short body
/// takes a fifth of a millisecond, which neither an I/O thread nor the host's has to spare.
pub(crate) async fn compress(
    accept_encoding: Option<&HeaderValue>,
    threshold: Option<usize>,
    always: bool,
    body: Bytes,
) -> (Bytes, Option<&'static str>) {
    let is_long = threshold.is_some_and(|threshold| body.len() >= threshold);
    let accepted = accept_encoding.filter(|_| is_long).and_then(|value| value.to_str().ok());
    let Some(encoding) = accepted.and_then(preferred) else { return (body, None) };
    let plain = body.clone();
    // Ends by itself. The caller may be polled by any executor, the host's own thread among them.
    let encoded = runtime().spawn_blocking(move || encoding.encode(&plain)).await;
    match encoded {
        Ok(Ok(encoded)) if always || encoded.len() < body.len() => {
            (Bytes::from(encoded), Some(encoding.name()))
        }
        _ => (body, None),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Gzip,
    /// What HTTP calls `deflate` is the zlib format.
    Deflate,
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    fn encode(self, body: &[u8]) -> io::Result<Vec<u8>> {
        // Text of events shrinks to less than half; a smaller buffer would only grow again.
        let output = Vec::with_capacity(body.len() / 2);
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(output, Compression::default());
                encoder.write_all(body)?;
                encoder.finish()
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(output, Compression::default());
                encoder.write_all(body)?;
                encoder.finish()
            }
        }
    }
}

/// The encoding with the highest quality, gzip before deflate; `None` when the plain form is as good or better liked.
fn preferred(accept_encoding: &str) -> Option<Encoding> {
    let of = |names: &[&str]| quality(accept_encoding, names);
    let star = of(&["*"]);
    let gzip = of(&["gzip", "x-gzip"]).or(star).unwrap_or(0);
    let deflate = of(&["deflate"]).or(star).unwrap_or(0);
    let best = if gzip >= deflate { (Encoding::Gzip, gzip) } else { (Encoding::Deflate, deflate) };
    // The plain form needs no mention to be accepted, but then it is liked least.
    let plain = of(&["identity"]).unwrap_or(0);
    (best.1 > 0 && best.1 >= plain).then_some(best.0)
}

/// The quality, in thousandths, that the header gives to the first of these names it has.
fn quality(accept_encoding: &str, names: &[&str]) -> Option<u16> {
    accept_encoding.split(',').find_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next()?;
        names.iter().any(|known| known.eq_ignore_ascii_case(name)).then(|| {
            parts
                .find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")))
                .map_or(1000, thousandths)
        })
    })
}

/// A quality from `0` to `1` with up to three decimals; what cannot be read is 0, so that doubt means the plain form.
fn thousandths(quality: &str) -> u16 {
    let (whole, decimals) = quality.trim().split_once('.').unwrap_or((quality.trim(), ""));
    let is_readable = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "1" if is_readable => 1000,
        "0" if is_readable => format!("{decimals:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::{GzDecoder, ZlibDecoder};

    use super::*;

    fn body() -> Bytes {
        Bytes::from(r#"42["message","the same words again"]"#.repeat(50))
    }

    /// Compresses on an executor of another make, as a host's is.
    fn compressed(
        accept_encoding: Option<&'static str>,
        threshold: Option<usize>,
        body: Bytes,
    ) -> (Bytes, Option<&'static str>) {
        let accept_encoding = accept_encoding.map(HeaderValue::from_static);
        let host = tokio::runtime::Builder::new_current_thread().build().unwrap();
        host.block_on(compress(accept_encoding.as_ref(), threshold, false, body))
    }

    fn chosen(accept_encoding: &'static str) -> Option<&'static str> {
        compressed(Some(accept_encoding), Some(1024), body()).1
    }

    #[test]
    fn a_gzip_body_is_inflated_to_what_it_was() {
        let (encoded, encoding) = compressed(Some("gzip, deflate, br"), Some(1024), body());
        assert_eq!(encoding, Some("gzip"));
        let mut plain = Vec::new();
        GzDecoder::new(&*encoded).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, body());
    }

    #[test]
    fn deflate_is_the_zlib_format() {
        let (encoded, encoding) = compressed(Some("deflate"), Some(1024), body());
        assert_eq!(encoding, Some("deflate"));
        let mut plain = Vec::new();
        ZlibDecoder::new(&*encoded).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, body());
    }

    #[test]
    fn qualities_decide() {
        assert_eq!(chosen("gzip;q=0, deflate"), Some("deflate"));
        assert_eq!(chosen("gzip;q=0.5, deflate;q=0.501"), Some("deflate"));
        assert_eq!(chosen("deflate, GZIP"), Some("gzip"));
        assert_eq!(chosen("gzip;q=0.000"), None);
        assert_eq!(chosen("gzip; Q=0.5 , identity;q=0.4"), Some("gzip"));
        assert_eq!(chosen("identity, gzip;q=0.9"), None);
    }

    #[test]
    fn a_star_stands_for_what_is_not_named() {
        assert_eq!(chosen("*"), Some("gzip"));
        assert_eq!(chosen("gzip;q=0, *;q=0.3"), Some("deflate"));
        assert_eq!(chosen("*;q=0"), None);
        assert_eq!(chosen("*;q=0, deflate"), Some("deflate"));
    }

    #[test]
    fn what_is_not_accepted_or_not_readable_is_sent_plain() {
        for header in ["", "br", "identity", "gzip;q=high", "gzip;q=2", "gzip;q=0.1234", ",;q=1"] {
            assert_eq!(compressed(Some(header), Some(1024), body()), (body(), None), "{header}");
        }
        assert_eq!(compressed(None, Some(1024), body()), (body(), None));
    }

    #[test]
    fn short_bodies_are_sent_plain() {
        let threshold = Some(body().len() + 1);
        assert_eq!(compressed(Some("gzip"), threshold, body()), (body(), None));
        assert_eq!(compressed(Some("gzip"), Some(body().len()), body()).1, Some("gzip"));
        assert_eq!(compressed(Some("gzip"), None, body()), (body(), None));
    }

    #[test]
    fn a_body_that_would_grow_is_sent_plain() {
        let noise = Bytes::from_static(b"6g\x1e9");
        assert_eq!(compressed(Some("gzip"), Some(0), noise.clone()), (noise, None));
    }
}
