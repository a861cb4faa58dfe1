//! Builds the binaries and starts a stack.

use std::{
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OnceCell, Semaphore, oneshot},
    time::timeout,
};

use super::{Data, Stack};
use crate::backstage::Backstage;

/// The most stacks at once. Each has several processes.
static SLOTS: Semaphore = Semaphore::const_new(4);
/// The binaries are built once per run of the tests.
static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
/// The longest start of a stack beside others.
const START: Duration = Duration::from_secs(60);

/// How to start a stack. It can be started several times.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The directory of the binaries.
    pub binaries: PathBuf,
    /// Options of `cargo local`. With `--ephemeral`, the data directory is deleted with the stack.
    pub options: Vec<String>,
    /// Variables to add to this process's environment.
    pub environment: Vec<(&'static str, String)>,
    /// The address of the local endpoints of GitHub's simulator, if it is not the stack's own.
    pub github_desk: Option<String>,
}

impl Launch {
    /// A stack on a free port whose schedules run only when a test starts them.
    pub(super) async fn of_a_test(data: Option<&Path>, options: &[&str]) -> Self {
        let mut all = vec![
            "--no-schedules".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
        ];
        match data {
            Some(path) => {
                all.push("--data".to_owned());
                all.push(path.to_str().expect("the path is text").to_owned());
            }
            None => all.push("--ephemeral".to_owned()),
        }
        all.extend(options.iter().map(|option| (*option).to_owned()));
        Self {
            binaries: binaries().await.to_owned(),
            options: all,
            environment: Vec::new(),
            github_desk: None,
        }
    }

    /// Starts the stack. Returns `Err` with its output if it does not start.
    pub async fn start(&self) -> Result<Stack, String> {
        let slot = SLOTS.acquire().await.expect("it is never closed");
        let mut process = Command::new(self.binaries.join("local"))
            .arg("--no-build")
            .args(&self.options)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary is built");
        let said = Arc::new(Mutex::new(String::new()));
        let errors = process.stderr.take().expect("it is piped");
        let ear = listen_to(errors, Arc::clone(&said));
        let output = process.stdout.take().expect("it is piped");
        let (tell, ready) = oneshot::channel();
        std::thread::spawn(move || {
            let first = BufReader::new(output).lines().next();
            // The receiver is gone if the start timed out.
            let _ = tell.send(first.and_then(Result::ok));
        });
        let line = timeout(START, ready).await.ok().and_then(Result::ok);
        let url = line.flatten();
        let url = url.as_deref().and_then(|line| line.strip_prefix("ready "));
        let Some(url) = url.map(str::to_owned) else {
            end(&mut process);
            // The whole output has been read once the pipe is closed.
            let _ = ear.join();
            return Err(text(&said));
        };
        let said = text(&said);
        let after = |label: &str| {
            let rest = said.split_once(label);
            let (_, rest) = rest.expect("the stack says where it is");
            let place = rest.split([',', '\n']).next();
            place.unwrap_or_default().to_owned()
        };
        let logs = PathBuf::from(after("the functions log to "));
        let directory = logs.parent().expect("logs lie in the data").to_owned();
        let temporary = self.options.iter().any(|option| option == "--ephemeral");
        Ok(Stack {
            process,
            github: after("GitHub at "),
            github_desk: self.github_desk.clone().unwrap_or_else(|| url.clone()),
            url,
            http: reqwest::Client::new(),
            data: Data {
                directory,
                temporary,
            },
            backstage: Backstage::open(&after("DynamoDB at "), &after("SQS at ")).await,
            _slot: slot,
        })
    }
}

/// Kills the process and waits for its end. The kernel then kills its functions.
pub(super) fn end(process: &mut Child) {
    // Both fail only if the process has ended and been reaped.
    let _ = process.kill();
    let _ = process.wait();
}

fn listen_to(
    pipe: impl io::Read + Send + 'static,
    said: Arc<Mutex<String>>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(&line);
            said.push('\n');
        }
    })
}

fn text(said: &Mutex<String>) -> String {
    said.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Builds the binaries in the tests' profile. Returns their directory.
pub async fn binaries() -> &'static Path {
    BUILT
        .get_or_init(async || {
            let test = std::env::current_exe().expect("a test has a file");
            // <target>/<profile>/deps/<test>
            let binaries = test.ancestors().nth(2).expect("it lies in <profile>/deps");
            let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            let built = local::compile::compile(&workspace, binaries).await;
            built.expect("the workspace builds");
            binaries.to_owned()
        })
        .await
}

/// Builds the binaries in the benchmarks' profile, which uses the folder of releases. Returns their directory.
pub fn bench_binaries() -> io::Result<PathBuf> {
    let benchmark = std::env::current_exe()?;
    let folders: Vec<_> = benchmark.ancestors().skip(2).take(2).collect();
    let [binaries, target] = folders[..] else {
        let place = format!("{} is not in a target directory", benchmark.display());
        return Err(io::Error::other(place));
    };
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--workspace", "--bins"])
        .args(["--profile", "bench", "--target-dir"])
        .arg(target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .status()?;
    if status.success() {
        Ok(binaries.to_owned())
    } else {
        Err(io::Error::other(format!(
            "the binaries do not build ({status})"
        )))
    }
}
