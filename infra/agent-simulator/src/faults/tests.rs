use serde_json::json;

use super::*;

#[test]
fn a_bad_field_is_named() {
    for (body, pointer) in [
        (json!([]), ""),
        (json!({}), "/status"),
        (json!({"status": 42}), "/status"),
        (json!({"status": "503"}), "/status"),
        (json!({"status": 503, "operation": "dance"}), "/operation"),
        (
            json!({"status": 503, "repository": "octo/app"}),
            "/repository",
        ),
        (json!({"status": 503, "times": 0}), "/times"),
        (json!({"status": 503, "after": -1}), "/after"),
        (json!({"status": 503, "headers": {"a b": "c"}}), "/headers"),
        (
            json!({"status": 503, "headers": {"content-length": "9"}}),
            "/headers",
        ),
        (json!({"status": 503, "effect": "drop_response"}), "/effect"),
        (
            json!({"status": 503, "effect": "hold", "operation": "callback"}),
            "/effect",
        ),
        (json!({"effect": "explode"}), "/effect"),
        (json!({"effect": "hold"}), "/effect"),
        (json!({"effect": "hold", "operation": "*"}), "/effect"),
        (
            json!({"effect": "duplicate", "operation": "create_session"}),
            "/effect",
        ),
        (json!({"delayMs": 600_001}), "/delayMs"),
        (json!({"delayMs": 1, "apply": true}), "/apply"),
        (json!({"delayMs": 1, "body": {}}), "/body"),
        (json!({"status": 503, "time/s": 1}), "/time~1s"),
    ] {
        let error = Fault::parse(&body).expect_err("must be refused");
        assert_eq!(error.pointer, pointer, "{body}");
    }
}

#[test]
fn the_first_registered_matching_fault_that_is_not_exhausted_wins() {
    let faults = Faults::default();
    let register = |body: Value| faults.register(Fault::parse(&body).expect("valid"));
    register(json!({"operation": "create_session", "status": 503, "times": 1, "after": 1}));
    register(json!({"operation": "*", "status": 502}));
    let status = |operation| match faults.strike(operation)?.effect {
        Effect::AnswerInstead(answer) => Some(answer.status.as_u16()),
        _ => None,
    };

    assert_eq!(status(Operation::InterruptSession), Some(502));
    assert_eq!(status(Operation::Callback), Some(502));
    assert_eq!(
        status(Operation::CreateSession),
        Some(502),
        "spared by the first"
    );
    assert_eq!(status(Operation::CreateSession), Some(503));
    assert_eq!(status(Operation::CreateSession), Some(502), "exhausted");
    faults.clear();
    assert_eq!(status(Operation::CreateSession), None);
}

#[test]
fn clearing_lets_go_of_what_is_held_also_by_an_exhausted_fault() {
    let faults = Faults::default();
    let held = json!({"operation": "callback", "effect": "hold", "times": 1});
    faults.register(Fault::parse(&held).expect("valid"));
    let strike = faults.strike(Operation::Callback).expect("held");
    let Effect::Hold(lifted) = strike.effect else {
        panic!("{strike:?} does not hold");
    };
    assert!(faults.strike(Operation::Callback).is_none(), "exhausted");
    assert!(!lifted.is_cancelled());
    faults.clear();
    assert!(lifted.is_cancelled());
}
