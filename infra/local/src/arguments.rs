//! The command line of `cargo local`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::Parser;

/// Runs Security Agent on this machine: the real function binaries, wired as template.yaml says.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo local", version)]
pub struct Arguments {
    /// Where the API is served; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    pub listen: SocketAddr,

    /// Directory for databases, keys and logs
    #[arg(long, value_name = "DIR", default_value = "./.local")]
    pub data: PathBuf,

    /// Keep nothing: databases in memory, logs and keys in a temporary directory
    #[arg(long, conflicts_with = "data")]
    pub ephemeral: bool,

    /// Another dataset for the GitHub simulator, or the URL of a GitHub API to use instead of it; a URL also needs
    /// --parameter GithubAppId=… and the App's private key in the file that LOCAL_GITHUB_PRIVATE_KEY_FILE names
    #[arg(long, value_name = "DIR|URL")]
    pub github: Option<Github>,

    /// URL of an analysis service to use instead of the simulator; LOCAL_AGENT_TOKEN_FILE may name the
    /// file with its token
    #[arg(long, value_name = "URL", value_parser = address)]
    pub agent: Option<String>,

    /// DynamoDB endpoint to use instead of the embedded one
    #[arg(long, value_name = "URL", value_parser = address)]
    pub dynamodb: Option<String>,

    /// SQS endpoint to use instead of the embedded one
    #[arg(long, value_name = "URL", value_parser = address)]
    pub sqs: Option<String>,

    /// Overrides a parameter of template.yaml; may be repeated
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,

    /// The account's Lambda concurrency: further invocations are throttled, as on AWS; unlimited by default
    #[arg(long, value_name = "N")]
    pub concurrency: Option<NonZeroU32>,

    /// Run the existing binaries without building them first
    #[arg(long)]
    pub no_build: bool,

    /// Run the function binaries in this folder without building them; each is named after its function
    #[arg(long, value_name = "DIR", conflicts_with = "no_build")]
    pub binaries: Option<PathBuf>,

    /// Run the demo, then stop
    #[arg(long)]
    pub demo: bool,

    /// Limit each partition key of the table to 1,000 write units and 3,000 read units a second, without bursts, and
    /// throttle what exceeds that as DynamoDB does
    #[arg(long)]
    pub partition_limits: bool,

    /// Run no function on schedule; POST /local/schedules/{function} still works
    #[arg(long)]
    pub no_schedules: bool,
}

impl Arguments {
    /// The dataset that the GitHub simulator serves; `None` if GitHub is not simulated.
    pub fn dataset(&self, workspace: &Path) -> Option<PathBuf> {
        match &self.github {
            None => Some(workspace.join("tests/data/dependabot")),
            Some(Github::Dataset(path)) => Some(path.clone()),
            Some(Github::Api(_)) => None,
        }
    }
}

/// Which GitHub the functions talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Github {
    /// The simulator, with the dataset in this directory.
    Dataset(PathBuf),
    /// An API at this address.
    Api(String),
}

impl From<&str> for Github {
    fn from(text: &str) -> Self {
        if text.starts_with("http://") || text.starts_with("https://") {
            Self::Api(text.trim_end_matches('/').to_owned())
        } else {
            Self::Dataset(PathBuf::from(text))
        }
    }
}

fn address(text: &str) -> Result<String, String> {
    match reqwest::Url::parse(text) {
        Ok(url) if url.has_host() && matches!(url.scheme(), "http" | "https") => {
            Ok(text.to_owned())
        }
        Ok(_) | Err(_) => Err("expected an address such as http://127.0.0.1:8000".to_owned()),
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn github_is_a_directory_or_an_address() {
        let github = |text: &str| {
            let arguments = Arguments::try_parse_from(["local", "--github", text]);
            arguments.expect("it parses").github.expect("it is given")
        };
        assert_eq!(
            github("https://ghe.invalid/api/v3/"),
            Github::Api("https://ghe.invalid/api/v3".to_owned())
        );
        assert_eq!(github("./data"), Github::Dataset(PathBuf::from("./data")));
    }

    #[test]
    fn a_parameter_has_a_name_and_a_value() {
        let parse = |text: &str| Arguments::try_parse_from(["local", "--parameter", text]);
        let parameters = parse("A=b=c").expect("it parses").parameters;
        assert_eq!(parameters, [("A".to_owned(), "b=c".to_owned())]);
        assert!(parse("A").is_err());
    }
}
