//! A table with rows, the reconciler, and the counting proxy.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use local::aws_proxy::{AwsProxy, Secrets, Services};
use reconcile::Reconciler;
use runtime::worker::Invocation;
use store::table::Item;
use tests::{NOON, TestQueues, TestTable, reconciler};
use tokio::net::TcpListener;

use crate::{Result, rows::Due};

/// The function's timeout in template.yaml.
const RUN: Duration = Duration::from_secs(50);

/// More runs than any case needs.
const RUNS: u32 = 50;

/// The reconciler over a table that fills.
pub(crate) struct Scene {
    table: TestTable,
    rows: usize,
    proxy: Arc<AwsProxy>,
    function: Reconciler,
}

/// The cost until nothing was due.
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
    /// A scene without rows.
    pub(crate) async fn set() -> Result<Self> {
        let (table, queues) = (TestTable::create().await, TestQueues::create().await);
        let (sync, scheduled) = (queues.queue("sync").await, queues.queue("scheduled").await);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let (dynamodb, sqs) = (table.endpoint(), queues.endpoint());
        let secrets = Secrets::new(BTreeMap::new());
        let (dynamodb, sqs) = (dynamodb.to_owned(), sqs.to_owned());
        // The reconciler here is not part of a stack, so it has no role.
        let proxy = Arc::new(AwsProxy::new(dynamodb, sqs, secrets, None, None));
        tokio::spawn(Arc::clone(&proxy).serve(listener));
        let function = Reconciler {
            sender: queues.sender_at(&address),
            ..reconciler(table.reached_at(&address), &queues, &sync, &scheduled)
        };
        Ok(Self {
            table,
            rows: 0,
            proxy,
            function,
        })
    }

    /// Counts the rows.
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Adds rows without counting their cost.
    pub(crate) async fn add(&mut self, rows: &[Item]) {
        self.table.put_all(rows).await;
        self.rows += rows.len();
    }

    /// Runs until a run finishes in time; each has the deployed function's timeout.
    pub(crate) async fn reconcile(&self, what: Due, due: usize) -> Result<Spent> {
        self.proxy.reset_usage();
        let began = Instant::now();
        let mut done = 0;
        for runs in 1..=RUNS {
            let a_run = Invocation::until(NOON + RUN, NOON);
            let report = self.function.reconcile(a_run).await;
            if report.errors > 0 {
                return Err(format!("a run met errors: {report:?}").into());
            }
            done += usize::try_from(match what {
                Due::Stalled => report.stalled,
                Due::Unclaimed => report.resent,
                Due::Scheduled => report.dispatched,
            })?;
            if !report.out_of_time {
                if done != due {
                    return Err(format!("the reconciler did {done} of {due}: {report:?}").into());
                }
                return Ok(self.spent(runs, began.elapsed().as_secs_f64()));
            }
        }
        Err(format!("the reconciler did {done} of {due} in {RUNS} runs").into())
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
