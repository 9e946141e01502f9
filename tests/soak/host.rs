//! A host: runs guests until it is told to end, or killed.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kernel::sandbox::{SandboxConfig, SandboxExecutor, SandboxSecurityLevel};

use super::guests::{AGAIN, GUESTS};
use super::random::Random;

/// Says to this program that it is a host, with the seed of its choices.
pub(crate) const ROLE: &str = "NEUROFLOW_SOAK_HOST";

/// The folder of the whole soak.
const FOLDER: &str = "NEUROFLOW_SOAK_FOLDER";

/// Wall-clock time of a guest.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(150);

/// Runs at once.
const THREADS: u64 = 2;

/// Starts one. `folder` is where it may leave nothing but in `work`.
pub(crate) fn start(seed: u64, folder: &Path) -> Child {
    let mut command = Command::new("/proc/self/exe");
    command.env(ROLE, seed.to_string()).env(FOLDER, folder).env("TMPDIR", folder.join("tmp"));
    command.env_remove("NEUROFLOW_REQUIRE").env_remove("NEUROFLOW_SKIPS");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// A text that stands in the command lines of guests, and nowhere else.
pub(crate) fn mark(folder: &Path) -> String {
    let digits: String =
        folder.to_string_lossy().bytes().map(|byte| char::from(b'0' + byte % 10)).collect();
    format!("86400.{digits}")
}

/// The life of a host: says `.` for every run whose ending is right, `x` for one
/// that came to none (something of it was killed), and a sentence for one that
/// ended as it must not.
pub(crate) fn play(seed: u64) -> ExitCode {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let ended = AtomicBool::new(false);
    let before = descriptors();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (folder, ended) = (&folder, &ended);
            scope.spawn(move || {
                let random = Random::new(seed * THREADS + thread);
                run_guests(random, folder, ended);
            });
        }
        // Ends with the supervisor, however that ends.
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        ended.store(true, Ordering::SeqCst);
    });
    // Whatever was opened for a run is closed by now, but for what a thread of the
    // host that ends a moment later still holds.
    let more = || descriptors().difference(&before).cloned().collect::<Vec<_>>();
    for _ in 0..100 {
        if more().is_empty() {
            return ExitCode::SUCCESS;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    say(&format!("open at the end of a host: {:?}", more()));
    ExitCode::SUCCESS
}

/// What is open in a host beside the launcher's program, which it keeps for the next
/// isolator.
fn descriptors() -> BTreeSet<String> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let targets = entries.filter_map(|entry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        let target = std::fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
        let known = target.contains("memfd:neuroflow-init") || target.ends_with("/fd");
        (!known).then(|| format!("{number} -> {target}"))
    });
    targets.collect()
}

fn run_guests(mut random: Random, folder: &Path, ended: &AtomicBool) {
    let isolators = [
        SandboxExecutor::new_namespace(config(folder, "namespace")),
        SandboxExecutor::new_process(SandboxConfig {
            // Below it /tmp is everybody's, and what is left there is meant to stay.
            security_level: SandboxSecurityLevel::Strict,
            ..config(folder, "process")
        }),
    ];
    let mark = mark(folder);
    while !ended.load(Ordering::SeqCst) {
        let guest = random.choose(GUESTS).unwrap();
        // Two in three in the namespace sandbox.
        let isolator = &isolators[usize::from(random.below(3) == 0)];
        let start = Instant::now();

        let result = isolator.run(guest.command(&mark));

        let late = start.elapsed() > TIMEOUT + PATIENCE;
        match result {
            Ok(outcome) if late => {
                say(&format!("{}: {:?} after {:?}", guest.name, outcome.exit, start.elapsed()));
            }
            Ok(outcome) if (guest.ends)(&outcome.exit) => say("."),
            // Killed by the supervisor, at any depth.
            Ok(outcome) if !outcome.success() => say("x"),
            Ok(_) => say(&format!("{}: told as a success", guest.name)),
            Err(error) if ["internal", "setup"].contains(&error.code()) => say("x"),
            Err(error) => say(&format!("{}: {error}", guest.name)),
        }
    }
}

/// How much later than its deadline a run may come back: this machine is busy.
const PATIENCE: Duration = Duration::from_secs(8);

fn say(line: &str) {
    // The supervisor may be gone.
    drop(writeln!(std::io::stdout(), "{line}"));
}

fn config(folder: &Path, backend: &str) -> SandboxConfig {
    SandboxConfig {
        work_dir: folder.join("work").join(backend),
        timeout: Some(TIMEOUT),
        memory_limit: Some(48 << 20),
        file_size_limit: Some(4 << 20),
        max_processes: Some(24),
        max_output: 64 << 10,
        environment: [AGAIN].map(|(name, value)| (name.into(), value.into())).into(),
        allow_degraded: vec!["memory".into()],
        ..SandboxConfig::default()
    }
}
