//! Receipt handles: each proves one receive of one message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use uuid::Uuid;

use crate::error::{Code, Error};
use crate::store::{MessageRow, QueueId};

/// Opaque to receivers. The token distinguishes the receives of the same message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receipt {
    pub(crate) queue: QueueId,
    pub(crate) message: MessageRow,
    pub(crate) token: Uuid,
}

impl Receipt {
    pub(crate) fn handle(&self) -> String {
        let (QueueId(queue), MessageRow(message)) = (self.queue, self.message);
        BASE64.encode(format!("{queue} {message} {}", self.token))
    }

    /// Refuses a handle of another queue like an invented one.
    pub(crate) fn parse(handle: &str, queue: QueueId) -> Result<Self, Error> {
        if handle.is_empty() {
            return Err(Error::missing("ReceiptHandle"));
        }
        Self::decode(handle)
            .filter(|receipt| receipt.queue == queue)
            .ok_or_else(|| {
                Error::refused(
                    Code::ReceiptHandleIsInvalid,
                    format!("The input receipt handle \"{handle}\" is not a valid receipt handle."),
                )
            })
    }

    fn decode(handle: &str) -> Option<Self> {
        let plain = String::from_utf8(BASE64.decode(handle).ok()?).ok()?;
        let mut parts = plain.split(' ');
        let receipt = Self {
            queue: QueueId(parts.next()?.parse().ok()?),
            message: MessageRow(parts.next()?.parse().ok()?),
            token: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(receipt)
    }
}
