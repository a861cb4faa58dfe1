//! Lambda's concurrency: how many invocations run at once before Lambda throttles further ones.

use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::template::{Function, Topology};

/// What Lambda keeps for the functions without a reservation; in an account that has less, all of it.
const UNRESERVED: u32 = 100;

/// The template reserves more than the account's concurrency allows. Lambda refuses such a deployment.
#[derive(Debug, thiserror::Error)]
#[error(
    "the functions cannot reserve a concurrency of {reserved}: of an account's {account}, {kept} must stay unreserved"
)]
pub struct ReservationError {
    reserved: u32,
    account: u32,
    kept: u32,
}

/// The concurrency of the account that is not reserved.
#[derive(Debug, Clone)]
pub(crate) struct Account(Limit);

/// The permits that a function's invocations take: its own, the account's, or none.
#[derive(Debug, Clone)]
pub(crate) struct Limit(Option<Arc<Semaphore>>);

impl Account {
    /// The unreserved rest of this concurrency; unlimited without one.
    pub(crate) fn new(
        topology: &Topology,
        account: Option<NonZeroU32>,
    ) -> Result<Self, ReservationError> {
        let Some(account) = account.map(NonZeroU32::get) else {
            return Ok(Self(Limit(None)));
        };
        let reserved = topology.functions.iter();
        let reserved: u32 = reserved.filter_map(|function| function.reserved).sum();
        let kept = account.min(UNRESERVED);
        match account.checked_sub(reserved) {
            Some(rest) if rest >= kept || reserved == 0 => Ok(Self(Limit::of(rest))),
            Some(_) | None => Err(ReservationError {
                reserved,
                account,
                kept,
            }),
        }
    }

    /// The limit of this function.
    pub(crate) fn limit(&self, function: &Function) -> Limit {
        match function.reserved {
            Some(reserved) => Limit::of(reserved),
            None => self.0.clone(),
        }
    }
}

impl Limit {
    fn of(permits: u32) -> Self {
        Self(Some(Arc::new(Semaphore::new(permits as usize))))
    }

    /// A place for one invocation, for as long as the result lives. `None` if Lambda throttles it.
    pub(crate) fn enter(&self) -> Option<Running<'_>> {
        match &self.0 {
            None => Some(Running(None)),
            Some(permits) => permits
                .try_acquire()
                .ok()
                .map(|permit| Running(Some(permit))),
        }
    }
}

/// An invocation's place.
#[derive(Debug)]
#[must_use]
pub(crate) struct Running<'a>(
    #[expect(dead_code, reason = "held until it is dropped")] Option<SemaphorePermit<'a>>,
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::template::{Place, Template};

    const TEMPLATE: &str = include_str!("../../../../template.yaml");

    fn topology(reserved: &[(&str, &str)]) -> Topology {
        let template = Template::parse(TEMPLATE).expect("the template parses");
        let chosen: BTreeMap<_, _> = reserved
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let parameters = template.parameters(&chosen).expect("values that it takes");
        let place = Place::local("http://127.0.0.1:1", "http://127.0.0.1:3");
        let topology = template.topology(&parameters, &place);
        topology.expect("the template resolves")
    }

    fn account(topology: &Topology, concurrency: u32) -> Result<Account, ReservationError> {
        Account::new(topology, NonZeroU32::new(concurrency))
    }

    #[test]
    fn functions_without_a_reservation_share_the_accounts_concurrency() {
        let topology = topology(&[]);
        let account = account(&topology, 2).expect("nothing is reserved");
        let limits: Vec<_> = topology
            .functions
            .iter()
            .map(|function| account.limit(function))
            .collect();
        let (first, second) = (limits[0].enter(), limits[1].enter());
        assert!(first.is_some() && second.is_some());
        assert!(limits[2].enter().is_none(), "throttled");
        drop(first);
        assert!(limits[2].enter().is_some());
    }

    #[test]
    fn a_reservation_is_kept_for_its_function_and_limits_it() {
        let topology = topology(&[("ApiReservedConcurrency", "1")]);
        let account = account(&topology, 101).expect("100 stay unreserved");
        let limit = |name: &str| account.limit(topology.function(name).expect("it is there"));
        let (api, sync) = (limit("api"), limit("sync"));
        let busy: Vec<_> = (0..100).map(|_| sync.enter().expect("not full")).collect();
        assert!(sync.enter().is_none(), "throttled");
        let request = api.enter().expect("its own place");
        assert!(api.enter().is_none(), "not more than that");
        drop((busy, request));
    }

    #[test]
    fn a_reservation_that_lambda_would_refuse_is_refused() {
        for (concurrency, reserved) in [(10, "1"), (100, "1"), (104, "5"), (3, "5")] {
            let topology = topology(&[("ReconcileReservedConcurrency", reserved)]);
            let refused = account(&topology, concurrency);
            let error = refused.expect_err("too little stays").to_string();
            let kept = concurrency.min(100);
            assert!(
                error.contains(&format!("{kept} must stay unreserved")),
                "{error}"
            );
        }
    }
}
