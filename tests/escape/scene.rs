//! Where a test takes place: a work dir, a place outside of it, and ways to run
//! the same script inside a sandbox and outside of any.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use kernel::sandbox::{Command, Exit, NamespaceIsolator, Outcome, SandboxConfig};

use crate::told::Told;

/// Begins every script: `tell`, `say`, `call`.
const PRELUDE: &str = include_str!("tell.py");

/// Two folders of the caller's, both gone at the end.
pub(crate) struct Scene {
    work: PathBuf,
    outside: PathBuf,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = fs::canonicalize(std::env::temp_dir()).unwrap();
        let make = |name: &str| {
            let path = folder.join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        Self { work: make("work"), outside: make("outside") }
    }

    /// Whether the caller is root.
    pub(crate) fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    /// The work dir.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// A folder of the caller's that no config names.
    pub(crate) fn outside(&self) -> &Path {
        &self.outside
    }

    /// The default config, in this work dir.
    pub(crate) fn config(&self) -> SandboxConfig {
        SandboxConfig { work_dir: self.work.clone(), ..SandboxConfig::default() }
    }

    /// Runs a program inside, to its end.
    pub(crate) fn run(&self, config: SandboxConfig, argv: &[&str]) -> Outcome {
        NamespaceIsolator::new(config).run(command(argv)).unwrap()
    }

    /// Runs `sh -c script` inside.
    pub(crate) fn sh(&self, config: SandboxConfig, script: &str) -> Outcome {
        self.run(config, &["sh", "-c", &self.fill(script)])
    }

    /// Runs a Python script inside, to its end, whatever that is.
    pub(crate) fn python(&self, config: SandboxConfig, script: &str) -> Outcome {
        NamespaceIsolator::new(config).run(self.python_command(script)).unwrap()
    }

    /// Runs a Python script that tells what it found, inside.
    #[track_caller]
    pub(crate) fn inside(&self, config: SandboxConfig, script: &str) -> Told {
        let outcome = self.python(config, script);
        let stderr = String::from_utf8_lossy(&outcome.stderr);
        let told = Told::parse(&outcome.stdout);
        assert_eq!(outcome.exit, Exit::Exited(0), "{stderr}\n{told:?}");
        told
    }

    /// Runs the same script as the caller, outside of any sandbox.
    #[track_caller]
    pub(crate) fn unconfined(&self, script: &str) -> Told {
        let output = Process::new("/usr/bin/python3")
            .args(["-I", "-S", "-c", &self.script(script)])
            .current_dir(&self.work)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = Told::parse(&output.stdout);
        assert!(output.status.success(), "{}\n{told:?}", String::from_utf8_lossy(&output.stderr));
        told
    }

    /// The command that runs a Python script.
    pub(crate) fn python_command(&self, script: &str) -> Command {
        command(&["python3", "-I", "-S", "-c", &self.script(script)])
    }

    fn script(&self, script: &str) -> String {
        self.fill(&format!("{PRELUDE}\n{script}"))
    }

    /// Puts the two folders in the place of their names.
    fn fill(&self, script: &str) -> String {
        script
            .replace("@work", self.work.to_str().unwrap())
            .replace("@outside", self.outside.to_str().unwrap())
    }

    /// Makes a file of the caller's outside of the work dir.
    pub(crate) fn secret(&self) -> PathBuf {
        let path = self.outside.join("secret");
        fs::write(&path, "the secret\n").unwrap();
        path
    }

    /// The command that runs `test` of this program once more, as another host
    /// with folders of its own, in which [`role`] is `role`.
    pub(crate) fn again(&self, test: &str, role: &str) -> Process {
        let folder = self.outside.join(role);
        fs::create_dir(&folder).unwrap();
        // Not the path of the file, which may lie where an ordinary user cannot go.
        let mut process = Process::new(format!("/proc/{}/exe", std::process::id()));
        process.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        process.env(ROLE, role).env("TMPDIR", &folder).stdin(Stdio::null());
        process
    }

    /// Compiles a static C program into the work dir.
    pub(crate) fn compile(&self, name: &str, source: &str) -> PathBuf {
        let file = self.outside.join(format!("{name}.c"));
        fs::write(&file, source).unwrap();
        let program = self.work.join(name);
        let output = Process::new("cc")
            .args(["-static", "-O1", "-pthread", "-o"])
            .args([&program, &file])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        program
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for folder in [&self.work, &self.outside] {
            open_up(folder);
            fs::remove_dir_all(folder).unwrap();
        }
    }
}

/// Says to this program that it plays another part in a test.
const ROLE: &str = "NEUROFLOW_ESCAPE_ROLE";

/// The part this process plays, if it was started by [`Scene::again`].
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Makes every directory below `folder` one that its owner can remove.
fn open_up(folder: &Path) {
    let status = Process::new("find")
        .arg(folder)
        .args(["-type", "d", "!", "-perm", "-700", "-exec", "chmod", "u+rwx", "{}", ";"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    // It says so when it could not enter what it then opened; removing tells.
    let _ = status;
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
}

/// The command of an argument list.
pub(crate) fn command(argv: &[&str]) -> Command {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]);
    command
}

/// What a guest printed, as text.
pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
