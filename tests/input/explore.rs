//! Tries generated cases until one breaks a promise, and shrinks that one.

use std::{
    cell::{Cell, RefCell},
    io,
    panic::{self, AssertUnwindSafe},
    pin::pin,
    sync::Once,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, future::poll_fn, stream};
use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::{Config, TestRunner},
};

/// The limits on shrinking a case that breaks a promise.
const MOST_STEPS: usize = 400;
const LONGEST: Duration = Duration::from_secs(60);

thread_local! {
    /// Whether cases run on this thread: then a panic is recorded instead of printed.
    static EXPLORING: Cell<bool> = const { Cell::new(false) };
    /// What panicked on this thread, and where.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The number of cases of a kind: this many for each hundred of `TEST_CASES`, which defaults to a hundred.
pub(crate) fn cases(of_a_hundred: u32) -> u32 {
    #[expect(clippy::disallowed_methods, reason = "chooses how much is tried")]
    let cases = std::env::var("TEST_CASES").ok();
    let cases: u32 = cases.map_or(100, |cases| cases.parse().expect("a number"));
    (cases * of_a_hundred).div_ceil(100)
}

/// Runs a test on a stack large enough for the functions' unoptimised futures.
pub(crate) fn on_a_large_stack(test: impl AsyncFnOnce() + Send) {
    listen();
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime starts");
        runtime.block_on(test());
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(64 << 20);
        let ran = thread.spawn_scoped(scope, run).expect("a thread starts");
        if let Err(panic) = ran.join() {
            panic::resume_unwind(panic);
        }
    });
}

/// Records every panic, caught ones included, and formats every log line although nothing reads them.
fn listen() {
    static LISTENS: Once = Once::new();
    LISTENS.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if EXPLORING.get() {
                PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            } else {
                usual(info);
            }
        }));
        let logs = tracing_subscriber::fmt().json().with_writer(io::sink);
        logs.with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
            .init();
    });
}

/// Tries this many cases, `width` at a time. Panics with the smallest case found in which anything panics, caught or
/// not.
pub(crate) async fn explore<S: Strategy>(
    cases: u32,
    width: usize,
    strategy: &S,
    case: impl AsyncFn(S::Value),
) {
    let mut runner = TestRunner::new(Config::default());
    let trees = (0..cases).map(|_| strategy.new_tree(&mut runner).expect("a value is made"));
    let tried = stream::iter(trees).map(async |tree| {
        let broken = broken(case(tree.current())).await;
        broken.map(|why| (tree, why))
    });
    let broken_by = tried
        .buffer_unordered(width)
        .filter_map(std::future::ready)
        .boxed_local()
        .next()
        .await;
    let Some((mut tree, mut why)) = broken_by else {
        return;
    };
    let (mut smallest, mut breaks) = (tree.current(), true);
    let until = Instant::now() + LONGEST;
    for _ in 0..MOST_STEPS {
        if Instant::now() > until {
            break;
        }
        let stepped = if breaks {
            tree.simplify()
        } else {
            tree.complicate()
        };
        if !stepped {
            break;
        }
        let now = broken(case(tree.current())).await;
        breaks = now.is_some();
        if let Some(now) = now {
            (smallest, why) = (tree.current(), now);
        }
    }
    panic!("{why}\nby {smallest:#?}");
}

/// Returns what panicked while the case ran.
pub(crate) async fn broken(case: impl Future<Output = ()>) -> Option<String> {
    let mut case = pin!(AssertUnwindSafe(case).catch_unwind());
    let mut panicked = Vec::new();
    // Other cases run on this thread: a panic while this one is polled is its own.
    let tried = poll_fn(|context| {
        EXPLORING.set(true);
        let polled = case.as_mut().poll(context);
        EXPLORING.set(false);
        panicked.extend(PANICS.take());
        polled
    });
    let tried = tried.await;
    (tried.is_err() || !panicked.is_empty()).then(|| panicked.join("\n"))
}
