//! The local stack: the real function binaries behind a Lambda runtime API, wired as `template.yaml` says.

pub mod template;
