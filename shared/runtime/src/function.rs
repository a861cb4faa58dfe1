//! What every `main` does around its own wiring. The only place that reads the machine's clock.

use std::fmt::Debug;

use aws_lambda_events::event::sqs::SqsEvent;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};

use crate::{
    aws::{CallTimeouts, Services},
    sqs::{self, Delivery, Disposition},
    worker::Invocation,
};
use domain::Timestamp;
use telemetry::metrics::{Meter, StackName};

/// The configuration that every function with a table has.
#[derive(Clone, Debug)]
pub struct FunctionConfig {
    /// `STACK`: the name of the stack, a dimension of every metric.
    pub stack: StackName,
    /// `TABLE`: the name of the one table.
    pub table: String,
}

/// A function with its clients, before its wiring.
#[derive(Debug)]
pub struct Function {
    /// The clients.
    pub services: Services,
    meter: Meter,
}

impl Function {
    /// Opens the clients and, with the table, the clock.
    pub async fn open(config: FunctionConfig, call_timeouts: CallTimeouts) -> Self {
        Self {
            services: Services::open(config.table, call_timeouts, machine()).await,
            meter: Meter::new(config.stack, machine()),
        }
    }

    /// Answers events until the platform ends the process. The metrics of each event are written before its answer.
    pub async fn serve<E, A, F>(
        self,
        answer: impl AsyncFn(LambdaEvent<E>, Invocation) -> Result<A, F>,
    ) -> Result<(), Error>
    where
        E: for<'de> Deserialize<'de>,
        A: Serialize,
        F: Into<Diagnostic> + Debug,
    {
        run(async |event, invocation| self.meter.measure(answer(event, invocation)).await).await
    }

    /// Handles each message of each batch. The metrics of each message are written before the batch's answer.
    pub async fn read_queue(
        self,
        deliver: impl AsyncFn(&Delivery, Invocation) -> Disposition,
    ) -> Result<(), Error> {
        run(async |batch: LambdaEvent<SqsEvent>, invocation| {
            let answer = sqs::each_message(&batch.payload, async |delivery| {
                self.meter.measure(deliver(&delivery, invocation)).await
            });
            Ok::<_, Error>(answer.await)
        })
        .await
    }
}

/// Answers events until the platform ends the process.
pub async fn run<E, A, F>(
    answer: impl AsyncFn(LambdaEvent<E>, Invocation) -> Result<A, F>,
) -> Result<(), Error>
where
    E: for<'de> Deserialize<'de>,
    A: Serialize,
    F: Into<Diagnostic> + Debug,
{
    let now = machine();
    lambda_runtime::run(service_fn(async |event: LambdaEvent<E>| {
        let invocation = Invocation::of(event.context.deadline, now());
        answer(event, invocation).await
    }))
    .await
}

/// The machine's clock, for everything below a `main`.
pub fn machine() -> fn() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    let machine = Timestamp::now;
    machine
}
