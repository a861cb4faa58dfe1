//! The function's configuration, from its environment.

use github::GithubConfig;
use runtime::environment::{self, InvalidEnvironment};

/// The function's configuration, as set by template.yaml.
#[derive(Clone, Debug)]
pub struct Config {
    /// `TABLE`: the table of all rows.
    pub table: String,
    /// `GITHUB_API_URL`, `GITHUB_API_VERSION`, `GITHUB_APP_ID`, `GITHUB_PRIVATE_KEY_SECRET`.
    pub github: GithubConfig,
}

impl Config {
    /// Reads the environment; the error names the variable.
    pub fn from_env() -> Result<Self, InvalidEnvironment> {
        Ok(Self {
            table: environment::read("TABLE")?,
            github: environment::github()?,
        })
    }
}
