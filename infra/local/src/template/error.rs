//! Why a template or a parameter is refused.

/// Why a template cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file is not YAML.
    #[error("the template is not valid YAML")]
    Yaml(#[source] serde_saphyr::Error),
    /// A part of the document does not have the shape that CloudFormation requires.
    #[error("cannot read {place} of the template")]
    Shape {
        /// The path in the document, for example `Resources.Table`.
        place: String,
        /// Serde's error.
        #[source]
        source: serde_json::Error,
    },
    /// A `--parameter` that the template does not declare.
    #[error("the template has no parameter {name}; it has {known}")]
    UnknownParameter {
        /// The requested name.
        name: String,
        /// The declared parameters, separated by commas.
        known: String,
    },
    /// A parameter's value violates the parameter's own rule.
    #[error("parameter {name} cannot be {value:?}: {rule}")]
    ParameterValue {
        /// The parameter.
        name: String,
        /// The refused value.
        value: String,
        /// The rule.
        rule: String,
    },
    /// A reference that the local stack does not know.
    #[error("the template refers to {reference}, which the local stack cannot resolve")]
    Unresolved {
        /// The reference as written.
        reference: String,
    },
    /// Valid on AWS, but not supported by the local stack.
    #[error("{place}: {reason}")]
    Unsupported {
        /// The path in the document.
        place: String,
        /// What is not supported.
        reason: String,
    },
}
