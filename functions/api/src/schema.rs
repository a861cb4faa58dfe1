//! OpenAPI schemas of the domain's types, which do not depend on HTTP: closed sets of words.

use domain::{
    analysis::{AnalysisStatus, Exploitability, SuggestedAction},
    command::CommandType,
    finding::{DependencyScope, FindingStatus, Severity},
    lifecycle::Status,
    result_code::ResultCode,
};
use store::audit::{AuditAction, ResourceType};
use utoipa::openapi::{
    Object, ObjectBuilder,
    schema::{SchemaType, Type},
};

pub(crate) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .build()
}

/// One of the words, or `null`.
fn words_or_null<'a>(words: impl IntoIterator<Item = &'a str>) -> Object {
    let words = words.into_iter().map(Some).chain([None]);
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .enum_values(Some(words))
        .build()
}

pub(crate) fn severity() -> Object {
    words(Severity::ALL.iter().map(|word| word.as_str()))
}

pub(crate) fn finding_status() -> Object {
    words(FindingStatus::ALL.iter().map(|word| word.as_str()))
}

pub(crate) fn dependency_scope() -> Object {
    words_or_null(DependencyScope::ALL.iter().map(|word| word.as_str()))
}

pub(crate) fn command_status() -> Object {
    words(Status::ALL.iter().map(|status| status.as_str()))
}

pub(crate) fn command_type() -> Object {
    words(CommandType::ALL.iter().map(|kind| kind.as_str()))
}

pub(crate) fn result_code() -> Object {
    words_or_null(ResultCode::ALL.iter().map(|code| code.as_str()))
}

pub(crate) fn effect() -> Object {
    words_or_null(["none", "applied", "unknown"])
}

pub(crate) fn repository_selection() -> Object {
    words(["all", "selected"])
}

pub(crate) fn analysis_mode() -> Object {
    words(["auto", "shallow", "deep"])
}

pub(crate) fn min_severity() -> Object {
    words(["critical", "high", "medium", "all"])
}

pub(crate) fn confidence() -> Object {
    words(["high", "medium", "low"])
}

pub(crate) fn analysis_status() -> Object {
    words(AnalysisStatus::ALL.iter().map(|word| word.as_str()))
}

pub(crate) fn exploitability() -> Object {
    words(Exploitability::ALL.iter().map(|word| word.as_str()))
}

pub(crate) fn suggested_action() -> Object {
    words(SuggestedAction::ALL.iter().map(|word| word.as_str()))
}

pub(crate) fn audit_action() -> Object {
    words(AuditAction::ALL.iter().map(|word| word.as_str()))
}

pub(crate) fn resource_type() -> Object {
    words(ResourceType::ALL.iter().map(|word| word.as_str()))
}

pub(crate) fn callback_status() -> Object {
    words(["completed", "failed", "interrupted"])
}
