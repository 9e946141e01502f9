//! Where the self-test runs: a directory with a secret in it, a listener that
//! nobody should reach, and ways to do an act inside and outside.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kernel::sandbox::executor::SandboxExecutor;
use kernel::sandbox::{Backend, Command, Error, Outcome, Result, SandboxConfig, Stdin};

use super::sys;

/// What an act came to: its text, or the number of the error.
pub(super) type Answer = std::result::Result<String, i32>;

/// Everything that is set up once for all checks; removed when it is dropped.
#[derive(Debug)]
pub(super) struct Bench {
    root: PathBuf,
    program: PathBuf,
    listener: TcpListener,
    /// Held open for a guest that should not be able to connect.
    abstract_listener: UnixListener,
    /// Open and inheritable, as a careless application leaves it.
    _inheritable: fs::File,
}

impl Bench {
    /// Sets everything up in a new directory below the system's own for
    /// temporary files.
    pub(super) fn new() -> Result<Self> {
        let failed = |source| Error::Setup { step: "set the self-test up".to_owned(), source };
        Self::set_up().map_err(failed)
    }

    fn set_up() -> io::Result<Self> {
        let root = std::env::temp_dir().canonicalize()?;
        let root = root.join(format!("neuroflow-selftest-{}", std::process::id()));
        fs::create_dir(&root)?;
        for name in ["work", "read-only"] {
            fs::create_dir(root.join(name))?;
        }
        for name in ["secret", "read-only/file"] {
            fs::write(root.join(name), "what a guest must not have")?;
            fs::set_permissions(root.join(name), PermissionsExt::from_mode(0o666))?;
        }
        let inheritable = fs::File::open(root.join("secret"))?;
        sys::let_through_exec(inheritable.as_raw_fd())?;
        let name = Self::abstract_name_of(&root);
        let name = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        Ok(Self {
            program: std::env::current_exe()?.canonicalize()?,
            listener: TcpListener::bind(("127.0.0.1", 0))?,
            abstract_listener: UnixListener::bind_addr(&name)?,
            _inheritable: inheritable,
            root,
        })
    }

    /// A path in the directory of the self-test.
    pub(super) fn path(&self, name: &str) -> String {
        self.root.join(name).display().to_string()
    }

    /// Where we listen on the host's loopback.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The abstract unix socket that we listen on.
    pub(super) fn abstract_name(&self) -> String {
        debug_assert!(self.abstract_listener.local_addr().is_ok());
        Self::abstract_name_of(&self.root)
    }

    fn abstract_name_of(root: &Path) -> String {
        root.display().to_string()
    }

    /// The config of a check, before the check changes it.
    pub(super) fn config(&self) -> SandboxConfig {
        SandboxConfig {
            work_dir: self.root.join("work"),
            allowed_paths: vec![
                format!("{}:ro", self.program.display()),
                format!("{}:ro", self.path("read-only")),
            ],
            timeout: Some(Duration::from_secs(10)),
            // What this host cannot do better is said in the receipt; here it is
            // what happens that counts.
            allow_degraded: vec!["memory".to_owned()],
            ..SandboxConfig::default()
        }
    }

    /// Empties the work dir, and takes away what a guest made beside it.
    pub(super) fn clean(&self) -> io::Result<()> {
        fs::remove_dir_all(self.root.join("work"))?;
        fs::create_dir(self.root.join("work"))?;
        match fs::remove_file(self.root.join("made")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Does `act` inside, under `config`.
    pub(super) fn inside(
        &self,
        backend: Backend,
        config: SandboxConfig,
        act: &[String],
    ) -> Result<Outcome> {
        let mut command = Command::new(&self.program);
        command.arg(super::GUEST).args(act).stdin(Stdin::Empty);
        match backend {
            Backend::Namespace => SandboxExecutor::new_namespace(config).run(command),
            _ => SandboxExecutor::new_process(config).run(command),
        }
    }

    /// Does `act` in a process of our own, without any sandbox.
    #[allow(clippy::disallowed_methods, reason = "the control: what happens without a sandbox")]
    pub(super) fn outside(&self, act: &[String]) -> io::Result<Answer> {
        let output = std::process::Command::new(&self.program)
            .arg(super::GUEST)
            .args(act.iter().map(OsStr::new))
            .stdin(std::process::Stdio::null())
            .output()?;
        answer(&output.stdout).ok_or_else(|| io::Error::other("the act gave no answer"))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // A directory that cannot be removed is seen in the temporary directory;
        // there is nobody left to tell.
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Reads the line that a guest answers with.
pub(super) fn answer(stdout: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(stdout);
    let line = text.lines().next()?;
    match line.split_once(' ').unwrap_or((line, "")) {
        ("done", text) => Some(Ok(text.trim().to_owned())),
        ("errno", number) => number.parse().ok().map(Err),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_read_from_the_first_line_and_nothing_else_is_one() {
        assert_eq!(answer(b"done 3 bytes\nmore"), Some(Ok("3 bytes".to_owned())));
        assert_eq!(answer(b"done \n"), Some(Ok(String::new())));
        assert_eq!(answer(b"errno 13\n"), Some(Err(13)));
        assert_eq!(answer(b"errno x\n"), None);
        assert_eq!(answer(b""), None);
        assert_eq!(answer(b"everything is fine"), None);
    }
}
