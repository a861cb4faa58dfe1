use serde_json::{Value, json};

use super::*;
use emf::MOST_VALUES;

const NOON: Timestamp = Timestamp::from_millis(1_795_435_200_000);
/// The most metrics in a document, by the specification.
const MOST_METRICS: usize = 100;
const MOST_DIMENSIONS: usize = 30;

/// Every metric with every value of its dimensions.
fn all() -> Vec<Metric> {
    use Metric::*;
    let second = Duration::from_secs(1);
    let mut all = Vec::new();
    for kind in CommandType::ALL.iter().copied() {
        all.extend([
            CommandAdmitted(kind),
            AdmissionFailed(kind),
            TimeToTerminal(kind, second),
        ]);
        all.extend(
            ResultCode::ALL
                .iter()
                .map(|code| CommandSettled(kind, *code)),
        );
    }
    all.extend([
        CommandStalled,
        CommandResent,
        Takeover,
        WorkerFenced,
        DeadLetterSettled,
        MalformedMessageKept,
        AnalysisLost,
        CallbackRefused(CallbackRefusal::InvalidToken),
        CallbackRefused(CallbackRefusal::ExpiredToken),
        CallbackRefused(CallbackRefusal::Stale),
        SessionLeft,
        OldestAcceptedAge(second),
        OldestRunningAge(second),
        ReconcilerCompleted,
        ReconcilerError,
        WorkLeftOver,
        GithubBudgetLeft(1),
        GithubAnswered(GithubAnswer::Read),
        GithubAnswered(GithubAnswer::RateLimited),
        GithubAnswered(GithubAnswer::Refused),
        GithubAnswered(GithubAnswer::Failed),
        GithubAnswered(GithubAnswer::None),
    ]);
    all
}

fn documents(recorded: &[Metric]) -> Vec<Value> {
    let mut tally = Tally::default();
    for metric in recorded {
        tally.add(*metric);
    }
    let lines = tally.lines("stage", NOON);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is a document"))
        .collect()
}

/// Checks a document against the specification and returns the names of its metrics.
fn valid(document: &Value) -> Vec<&str> {
    assert!(document.to_string().len() < 256 * 1024);
    let metadata = document["_aws"].as_object().expect("metadata");
    assert!(metadata["Timestamp"].is_u64());
    let directives = metadata["CloudWatchMetrics"].as_array().expect("a list");
    assert_eq!((metadata.len(), directives.len()), (2, 1));
    let directive = directives[0].as_object().expect("a directive");
    assert_eq!(directive.len(), 3);
    let namespace = directive["Namespace"].as_str().expect("a text");
    assert!((1..=1024).contains(&namespace.len()));
    for set in directive["Dimensions"].as_array().expect("a list") {
        let set = set.as_array().expect("a set");
        assert!(set.len() <= MOST_DIMENSIONS);
        for name in set {
            let value = &document[name.as_str().expect("a name")];
            assert!((1..=1024).contains(&value.as_str().expect("a text").len()));
        }
    }
    let metrics = directive["Metrics"].as_array().expect("a list");
    assert!((1..=MOST_METRICS).contains(&metrics.len()));
    let mut names = Vec::new();
    for metric in metrics {
        let name = metric["Name"].as_str().expect("a name");
        assert!((1..=1024).contains(&name.len()));
        let unit = metric["Unit"].as_str().expect("a unit");
        assert!(["Count", "Milliseconds", "Seconds"].contains(&unit));
        match &document[name] {
            Value::Number(_) => {}
            Value::Array(values) => {
                assert!((1..=MOST_VALUES).contains(&values.len()));
                assert!(values.iter().all(Value::is_number));
            }
            other => panic!("{name} is {other}"),
        }
        names.push(name);
    }
    names
}

#[test]
fn every_metric_makes_a_valid_document_under_its_own_name() {
    let recorded = all();
    let documents = documents(&recorded);
    let held: usize = documents.iter().map(|document| valid(document).len()).sum();
    assert_eq!(held, recorded.len());
}

#[test]
fn a_document_has_its_dimensions_and_their_values() {
    let settled = Metric::CommandSettled(CommandType::Sync, ResultCode::SyncCompleted);
    assert_eq!(
        documents(&[settled, settled]),
        [json!({
            "_aws": {
                "Timestamp": NOON.as_millis(),
                "CloudWatchMetrics": [{
                    "Namespace": "SecurityAgent",
                    "Dimensions": [["Stack", "Type", "Code"]],
                    "Metrics": [{"Name": "CommandsSettled", "Unit": "Count"}],
                }],
            },
            "Stack": "stage",
            "Type": "sync",
            "Code": "SYNC_COMPLETED",
            "CommandsSettled": 2,
        })]
    );
}

#[test]
fn each_metric_combines_its_values_as_defined() {
    let seconds = Duration::from_secs;
    let documents = documents(&[
        Metric::GithubBudgetLeft(70),
        Metric::GithubBudgetLeft(30),
        Metric::GithubBudgetLeft(50),
        Metric::OldestRunningAge(seconds(3)),
        Metric::OldestRunningAge(seconds(9)),
        Metric::OldestRunningAge(seconds(0)),
        Metric::TimeToTerminal(CommandType::Sync, Duration::from_millis(1_500)),
        Metric::TimeToTerminal(CommandType::Sync, Duration::from_millis(20)),
    ]);
    let [plain, by_type] = &documents[..] else {
        panic!("{documents:?}");
    };
    assert_eq!(
        (&plain["GithubBudgetLeft"], &plain["OldestRunningAge"]),
        (&json!(30), &json!(9))
    );
    assert_eq!(by_type["TimeToTerminal"], json!([1_500, 20]));
}

#[test]
fn values_beyond_a_documents_limit_make_another_document() {
    let times: Vec<_> = (0..250)
        .map(|time| Metric::TimeToTerminal(CommandType::Sync, Duration::from_millis(time)))
        .collect();
    let documents = documents(&times);
    let values = documents.iter().flat_map(|document| {
        assert_eq!(valid(document), ["TimeToTerminal"]);
        document["TimeToTerminal"].as_array().expect("a list")
    });
    let values: Vec<_> = values.filter_map(Value::as_u64).collect();
    assert_eq!(documents.len(), 3);
    assert_eq!(values, (0..250).collect::<Vec<_>>());
}

#[test]
fn nothing_is_written_if_nothing_was_recorded() {
    assert_eq!(Tally::default().lines("stage", NOON), "");
}

#[test]
fn a_stack_name_follows_cloudformations_rules() {
    assert!("security-agent-2".parse::<StackName>().is_ok());
    for bad in ["", "a b", "a/b", &"a".repeat(129)] {
        assert!(bad.parse::<StackName>().is_err(), "{bad:?}");
    }
}
