//! Faults of delivery that every command type survives: each is written once and run over every type.
//!
//! To add a type, implement [`Subject`] and add a line to `suite!`; nothing compiles without it. To add a fault, add a line
//! to `every_fault!`. Select tests by either: `conformance::sync`, `killed_after_the_claim`.

mod admission;
mod analyses;
mod dead_letters;
mod deliveries;
mod dismissals;
mod kills;
mod messages;
mod reopenings;
mod stalls;
mod store;
mod subject;
mod syncs;
mod trial;

use analyses::Analyses;
use dismissals::Dismissals;
use reopenings::Reopenings;
use subject::{Subject, Write};
use syncs::Syncs;
use trial::Trial;

/// Generates the tests of one type, one for each fault.
macro_rules! every_fault {
    ($subject:ty) => {
        every_fault! { $subject:
            admission: send_fails, send_unanswered_and_compensated, send_unanswered_and_claimed,
                api_killed_before_the_send;
            kills: killed_before_the_claim, killed_after_the_claim, killed_after_the_effect,
                killed_after_the_settlement, claim_unanswered, settlement_unanswered;
            deliveries: delivered_after_the_end, delivered_twice_at_once, taken_over_from_a_zombie;
            stalls: stalled_before_a_claim, stalled_after_its_worker_died;
            dead_letters: dead_letter_never_taken_up, dead_letter_of_a_dead_worker,
                fails_on_the_last_delivery;
            messages: malformed_before_a_claim, malformed_after_its_worker_died, newer_message;
            store: store_fails_for_a_moment, store_is_away_at_the_claim,
                store_is_away_at_the_settlement;
        }
    };
    ($subject:ty: $($faults:ident: $($fault:ident),+;)+) => {
        $($(
            #[tokio::test]
            async fn $fault() {
                super::$faults::$fault::<$subject>().await;
            }
        )+)+
    };
}

/// Generates the tests of each type. If a type is missing, the `match` is not exhaustive and does not compile.
macro_rules! suite {
    ($($tests:ident: $command:ident => $subject:ident,)+) => {
        $(
            mod $tests {
                every_fault!(super::$subject);
            }

            const _: () = assert!(
                matches!(<$subject>::TYPE, domain::command::CommandType::$command),
                "it is the subject of another type"
            );
        )+

        const _: fn(domain::command::CommandType) = |command| match command {
            $(domain::command::CommandType::$command => {})+
        };
    };
}

suite! {
    sync: Sync => Syncs,
    dismiss_finding: DismissFinding => Dismissals,
    start_analysis: StartAnalysis => Analyses,
    reopen_finding: ReopenFinding => Reopenings,
}
