//! Page cursors: a position, sealed together with the owner, the list and the query that it belongs to. A cursor that
//! was altered, or that is presented anywhere else, is refused before anything is read.

use std::fmt::Display;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{Timestamp, owner::Owner};
use hmac::{Hmac, Mac as _};
use outbound::secrets::{SecretName, SecretText, Secrets};
use sha2::Sha256;

use crate::problem::{Code, Problem};

/// The length of a seal, in bytes.
const SEAL: usize = 32;

/// Seals and opens cursors. The key comes from the secret store, which is asked once in five minutes, and only by
/// requests that page: admission does not depend on it.
#[derive(Clone, Debug)]
pub struct Cursors {
    secrets: Secrets,
    key: SecretName,
}

/// What a cursor is good for.
#[derive(Clone, Copy, Debug)]
pub struct Paging<'a> {
    /// Whose list.
    pub owner: &'a Owner,
    /// Which list.
    pub list: &'static str,
    /// The filters, in one canonical spelling. The length of a page is not among them: it may change on the way.
    pub query: &'a str,
}

impl Cursors {
    /// Cursors under this key.
    pub const fn new(secrets: Secrets, key: SecretName) -> Self {
        Self { secrets, key }
    }

    /// The cursor that continues behind `position`, if there is more.
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
        let key = self.secrets.read(&self.key, now).await?;
        let mut sealed = seal(&key, paging, &position)
            .finalize()
            .into_bytes()
            .to_vec();
        sealed.extend_from_slice(position.as_bytes());
        Ok(Some(URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// The position in a cursor, if there is one. A cursor must have been sealed for just this.
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
        let key = self.secrets.read(&self.key, now).await?;
        let opened = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| {
            let (tag, position) = bytes.split_at_checked(SEAL)?;
            let position = std::str::from_utf8(position).ok()?;
            // In constant time: a seal must not be found byte by byte.
            seal(&key, paging, position).verify_slice(tag).ok()?;
            parse(position)
        });
        match opened {
            Some(position) => Ok(Some(position)),
            None => Err(Problem::new(
                Code::InvalidCursor,
                "The cursor belongs to another list or was altered. Start again without one.",
            )),
        }
    }
}

fn seal(key: &SecretText, paging: Paging<'_>, position: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
        .expect("an HMAC takes keys of any length");
    let owner = paging.owner.to_string();
    for part in ["cursor 1", &owner, paging.list, paging.query, position] {
        // The length first, so that no two lists of parts read the same.
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac
}
