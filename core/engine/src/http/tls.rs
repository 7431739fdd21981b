//! The certificate and key with which the server's own port speaks TLS.

use std::{error::Error, fmt, fs, io, path::Path, sync::Arc};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring},
};

/// A certificate chain with its private key. Cheap to clone.
///
/// TLS 1.2 and 1.3 are spoken, with the ciphers that `rustls` holds to be safe.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// Takes a certificate chain, the server's own certificate first, and its private key, both as PEM text.
    ///
    /// The key may be PKCS #8, PKCS #1 or SEC 1, and must not be encrypted.
    ///
    /// # Errors
    /// When one of the two holds no usable PEM section, or the key is not that of the certificate.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| TlsError::new("the certificate chain is no PEM", error))?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| TlsError::new("there is no plain private key in PEM", error))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| TlsError::new("certificate and key cannot be used", error))?;
        // A client that would rather have HTTP/2 is told at once that there is none.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// The same from files, read once.
    ///
    /// # Errors
    /// When a file cannot be read, and as [`from_pem`](Self::from_pem).
    pub fn from_pem_files(certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|error| TlsError::new(format!("cannot read {}", path.display()), error))
        };
        Self::from_pem(&read(certificates.as_ref())?, &read(key.as_ref())?)
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration holds the key.
        f.write_str("Tls")
    }
}

/// A certificate or key that cannot be used: the operator's mistake, found before the port is opened.
#[derive(Debug)]
pub struct TlsError {
    what: String,
    source: Box<dyn Error + Send + Sync>,
}

impl TlsError {
    fn new(what: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self { what: what.into(), source: Box::new(source) }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.source)
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};

    use super::*;

    fn self_signed() -> (String, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    fn refusal(certificates: &str, key: &str) -> String {
        Tls::from_pem(certificates.as_bytes(), key.as_bytes()).expect_err("it cannot be used").to_string()
    }

    #[test]
    fn a_certificate_with_its_key_is_taken() {
        let (certificate, key) = self_signed();
        let tls = Tls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(format!("{tls:?}"), "Tls", "the key is not shown");
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_cause() {
        let (certificate, key) = self_signed();
        let foreign = KeyPair::generate().unwrap().serialize_pem();
        assert!(refusal(&certificate, &foreign).starts_with("certificate and key cannot be used: "));
        assert!(refusal("", &key).starts_with("certificate and key cannot be used: "));
        assert!(refusal(&certificate, "").starts_with("there is no plain private key in PEM: "));
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        assert!(refusal(&certificate, &encrypted).starts_with("there is no plain private key in PEM: "));
        let broken = certificate.replace("-----END", "");
        assert!(refusal(&broken, &key).starts_with("the certificate chain is no PEM: "));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error =
            Tls::from_pem_files("absent/cert.pem", "absent/key.pem").expect_err("there is no such file");
        assert!(error.to_string().starts_with("cannot read absent/cert.pem: "), "{error}");
    }
}
