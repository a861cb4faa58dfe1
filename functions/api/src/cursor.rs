//! Page cursors: a position, sealed with an HMAC over its owner, list and query. A cursor that was altered, or that is
//! used for another list, is refused before the list is read.

use std::fmt::Display;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{Timestamp, owner::Owner};
use hmac::{Hmac, Mac as _};
use outbound::secrets::{SecretError, SecretName, SecretText, Secrets};
use sha2::Sha256;

use crate::problem::{Code, Problem};

/// The length of the HMAC, in bytes.
const SEAL: usize = 32;
/// The shortest key, in bytes: as long as the HMAC (RFC 2104, section 3).
const SHORTEST_KEY: usize = 32;

/// The key cannot be used. Names the secret, never its value.
#[derive(Debug, thiserror::Error)]
pub enum CursorKeyError {
    /// Secrets Manager did not give it.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It could be guessed.
    #[error(
        "CURSOR_KEY_SECRET: secret {name} must have at least {SHORTEST_KEY} bytes; no page cursor is made or read until \
         it has"
    )]
    TooShort {
        /// The secret.
        name: SecretName,
    },
}

/// Seals and opens cursors. The key is read from the secret store once in five minutes, and only by requests with
/// pages: admission does not depend on it.
#[derive(Clone, Debug)]
pub struct Cursors {
    secrets: Secrets,
    key: SecretName,
}

/// What a cursor is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Paging<'a> {
    /// The list's owner.
    pub owner: &'a Owner,
    /// The list.
    pub list: &'static str,
    /// The filters, in canonical form. Without the page's length, which may change from page to page.
    pub query: &'a str,
}

impl Cursors {
    /// Uses the key of this name.
    pub const fn new(secrets: Secrets, key: SecretName) -> Self {
        Self { secrets, key }
    }

    async fn key(&self, now: Timestamp) -> Result<SecretText, CursorKeyError> {
        let key = self.secrets.read(&self.key, now).await?;
        if key.expose().len() < SHORTEST_KEY {
            let name = self.key.clone();
            return Err(CursorKeyError::TooShort { name });
        }
        Ok(key)
    }

    /// Returns the cursor of the page after `position`, if there is one.
    pub async fn seal(
        &self,
        paging: Paging<'_>,
        position: Option<impl Display>,
        now: Timestamp,
    ) -> Result<Option<String>, Problem> {
        let Some(position) = position else {
            return Ok(None);
        };
        let position = position.to_string();
        let key = self.key(now).await?;
        let mut sealed = seal(&key, paging, &position)
            .finalize()
            .into_bytes()
            .to_vec();
        sealed.extend_from_slice(position.as_bytes());
        Ok(Some(URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Returns the position in a cursor, if there is one. Refuses a cursor that was sealed for another `paging`.
    pub async fn open<T>(
        &self,
        paging: Paging<'_>,
        cursor: Option<String>,
        parse: impl FnOnce(&str) -> Option<T>,
        now: Timestamp,
    ) -> Result<Option<T>, Problem> {
        let Some(cursor) = cursor else {
            return Ok(None);
        };
        let key = self.key(now).await?;
        let opened = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| {
            let (tag, position) = bytes.split_at_checked(SEAL)?;
            let position = std::str::from_utf8(position).ok()?;
            // In constant time, so that an attacker cannot find an HMAC byte by byte.
            seal(&key, paging, position).verify_slice(tag).ok()?;
            parse(position)
        });
        match opened {
            Some(position) => Ok(Some(position)),
            None => Err(Problem::new(
                Code::InvalidCursor,
                "The cursor belongs to another list or was altered. Start again without a cursor.",
            )),
        }
    }
}

fn seal(key: &SecretText, paging: Paging<'_>, position: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
        .expect("an HMAC takes keys of any length");
    let owner = paging.owner.to_string();
    for part in ["cursor 1", &owner, paging.list, paging.query, position] {
        // Length first, so that no two lists of parts produce the same bytes.
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac
}
