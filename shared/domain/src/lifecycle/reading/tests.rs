//! Each conclusion from a row, at its boundary and on both sides of it.

use std::time::Duration;

use super::*;
use crate::lifecycle::{Lease, Status, Timeouts, admitted};

const NOON: Timestamp = Timestamp::from_millis(1_795_435_200_000);
const TIMEOUTS: Timeouts = Timeouts {
    accepted: Duration::from_secs(300),
    running: Duration::from_secs(1_800),
    retention: Duration::from_secs(86_400),
};
const ADMISSION: Token = Token(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOON.as_millis() + seconds * 1_000)
}

fn accepted() -> CommandState {
    admitted(ADMISSION, NOON, &TIMEOUTS)
}

/// Claimed for the first time until a minute past noon.
fn running() -> CommandState {
    CommandState {
        status: Status::Running,
        attempt: 1,
        lease: Some(lease()),
        ..accepted()
    }
}

const fn lease() -> Lease {
    Lease {
        token: Token(2),
        until: Timestamp::from_millis(NOON.as_millis() + 60_000),
    }
}

#[test]
fn a_final_obstacle_is_reported_before_a_temporary_one() {
    let obstacle = |row: &CommandState, stage| row.obstacle(Stage(stage), at(10));
    for status in [Status::Succeeded, Status::Failed, Status::NoOp] {
        let ended = CommandState {
            status,
            ..running()
        };
        assert_eq!(obstacle(&ended, 0), Obstacle::Ended);
        assert_eq!(obstacle(&ended, 1), Obstacle::Ended, "whatever the stage");
    }
    let held = Obstacle::Held { until: at(60) };
    assert_eq!(obstacle(&running(), 0), held);
    assert_eq!(obstacle(&running(), 1), Obstacle::Superseded);
    let waiting = |seconds| CommandState {
        waiting_until: Some(at(seconds)),
        ..running()
    };
    let until = at(11);
    assert_eq!(obstacle(&waiting(11), 0), Obstacle::Waiting { until });
    assert_eq!(obstacle(&waiting(11), 1), Obstacle::Superseded);
    assert_eq!(
        obstacle(&waiting(10), 0),
        held,
        "the wait is over at its end"
    );
    assert_eq!(obstacle(&waiting(9), 0), held);
    let until = at(10);
    assert_eq!(
        obstacle(&accepted(), 0),
        Obstacle::Held { until },
        "without a claim, now"
    );
    assert!(Obstacle::Ended.is_final() && Obstacle::Superseded.is_final());
    assert!(!Obstacle::Waiting { until }.is_final() && !Obstacle::Held { until }.is_final());
}

#[test]
fn a_second_claim_of_a_stage_follows_another() {
    let follows = |attempt, stage| {
        let stage = Stage(stage);
        let row = CommandState {
            attempt,
            stage,
            ..running()
        };
        row.follows_another()
    };
    assert!(!follows(1, 0) && !follows(2, 1) && !follows(3, 2));
    assert!(follows(2, 0) && follows(3, 1) && follows(5, 2));
    assert!(
        !follows(0, 0) && !follows(1, 1),
        "not claimed in this stage yet"
    );
}

#[test]
fn a_repeated_request_readmits_only_a_command_never_queued() {
    let admission = Token(9);
    let now = at(20);
    let never_queued = CommandState {
        status: Status::Failed,
        never_queued: true,
        ..accepted()
    };
    assert_eq!(
        never_queued.readmission(admission, now),
        Some(Move::Readmit { admission, now })
    );
    assert_eq!(accepted().readmission(admission, now), None);
    let failed = CommandState {
        never_queued: false,
        ..never_queued
    };
    assert_eq!(failed.readmission(admission, now), None);
}

#[test]
fn a_write_is_recognised_by_its_own_token() {
    let now = at(20);
    let claim = Move::Claim {
        lease: lease(),
        stage: Stage(0),
        now,
    };
    let readmit = Move::Readmit {
        admission: ADMISSION,
        now,
    };
    let release = Move::Release {
        holder: lease().token,
        now,
    };
    assert_eq!(claim.own_token(), Some(lease().token));
    assert_eq!(readmit.own_token(), Some(ADMISSION));
    assert_eq!(release.own_token(), None);
    for made in [claim, readmit, release] {
        assert!(made.is_shown_by(&running(), true), "{made:?} wrote last");
    }
    // A worker has claimed the command since: the admission's token is still on the row.
    assert!(readmit.is_shown_by(&running(), false));
    let anothers = CommandState {
        admission: Token(8),
        ..running()
    };
    for made in [claim, readmit, release] {
        assert!(!made.is_shown_by(&anothers, false), "{made:?}");
    }
}

#[test]
fn a_command_needs_two_re_sends_and_stalls_at_its_deadline() {
    let need = |resends, now| {
        let row = CommandState {
            resends,
            ..accepted()
        };
        IndexSnapshot::of(&row).need(now)
    };
    assert_eq!(need(0, at(80)), Need::Resend);
    assert_eq!(need(1, at(190)), Need::Resend);
    assert_eq!(need(2, at(200)), Need::Nothing);
    assert_eq!(need(0, at(299)), Need::Resend);
    for resends in 0..=2 {
        assert_eq!(need(resends, at(300)), Need::Stall, "at the deadline");
        assert_eq!(need(resends, at(301)), Need::Stall, "past it");
    }
    let claimed = CommandState {
        queued_at: None,
        ..running()
    };
    assert_eq!(IndexSnapshot::of(&claimed).need(at(80)), Need::Nothing);
}

#[test]
fn the_last_delivery_is_the_one_at_max_receives() {
    assert!(!is_last_delivery(4, 5));
    assert!(is_last_delivery(5, 5));
    assert!(is_last_delivery(6, 5));
}

#[test]
fn a_token_is_shown_as_rows_store_it() {
    assert_eq!(
        format!("{:?}", Token(0xa07e4)),
        "000000000000000000000000000a07e4"
    );
}
