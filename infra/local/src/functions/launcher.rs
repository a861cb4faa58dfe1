//! Starts processes that do not outlive the stack, however it ends.

use std::io;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A short form of Lambda's PATH; the launcher looks programs up in the environment that the function gets.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/opt/bin";

type Request = (Command, oneshot::Sender<io::Result<Child>>);

/// Starts processes from a thread of its own.
///
/// Linux's parent-death signal fires when the *thread* that started the process ends, so the thread must live as
/// long as the stack. It ends when the launcher is dropped.
#[derive(Debug)]
pub(crate) struct Launcher {
    requests: mpsc::Sender<Request>,
    death_signal: DeathSignal,
}

/// How a process is tied to the life of the stack's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeathSignal {
    /// `setpriv` from util-linux sets the parent-death signal, then executes the program.
    Setpriv,
    /// Without `setpriv`, an idle function exits when its runtime API is gone, a busy one after its invocation.
    Unavailable,
}

impl Launcher {
    /// Starts the thread. Must be called on a Tokio runtime, which the process handles use.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Handle::current();
        let (requests, receiver) = mpsc::channel::<Request>();
        thread::Builder::new()
            .name("launcher".to_owned())
            .spawn(move || {
                let _inside = runtime.enter();
                for (mut command, answer) in receiver {
                    // If the receiver is gone, dropping the process handle kills the process.
                    let _ = answer.send(command.spawn());
                }
            })?;
        Ok(Self {
            requests,
            death_signal: DeathSignal::probe(),
        })
    }

    /// Starts `program` in an empty environment that `prepare` fills.
    pub(crate) async fn launch(
        &self,
        program: &std::path::Path,
        prepare: impl FnOnce(&mut Command),
    ) -> io::Result<Child> {
        let mut command = match self.death_signal {
            DeathSignal::Setpriv => {
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            DeathSignal::Unavailable => Command::new(program),
        };
        command
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        // Ctrl-C in a terminal reaches the whole foreground group; the stack must decide when its functions end.
        #[cfg(unix)]
        command.process_group(0);
        prepare(&mut command);
        let (answer, started) = oneshot::channel();
        self.requests
            .send((command, answer))
            .map_err(|_| io::Error::other("the launcher thread has ended"))?;
        started
            .await
            .map_err(|_| io::Error::other("the launcher thread has ended"))?
    }
}

impl DeathSignal {
    fn probe() -> Self {
        let works = std::process::Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "true"])
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if works {
            Self::Setpriv
        } else {
            Self::Unavailable
        }
    }
}
