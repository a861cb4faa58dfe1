//! Every state of an alert, in the light of everything that can be known of our request.

use super::*;
use crate::{
    Timestamp,
    lifecycle::{Stage, Timeouts, Token, admitted},
};
use std::time::Duration;

const REFUSED: Asked = Asked::Refused(422);
const ALL: [Asked; 4] = [Asked::No, Asked::Accepted, REFUSED, Asked::Perhaps];

#[test]
fn an_alert_that_shows_an_end_ends_the_command() {
    use ResultCode::{AlertWithdrawn, AlreadyFixed, AlreadyIgnored, FindingDismissed};
    let judged = |shown, ours, asked| {
        let judgement = AlertChange::Dismiss
            .judge(shown, ours, asked)
            .expect("it decides");
        assert_eq!(judgement.error, None, "nothing stands in the way");
        (judgement.code, judgement.effect)
    };
    for asked in ALL {
        let dismissed = Some(AlertState::Dismissed);
        assert_eq!(
            judged(dismissed, true, asked),
            (FindingDismissed, Effect::Applied)
        );
        // Somebody else's: what GitHub accepted of ours and does not show, it has not done.
        let beside = match asked {
            Asked::Perhaps => Effect::Unknown,
            _ => Effect::None,
        };
        assert_eq!(judged(dismissed, false, asked), (AlreadyIgnored, beside));
        for ours in [true, false] {
            let by_a_rule = Some(AlertState::AutoDismissed);
            assert_eq!(judged(by_a_rule, ours, asked), (AlreadyIgnored, beside));
            assert_eq!(
                judged(Some(AlertState::Fixed), ours, asked),
                (AlreadyFixed, beside)
            );
            // Gone with whatever was done to it.
            assert_eq!(judged(None, ours, asked), (AlertWithdrawn, asked.effect()));
        }
    }
}

#[test]
fn an_open_alert_ends_the_command_only_by_what_github_said() {
    let judged = |asked| AlertChange::Dismiss.judge(Some(AlertState::Open), false, asked);
    assert_eq!(
        judged(Asked::Accepted),
        Some(Judgement {
            code: ResultCode::DismissalPendingReview,
            effect: Effect::Unknown,
            error: Some(LastError::StillOpen),
        })
    );
    assert_eq!(
        judged(REFUSED),
        Some(Judgement {
            code: ResultCode::DismissalRejected,
            effect: Effect::None,
            error: Some(LastError::DismissalRefused(422)),
        })
    );
    for asked in [Asked::No, Asked::Perhaps] {
        assert_eq!(judged(asked), None, "{asked:?}: to be asked another time");
    }
    for asked in ALL {
        assert_eq!(
            AlertChange::Dismiss.judge(Some(AlertState::Other), true, asked),
            None,
            "{asked:?}"
        );
    }
}

#[test]
fn what_is_known_of_a_request_says_what_may_follow_from_it() {
    let known = ALL.map(|asked| (asked.effect(), asked.can_be_ours(), asked.may_hand_on()));
    assert_eq!(
        known,
        [
            (Effect::None, false, true),
            (Effect::Unknown, true, false),
            (Effect::None, false, false),
            (Effect::Unknown, true, false),
        ]
    );
}

#[test]
fn a_refusal_by_the_alerts_state_says_nothing_of_an_earlier_request() {
    for earlier in [Asked::No, Asked::Perhaps] {
        for asked in ALL {
            let made = asked.having_looked(true, earlier);
            assert_eq!(made, if asked == REFUSED { earlier } else { asked });
            assert_eq!(asked.having_looked(false, earlier), asked);
        }
    }
}

#[test]
fn only_a_delivery_that_follows_another_may_have_asked_before() {
    let timeouts = Timeouts {
        accepted: Duration::from_secs(300),
        running: Duration::from_secs(1_800),
        retention: Duration::from_secs(86_400),
    };
    let earlier = |attempt, stage| {
        let stage = Stage(stage);
        let accepted = admitted(Token(1), Timestamp::from_millis(0), &timeouts);
        Asked::earlier(&CommandState {
            attempt,
            stage,
            ..accepted
        })
    };
    assert_eq!([earlier(1, 0), earlier(2, 1)], [Asked::No; 2]);
    assert_eq!([earlier(2, 0), earlier(3, 1)], [Asked::Perhaps; 2]);
}

#[test]
fn a_reopening_ends_by_the_state_that_the_alert_shows() {
    use AlertState::{AutoDismissed, Dismissed, Fixed, Open, Other};
    use ResultCode::{AlertWithdrawn, AlreadyFixed, AlreadyOpen, FindingReopened, ReopenRejected};
    let judged = |shown, ours, asked| {
        AlertChange::Reopen
            .judge(shown, ours, asked)
            .map(|judgement| (judgement.code, judgement.effect))
    };
    for asked in ALL {
        let effect = asked.effect();
        assert_eq!(judged(None, false, asked), Some((AlertWithdrawn, effect)));
        assert_eq!(judged(Some(Other), false, asked), None);
    }
    for asked in [Asked::Accepted, Asked::Perhaps] {
        let made = judged(Some(Open), true, asked);
        assert_eq!(made, Some((FindingReopened, Effect::Applied)));
    }
    for (asked, effect) in [
        (Asked::No, Effect::None),
        (Asked::Accepted, Effect::None),
        (REFUSED, Effect::None),
        (Asked::Perhaps, Effect::Unknown),
    ] {
        let of = |shown| judged(Some(shown), false, asked);
        assert_eq!(of(Open), Some((AlreadyOpen, effect)));
        assert_eq!(of(Fixed), Some((AlreadyFixed, effect)));
    }
    for shown in [Dismissed, AutoDismissed] {
        let of = |asked| judged(Some(shown), false, asked);
        assert_eq!(
            ALL.map(of),
            [
                None,
                Some((ReopenRejected, Effect::Unknown)),
                Some((ReopenRejected, Effect::None)),
                None
            ]
        );
    }
}
