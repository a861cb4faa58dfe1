//! The key pair of the simulated GitHub App: the app signs with it, and the simulator verifies.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::DecodingKey;

const PKCS8: &str = "PRIVATE KEY";
const PKCS1: &str = "RSA PRIVATE KEY";

/// The RSA-2048 key pair of a GitHub App.
pub struct AppKey {
    private_key_pem: String,
    public_key_der: Vec<u8>,
}

/// Why the key is not available.
#[derive(Debug, thiserror::Error)]
pub enum AppKeyError {
    /// The system's random source or the RSA implementation failed.
    #[error("cannot generate an RSA-2048 key")]
    Generate(#[source] Unspecified),
    /// The key file cannot be read.
    #[error("cannot read the app's key from {path}")]
    Read {
        /// The key file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The key file does not contain an RSA private key in PEM.
    #[error("{path} is not an RSA private key in PEM (PKCS#8 or PKCS#1)")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why the key is invalid; `None` if the file is not valid PEM.
        source: Option<KeyRejected>,
    },
    /// The new key could not be stored.
    #[error("cannot store the app's key in {path}")]
    Write {
        /// The key file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl AppKey {
    /// Generates a new key.
    pub fn generate() -> Result<Self, AppKeyError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(AppKeyError::Generate)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(AppKeyError::Generate)?;
        Ok(Self {
            private_key_pem: pem(der.as_ref()),
            public_key_der: pair.public_key().as_ref().to_vec(),
        })
    }

    /// Loads the key at `path`. The first call generates and stores it, readable only by its owner.
    pub fn load_or_generate(path: &Path) -> Result<Self, AppKeyError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::from_pem(text).map_err(|source| AppKeyError::Malformed {
                path: path.to_owned(),
                source,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate()?;
                key.store(path).map_err(|source| AppKeyError::Write {
                    path: path.to_owned(),
                    source,
                })?;
                Ok(key)
            }
            Err(source) => Err(AppKeyError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// The private key in PEM (PKCS#8 for a generated key), as GitHub gives it to the app's owner.
    #[must_use]
    pub fn private_key_pem(&self) -> &str {
        &self.private_key_pem
    }

    /// The public key: a PKCS#1 `RSAPublicKey` in DER.
    #[must_use]
    pub fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }

    pub(crate) fn decoding_key(&self) -> DecodingKey {
        DecodingKey::from_rsa_der(&self.public_key_der)
    }

    fn from_pem(text: String) -> Result<Self, Option<KeyRejected>> {
        let pair = if let Some(der) = body(&text, PKCS8) {
            KeyPair::from_pkcs8(&der)
        } else {
            KeyPair::from_der(&body(&text, PKCS1).ok_or(None)?)
        }
        .map_err(Some)?;
        Ok(Self {
            private_key_pem: text,
            public_key_der: pair.public_key().as_ref().to_vec(),
        })
    }

    /// Stores the key atomically: after a kill the file is complete or absent.
    fn store(&self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let unfinished = path.with_extension("unfinished");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(self.private_key_pem.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    }
}

impl std::fmt::Debug for AppKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never log the private key.
        formatter.debug_struct("AppKey").finish_non_exhaustive()
    }
}

fn pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<&str> = (0..encoded.len())
        .step_by(64)
        .map(|start| &encoded[start..encoded.len().min(start + 64)])
        .collect();
    format!(
        "-----BEGIN {PKCS8}-----\n{}\n-----END {PKCS8}-----\n",
        lines.join("\n")
    )
}

fn body(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (encoded, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let encoded: String = encoded.split_ascii_whitespace().collect();
    STANDARD.decode(encoded).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_stored_key_is_private_and_loads_unchanged() {
        let path = std::env::temp_dir().join(format!("app-key-{}.pem", std::process::id()));
        let _ = fs::remove_file(&path);

        let first = AppKey::load_or_generate(&path).expect("a new key");
        let again = AppKey::load_or_generate(&path).expect("the stored key");

        assert_eq!(first.private_key_pem(), again.private_key_pem());
        assert_eq!(first.public_key_der(), again.public_key_der());
        let mode = fs::metadata(&path).expect("stored").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        fs::write(&path, "not a key").expect("overwritten");
        assert!(matches!(
            AppKey::load_or_generate(&path),
            Err(AppKeyError::Malformed { .. })
        ));
        fs::remove_file(&path).expect("removed");
    }

    #[test]
    fn debug_output_does_not_show_the_private_key() {
        let key = AppKey::generate().expect("a new key");
        assert_eq!(format!("{key:?}"), "AppKey { .. }");
    }
}
