//! A table with rows in it, the reconciler, and the proxy that counts.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use local::{
    aws_proxy::{AwsProxy, Services},
    secrets::Secrets,
};
use reconcile::{Reconciler, Report};
use security_agent::worker::Invocation;
use tests::{NOON, TestQueues, TestTable, noon, reconciler};
use tokio::net::TcpListener;

use crate::{
    Result,
    rows::{self, Due},
};

/// More runs than any of this may take.
const RUNS: u32 = 50;

/// The reconciler before so many rows.
pub(crate) struct Scene {
    what: Due,
    due: usize,
    proxy: Arc<AwsProxy>,
    function: Reconciler,
}

/// What it took until nothing was due.
#[derive(Debug)]
pub(crate) struct Spent {
    pub(crate) runs: u32,
    pub(crate) seconds: f64,
    pub(crate) queries: u64,
    pub(crate) writes: u64,
    pub(crate) messages: u64,
    pub(crate) read_units: f64,
    pub(crate) write_units: f64,
}

impl Scene {
    pub(crate) async fn set(what: Due, due: usize, others: usize) -> Result<Self> {
        let table = TestTable::create().await;
        table.put_all(what.rows(&table, due).await?).await;
        table.put_all(rows::others(others)).await;
        let queues = TestQueues::create().await;
        let (sync, scheduled) = (queues.queue("sync").await, queues.queue("scheduled").await);

        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let (dynamodb, sqs) = (table.endpoint(), queues.endpoint());
        let secrets = Secrets::new(BTreeMap::new());
        let proxy = Arc::new(AwsProxy::new(dynamodb.to_owned(), sqs.to_owned(), secrets));
        tokio::spawn(Arc::clone(&proxy).serve(listener));
        let function = Reconciler {
            sender: queues.sender_at(&address),
            ..reconciler(table.reached_at(&address), &queues, &sync, &scheduled)
        };
        Ok(Self {
            what,
            due,
            proxy,
            function,
        })
    }

    /// Runs until a run has finished in its time. Each has the minute that the function has.
    pub(crate) async fn reconcile(self) -> Result<Spent> {
        let began = Instant::now();
        let mut done = 0;
        for runs in 1..=RUNS {
            let report = self
                .function
                .reconcile(Invocation::until(noon(55), NOON))
                .await;
            done += self.done(&report)?;
            if !report.out_of_time {
                if done != self.due {
                    return Err(format!("{done} of {} were done: {report:?}", self.due).into());
                }
                return Ok(self.spent(runs, began.elapsed().as_secs_f64()));
            }
        }
        Err(format!("{done} of {} were done in {RUNS} runs", self.due).into())
    }

    fn done(&self, report: &Report) -> Result<usize> {
        let done = match self.what {
            Due::Stalled => report.stalled,
            Due::Unclaimed => report.resent,
            Due::Scheduled => report.dispatched,
        };
        match report.errors {
            0 => Ok(usize::try_from(done)?),
            _ => Err(format!("a run met errors: {report:?}").into()),
        }
    }

    fn spent(&self, runs: u32, seconds: f64) -> Spent {
        let Services { dynamodb, sqs } = self.proxy.usage().total;
        let requests = |operation: &str| dynamodb.get(operation).map_or(0, |found| found.requests);
        Spent {
            runs,
            seconds,
            queries: requests("Query"),
            writes: requests("UpdateItem"),
            messages: sqs.values().map(|operation| operation.requests).sum(),
            read_units: dynamodb
                .values()
                .filter_map(|operation| operation.read_units)
                .sum(),
            write_units: dynamodb
                .values()
                .filter_map(|operation| operation.write_units)
                .sum(),
        }
    }
}
