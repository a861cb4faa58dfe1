//! The agent's sessions of an owner who is being erased.

use aws_sdk_dynamodb::{operation::update_item::UpdateItemError, types::ReturnValue};

use super::{ErasureError, Erasures, failed};
use crate::{
    analyses,
    cause::WriteError as _,
    findings,
    table::{Expression, Item, OwnerRow, n},
};
use domain::{analysis::SessionId, owner::Owner};

const ATTEMPTED: &str = "close an owner's analyses";

impl Erasures {
    /// Closes the owner's analyses, and returns the sessions that may be running. Repeated, it returns the same ones
    /// until the findings are deleted, so an interrupted erasure loses none.
    ///
    /// From then on no analysis takes a slot, and no launch in progress can record its session: its finding no longer
    /// shows its attempt. So each session is either returned here, or interrupted by the worker that launched it.
    pub async fn close_analyses(&self, owner: &Owner) -> Result<Vec<SessionId>, ErasureError> {
        let mut e = Expression::default();
        e.set(analyses::CLOSED, n(1));
        let row = OwnerRow::Analyses.key(owner);
        let after = self.update(row, &e, None, ReturnValue::AllNew).await?;
        let slots = after.as_ref().map(analyses::owner_analyses).transpose();
        let slots = slots.map_err(|error| failed(ATTEMPTED)(error.into()))?;
        let mut sessions = Vec::new();
        for finding in slots.unwrap_or_default().in_flight {
            let mut e = Expression::default();
            // Without this, the update would create the row of a deleted finding.
            let there = e.exists("digest");
            e.remove("analysis_attempt");
            let key = findings::key(owner, finding);
            let before = self
                .update(key, &e, Some(there), ReturnValue::AllOld)
                .await?;
            sessions.extend(before.iter().flat_map(analyses::sessions));
        }
        Ok(sessions)
    }

    /// Makes an update and returns the row, before or after it; `None` if the condition failed.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one update whose answer must show the row"
    )]
    async fn update(
        &self,
        key: Item,
        e: &Expression,
        condition: Option<String>,
        returned: ReturnValue,
    ) -> Result<Option<Item>, ErasureError> {
        let update = e.update();
        let values = (!e.values.is_empty()).then_some(&e.values);
        let write = || {
            self.table
                .client
                .update_item()
                .table_name(&self.table.name)
                .set_key(Some(key.clone()))
                .update_expression(&update)
                .set_condition_expression(condition.clone())
                .set_expression_attribute_names(Some(e.names.clone()))
                .set_expression_attribute_values(values.cloned())
                .return_values(returned.clone())
                .send()
        };
        match self.table.retry(write).await {
            Ok(written) => Ok(written.attributes),
            Err(error) => match error.into_service_error() {
                UpdateItemError::ConditionalCheckFailedException(_) => Ok(None),
                other => Err(failed(ATTEMPTED)(other.into_cause())),
            },
        }
    }
}
