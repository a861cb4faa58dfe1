use super::*;

fn number() -> AlertNumber {
    AlertNumber::new(42).expect("positive")
}

const fn id(number: AlertNumber) -> AlertId {
    AlertId {
        source: Source::Dependabot,
        number,
    }
}

#[tokio::test]
async fn an_alert_is_read_by_its_number() {
    let stub = Stub::start(|_, _| Reply::json(200, alert(42))).await;
    let read = stub
        .github
        .alert(INSTALLATION, &repository(), id(number()), budget())
        .await
        .expect("an alert");
    assert_eq!((read.number, read.state), (number(), AlertState::Open));
    assert_eq!(
        stub.calls()[0].target,
        "/repos/octo/app/dependabot/alerts/42"
    );
}

#[tokio::test]
async fn a_redirect_of_an_alert_is_followed_only_to_the_same_repository() {
    for (location, expected) in [
        ("/repositories/7/dependabot/alerts/42", Ok(number())),
        (
            "/repositories/8/dependabot/alerts/42",
            Err(Refusal::Unavailable),
        ),
        // Another repository may have taken the name.
        (
            "/repos/octo/new/dependabot/alerts/42",
            Err(Refusal::Unavailable),
        ),
        (
            "/repositories/7/dependabot/alerts/43",
            Err(Refusal::Unexpected { status: 301 }),
        ),
    ] {
        let stub = Stub::start(move |seen, _| match seen.target.as_str() {
            "/repos/octo/app/dependabot/alerts/42" => {
                Reply::text(301, "").and("location", location)
            }
            _ => Reply::json(200, alert(42)),
        })
        .await;
        let read = stub
            .github
            .alert(INSTALLATION, &repository(), id(number()), budget())
            .await;
        assert_eq!(
            read.map(|alert| alert.number).map_err(refused),
            expected,
            "{location}"
        );
        let dismissed = stub
            .github
            .dismiss_alert(
                INSTALLATION,
                &repository(),
                id(number()),
                DismissReason::NotUsed,
                None,
                budget(),
            )
            .await;
        let dismissed = dismissed.map(|alert| alert.number);
        assert_eq!(dismissed.map_err(refused), expected, "{location}");
        let followed = stub.calls().len() - 2;
        assert_eq!(followed, if expected.is_ok() { 2 } else { 0 }, "{location}");
    }
}

#[tokio::test]
async fn a_dismissal_sends_its_reason_with_a_token_that_may_write() {
    let stub = Stub::start(|_, _| {
        let mut dismissed = alert(42);
        dismissed["state"] = json!("dismissed");
        Reply::json(200, dismissed)
    })
    .await;
    let dismissed = stub
        .github
        .dismiss_alert(
            INSTALLATION,
            &repository(),
            id(number()),
            DismissReason::NotUsed,
            Some("Only in a test."),
            budget(),
        )
        .await;
    assert_eq!(dismissed.expect("an alert").state, AlertState::Dismissed);
    let seen = stub.seen();
    assert_eq!(
        seen[0].body,
        json!({"permissions": {"metadata": "read", "vulnerability_alerts": "write"}})
    );
    assert_eq!(
        (seen[1].method.as_str(), seen[1].target.as_str()),
        ("PATCH", "/repos/octo/app/dependabot/alerts/42")
    );
    let change = json!({"state": "dismissed", "dismissed_reason": "not_used", "dismissed_comment": "Only in a test."});
    assert_eq!(seen[1].body, change);
}

#[tokio::test]
async fn a_dismissal_is_not_repeated_when_its_answer_is_lost() {
    for (reply, expected) in [
        (
            Reply::text(502, ""),
            Refusal::ServerError {
                status: 502,
                retry_after: None,
            },
        ),
        (Reply::text(200, "{"), Refusal::Malformed),
        (Reply::json(410, json!({})), Refusal::Gone),
        (
            Reply::json(409, json!({})),
            Refusal::Unexpected { status: 409 },
        ),
        (
            Reply::json(422, json!({"message": "Validation Failed"})),
            Refusal::Unexpected { status: 422 },
        ),
    ] {
        let stub = Stub::start(move |_, _| reply.clone()).await;
        let reason = DismissReason::Inaccurate;
        let dismissed = stub
            .github
            .dismiss_alert(
                INSTALLATION,
                &repository(),
                id(number()),
                reason,
                None,
                budget(),
            )
            .await;
        assert_eq!(refused(dismissed.expect_err("no alert")), expected);
        assert_eq!(stub.calls().len(), 1);
        let change = json!({"state": "dismissed", "dismissed_reason": "inaccurate"});
        assert_eq!(stub.seen()[1].body, change, "no comment, not null");
    }
}
