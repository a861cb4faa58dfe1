//! Functions that run on a schedule.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tracing::warn;
use uuid::Uuid;

use crate::functions::{Functions, InvokeError, THROTTLED};
use crate::template::{Place, Schedule};

/// The schedules, by the function that they run.
#[derive(Debug)]
pub struct Schedules {
    schedules: BTreeMap<String, Schedule>,
    place: Place,
    functions: Arc<Functions>,
}

impl Schedules {
    /// Creates the schedules; runs none yet.
    pub fn new(schedules: &[Schedule], place: Place, functions: Arc<Functions>) -> Self {
        let schedules = schedules
            .iter()
            .map(|schedule| (schedule.function.clone(), schedule.clone()))
            .collect();
        Self {
            schedules,
            place,
            functions,
        }
    }

    /// Runs a function's schedule now. Returns `None` if the function has none.
    pub async fn run(&self, function: &str) -> Option<Result<Bytes, InvokeError>> {
        let schedule = self.schedules.get(function)?;
        let payload = match &schedule.input {
            Some(input) => Bytes::from(input.clone()),
            None => self.payload(schedule),
        };
        Some(self.invoke(schedule, payload).await)
    }

    /// Invokes asynchronously, as EventBridge Scheduler does: Lambda repeats a throttled invocation until the event is
    /// too old.
    async fn invoke(&self, schedule: &Schedule, payload: Bytes) -> Result<Bytes, InvokeError> {
        let too_old = Instant::now() + schedule.maximum_age;
        let mut tries = 0;
        loop {
            let invoked = self
                .functions
                .invoke(&schedule.function, payload.clone())
                .await;
            tries += 1;
            let again = Instant::now() + THROTTLED.after(tries);
            match invoked {
                Err(InvokeError::Throttled { .. }) if again < too_old => sleep_until(again).await,
                Err(error @ InvokeError::Throttled { .. }) => {
                    warn!(
                        function = schedule.function,
                        "the scheduled run is missed: {error}"
                    );
                    return Err(error);
                }
                invoked => return invoked,
            }
        }
    }

    /// Runs every schedule at its rate until the task is aborted.
    pub async fn run_by_the_clock(self: Arc<Self>) {
        let timers = self.schedules.iter().map(|(function, schedule)| {
            let schedules = Arc::clone(&self);
            async move {
                let mut timer = interval_at(Instant::now() + schedule.period, schedule.period);
                timer.set_missed_tick_behavior(MissedTickBehavior::Skip);
                loop {
                    timer.tick().await;
                    // A failure is logged where it happened; the next tick runs the function again.
                    let _ = schedules.run(function).await;
                }
            }
        });
        futures::future::join_all(timers).await;
    }

    /// EventBridge Scheduler's event for a schedule without its own input.
    fn payload(&self, schedule: &Schedule) -> Bytes {
        let name = format!("schedule/default/{}", schedule.name);
        let payload = json!({
            "version": "0",
            "id": Uuid::new_v4(),
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "account": self.place.account,
            "time": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": self.place.region,
            "resources": [self.place.arn("scheduler", &name)],
            "detail": "{}",
        });
        Bytes::from(payload.to_string())
    }
}
