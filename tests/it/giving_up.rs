//! What is left to do for an analysis whose command nobody could finish: its slot is freed, by whoever ends the command.

use domain::{
    analysis::{AnalysisStatus, BegunBy, FailureCode},
    command::{Action, AnalysisOptions, Command, CommandId, CommandKey, Ended},
    finding::FindingId,
    owner::Owner,
    result_code::{Effect, ResultCode},
};
use store::{
    abandon::free_slot,
    analyses::Received,
    audit::{Audit, AuditAction},
};
use tests::{Holder, NOON, TestTable, command, noon, standings};

use crate::analyses::{call_back, end, failed, launch, owner_with, read, take, waiting};

/// A command that was to analyse the finding, and for which no delivery was left.
fn exhausted(owner: &Owner, id: CommandId, finding: FindingId) -> Command {
    let standing = standings(Holder::Another).into_iter();
    let mut standing = standing.filter(|(name, _)| *name == "failed");
    let (_, standing) = standing.next().expect("a standing");
    Command {
        key: CommandKey {
            owner: owner.clone(),
            id,
        },
        action: Action::StartAnalysis {
            finding,
            options: AnalysisOptions::default(),
        },
        ended: Some(Ended {
            code: ResultCode::QueueRetriesExhausted,
            effect: Effect::Unknown,
            completed_at: NOON,
            expires_at: noon(86_400),
        }),
        ..command(owner.clone(), standing)
    }
}

async fn give_up(table: &TestTable, command: &Command) {
    let (findings, analyses) = (table.findings(), table.analyses());
    let audit = Audit::new(table.table());
    free_slot(&findings, &analyses, &audit, command, noon(5)).await;
}

#[tokio::test]
async fn the_slot_of_a_command_that_nobody_could_finish_is_freed_once() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 3).await;
    for (place, begun_by) in [BegunBy::Request, BegunBy::Automation].iter().enumerate() {
        let taken = take(&table, &owner, ids[place], *begun_by).await;
        if place == 0 {
            assert!(launch(&table, &owner, ids[0], "ses-1").await);
        }
        let command = exhausted(&owner, taken.attempt, ids[place]);
        for _ in 0..2 {
            give_up(&table, &command).await;
            let ended = read(&table, &owner, ids[place]).await.analysis;
            let ended = ended.expect("it was begun");
            let code = FailureCode::from(ResultCode::QueueRetriesExhausted);
            assert_eq!(
                (ended.status, ended.failure, ended.completed_at),
                (AnalysisStatus::Failed, Some(code), Some(noon(5)))
            );
        }
    }
    let record = table.owners().read(&owner).await;
    let analyses = record.expect("the table answers").analyses;
    assert_eq!(analyses.in_flight.len(), 0);
    assert_eq!((analyses.counts.pending, analyses.counts.running), (0, 0));
    assert_eq!(analyses.counts.failed, 2);
    // What automation chose waits for another try, beside what was never begun.
    assert_eq!(waiting(&table, &owner).await, ids[1..]);
    let events = Audit::new(table.table()).list(&owner, 10, None).await;
    let events = events.expect("the table answers").events;
    let actions: Vec<_> = events.iter().map(|event| event.action).collect();
    assert_eq!(actions, [AuditAction::AnalysisFailed; 2]);
}

#[tokio::test]
async fn what_is_anothers_what_has_ended_and_what_was_heard_of_is_left_alone() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 4).await;
    let [anothers, ended, heard_of, never] = ids[..] else {
        panic!("four findings");
    };
    let mut commands = Vec::new();
    take(&table, &owner, anothers, BegunBy::Request).await;
    commands.push(exhausted(&owner, CommandId::new(NOON), anothers));
    let taken = take(&table, &owner, ended, BegunBy::Request).await;
    assert!(end(&table, &owner, ended, &failed()).await);
    commands.push(exhausted(&owner, taken.attempt, ended));
    let attempt = take(&table, &owner, heard_of, BegunBy::Request)
        .await
        .attempt;
    let (told, analyses) = (call_back("ses-1", failed()), table.analyses());
    let received = analyses
        .receive(&owner, heard_of, attempt, &told, NOON)
        .await;
    assert_eq!(received.expect("the table answers"), Received::Kept);
    commands.push(exhausted(&owner, attempt, heard_of));
    commands.push(exhausted(&owner, CommandId::new(NOON), never));
    let running = Command {
        ended: None,
        ..exhausted(&owner, attempt, anothers)
    };
    commands.push(running);
    let sync = Command {
        action: Action::Sync { repository: None },
        ..exhausted(&owner, attempt, anothers)
    };
    commands.push(sync);
    let rows = table.items().await;
    for (place, command) in commands.iter().enumerate() {
        give_up(&table, command).await;
        assert_eq!(table.items().await, rows, "{place}");
    }
}
