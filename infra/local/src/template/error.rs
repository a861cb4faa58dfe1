//! What can be wrong with a template or with what was asked of it.

/// Why a template cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file is not YAML.
    #[error("the template is not well-formed YAML")]
    Yaml(#[source] serde_saphyr::Error),
    /// A part of the document is not shaped as CloudFormation demands.
    #[error("{place} of the template cannot be read")]
    Shape {
        /// Where, for example `Resources.Table`.
        place: String,
        /// What serde found.
        #[source]
        source: serde_json::Error,
    },
    /// A `--parameter` that the template does not declare.
    #[error("the template has no parameter {name}; it has {known}")]
    UnknownParameter {
        /// The name asked for.
        name: String,
        /// Those declared, separated by commas.
        known: String,
    },
    /// A parameter's value breaks the parameter's own rule.
    #[error("parameter {name} cannot be {value:?}: {rule}")]
    ParameterValue {
        /// The parameter.
        name: String,
        /// The value refused.
        value: String,
        /// What it must be.
        rule: String,
    },
    /// A reference to something the local stack does not know.
    #[error("the template refers to {reference}, which the local stack cannot resolve")]
    Unresolved {
        /// The reference as written.
        reference: String,
    },
    /// Something valid on AWS that the local stack does not run.
    #[error("{place}: {reason}")]
    Unsupported {
        /// Where.
        place: String,
        /// What is not supported.
        reason: String,
    },
}
