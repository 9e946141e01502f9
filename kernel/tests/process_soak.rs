//! Hosts that are killed at any moment leave nothing, whichever back end.
//!
//! `NEUROFLOW_SOAK=1000` says how many; without it a few are killed.
#![cfg(all(target_os = "linux", not(neuroflow_portable)))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::os::unix::process::CommandExt;
use std::process::{Command as Host, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use kernel::sandbox::{Command, SandboxConfig, SandboxExecutor, SandboxSecurityLevel};
use neuroflow_tests::need;

/// The work dir of the host that is to be killed.
const WORK: &str = "NEUROFLOW_SOAK_WORK";

/// Guests that do not want to end.
const SCRIPTS: [&str; 4] = [
    "sleep 1000",
    "trap '' TERM; setsid sleep 1000 & setsid sh -c 'kill -STOP $$' & while :; do sleep 1; done",
    "while :; do setsid sleep 1000 & sleep 0.01; done",
    "exec sh -c 'while :; do :; done'",
];

/// Starts guests on both back ends, without end.
fn be_a_host(work_dir: &std::ffi::OsStr) {
    let config = SandboxConfig { work_dir: work_dir.into(), ..SandboxConfig::default() };
    let strict = SandboxConfig { security_level: SandboxSecurityLevel::Strict, ..config.clone() };
    let executors = [
        SandboxExecutor::new_process(config.clone()),
        SandboxExecutor::new_process(strict),
        SandboxExecutor::new_namespace(config),
    ];
    thread::scope(|scope| {
        for (executor, script) in executors.iter().cycle().zip(SCRIPTS) {
            scope.spawn(move || {
                let mut command = Command::new("sh");
                command.args(["-c", script]);
                drop(executor.run(command));
            });
        }
    });
}

/// Processes with that work dir for a HOME: guests, and what they started.
/// The host that is to be killed is not one of them.
fn left(work_dir: &str) -> Vec<String> {
    let home = format!("HOME={work_dir}\0");
    let mentions = |file: &str| {
        fs::read(file).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&home))
    };
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|it| it.ok()?.file_name().into_string().ok());
    pids.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|pid| mentions(&format!("/proc/{pid}/environ")))
        .collect()
}

/// Launchers, which have no environment to tell them by: the host's children,
/// whichever of its threads has spawned them.
fn helpers_of(host: u32) -> Vec<String> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{host}/task")) else { return Vec::new() };
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|children| children.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Not a zombie: orphans are reaped by the machine's init when it likes.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with('Z'))
}

#[test]
fn l4_nothing_goes_on_whenever_the_host_is_killed() {
    if let Some(work_dir) = env::var_os(WORK) {
        be_a_host(&work_dir);
        return;
    }
    need!(UserNamespaces);
    let rounds =
        env::var("NEUROFLOW_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(8_u32);
    let mut seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();

    let mut with_guests = 0;

    for round in 0..rounds {
        let work = tempfile::tempdir().unwrap();
        let work_dir = work.path().to_str().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a host of its own, to be killed")]
        let mut host = Host::new(env::current_exe().unwrap())
            .args(["--exact", "l4_nothing_goes_on_whenever_the_host_is_killed"])
            .env(WORK, work_dir)
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        // A linear congruence is random enough for a moment.
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        thread::sleep(Duration::from_micros(u64::from(seed >> 8) % 600_000));
        let helpers = helpers_of(host.id());
        with_guests += u32::from(!left(work_dir).is_empty() && !helpers.is_empty());

        host.kill().unwrap();
        host.wait().unwrap();

        let killed = Instant::now();
        let gone = || left(work_dir).is_empty() && !helpers.iter().any(|pid| is_alive(pid));
        while !gone() {
            let left = left(work_dir);
            assert!(
                killed.elapsed() < Duration::from_secs(5),
                "round {round}, killed after {} µs: guests {left:?}, helpers {helpers:?}",
                u64::from(seed >> 8) % 600_000,
            );
            thread::sleep(Duration::from_millis(5));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(work_dir), "round {round}: {mounts}");
    }
    assert!(rounds < 8 || with_guests > 0, "no host was killed while guests ran");
}
