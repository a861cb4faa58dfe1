//! Abandoned analyses: ending a command that no worker could finish also frees its slot.

use domain::{
    analysis::{AnalysisStatus, BegunBy, FailureCode},
    command::{Action, Command, CommandId, CommandKey, StartAnalysis, SyncFindings},
    lifecycle::Stage,
    owner::Owner,
    result_code::ResultCode,
};
use store::{
    abandon::Cleaner,
    analyses::Received,
    audit::{Audit, AuditAction},
};
use tests::{Holder, NOON, TestTable, command, noon, states};

use crate::analyses::{callback, end, failed, launch, owner_with, read, take, waiting};

/// A command to analyse the finding, claimed by a worker that died.
async fn left(table: &TestTable, owner: &Owner, id: CommandId, action: Action) -> CommandKey {
    let mut states = states(Holder::Another).into_iter();
    let (_, state) = states.find(|(name, _)| *name == "lapsed").expect("a state");
    let key = CommandKey {
        owner: owner.clone(),
        id,
    };
    let row = Command {
        key: key.clone(),
        action,
        ..command(owner.clone(), state)
    };
    table.put_command(&row).await;
    key
}

/// Ends the command because no delivery is left.
async fn exhaust(table: &TestTable, key: &CommandKey) -> bool {
    let (ledger, code) = (table.ledger(), ResultCode::QueueRetriesExhausted);
    let exhausted = ledger.exhaust(key, None, Stage(0), code, None, noon(5));
    let exhausted = exhausted.await.expect("the table answers");
    let Some(abandoned) = exhausted.made() else {
        return false;
    };
    let cleaner = Cleaner::new(&table.table());
    let command = cleaner.clean_up(abandoned, noon(5)).await;
    assert_eq!(command.key, *key);
    true
}

#[tokio::test]
async fn the_slot_of_an_abandoned_command_is_freed_once() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 3).await;
    for (place, begun_by) in [BegunBy::Request, BegunBy::Automation].iter().enumerate() {
        let taken = take(&table, &owner, ids[place], *begun_by).await;
        if place == 0 {
            assert!(launch(&table, &owner, ids[0], "ses-1").await);
        }
        let analysis = StartAnalysis::of(ids[place]).into();
        let key = left(&table, &owner, taken.attempt, analysis).await;
        for first in [true, false] {
            assert_eq!(exhaust(&table, &key).await, first);
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
    // A finding that automation chose waits for another try, beside those never analysed.
    assert_eq!(waiting(&table, &owner).await, ids[1..]);
    let events = Audit::new(table.table()).list(&owner, 10, None).await;
    let events = events.expect("the table answers").events;
    let actions: Vec<_> = events.iter().map(|event| event.action).collect();
    // The newest first; the owner was connected before them.
    assert_eq!(
        actions,
        [
            AuditAction::AnalysisFailed,
            AuditAction::AnalysisFailed,
            AuditAction::Connected
        ]
    );
}

#[tokio::test]
async fn abandoning_leaves_other_ended_and_reported_analyses_alone() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 4).await;
    let [anothers, ended, heard_of, never] = ids[..] else {
        panic!("four findings");
    };
    let mut commands = Vec::new();
    take(&table, &owner, anothers, BegunBy::Request).await;
    commands.push((CommandId::new(NOON), StartAnalysis::of(anothers).into()));
    let taken = take(&table, &owner, ended, BegunBy::Request).await;
    assert!(end(&table, &owner, ended, &failed()).await);
    commands.push((taken.attempt, StartAnalysis::of(ended).into()));
    let attempt = take(&table, &owner, heard_of, BegunBy::Request)
        .await
        .attempt;
    let (told, analyses) = (callback("ses-1", failed()), table.analyses());
    let received = analyses
        .receive(&owner, heard_of, attempt, &told, NOON)
        .await;
    assert_eq!(received.expect("the table answers"), Received::Kept);
    commands.push((attempt, StartAnalysis::of(heard_of).into()));
    commands.push((CommandId::new(NOON), StartAnalysis::of(never).into()));
    let sync = CommandId::new(NOON);
    commands.push((sync, Action::from(SyncFindings::all())));
    let mut keys = Vec::new();
    for (id, action) in commands {
        keys.push(left(&table, &owner, id, action).await);
    }
    let others = async || {
        let rows = table.items().await.into_iter();
        let rows = rows.filter(|row| !row.contains_key("admission"));
        rows.collect::<Vec<_>>()
    };
    let rows = others().await;
    for (place, key) in keys.iter().enumerate() {
        assert!(exhaust(&table, key).await, "{place}");
        assert_eq!(others().await, rows, "{place}");
    }
}
