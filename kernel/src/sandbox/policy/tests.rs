use std::fs;

use super::*;

/// A temporary directory without a symlink in its path.
fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    (dir, path)
}

fn config(work_dir: &Path) -> SandboxConfig {
    SandboxConfig { work_dir: work_dir.into(), ..SandboxConfig::default() }
}

fn problems(config: &SandboxConfig) -> Vec<String> {
    match Policy::new(config) {
        Err(Error::Config { problems }) => problems,
        other => panic!("expected contradictions, got {other:?}"),
    }
}

/// The one problem of `config`.
fn problem(config: &SandboxConfig) -> String {
    let problems = problems(config);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.into_iter().next().unwrap()
}

#[test]
fn the_default_config_is_consistent() {
    let policy = Policy::new(&SandboxConfig::default()).unwrap();

    assert_eq!(policy.memory, Some(Limit { value: 256 << 20, named: false }));
    assert_eq!(policy.network, Network::None);
    assert_eq!(policy.syscalls, Syscalls::Default);
    assert!(!policy.work_dir_named);
}

#[test]
fn the_guest_gets_four_variables_and_those_that_were_asked_for() {
    let (_guard, dir) = scratch();
    let environment = [("TOKEN".into(), "a=b".into()), ("LANG".into(), "de".into())].into();

    let policy = Policy::new(&SandboxConfig { environment, ..config(&dir) }).unwrap();

    let names: Vec<_> = policy.environment.keys().collect();
    assert_eq!(names, ["HOME", "LANG", "PATH", "TMPDIR", "TOKEN"]);
    assert_eq!(policy.environment["HOME"], dir.to_str().unwrap());
    assert_eq!(policy.environment["LANG"], "de");
}

#[test]
fn a_limit_is_named_when_written_or_when_it_is_not_the_default() {
    let mut config = SandboxConfig { cpu_time_limit: Some(7), ..SandboxConfig::default() };
    config.named.insert("memory_limit");

    let policy = Policy::new(&config).unwrap();

    assert!(policy.cpu_time.unwrap().named);
    assert!(policy.memory.unwrap().named);
    assert!(!policy.file_size.unwrap().named);
}

#[test]
fn every_contradiction_is_told_at_once() {
    let config = SandboxConfig {
        work_dir: "/proc/self/fd/3".into(),
        cpu_time_limit: Some(0),
        memory_limit: Some(4096),
        timeout: Some(Duration::ZERO),
        max_processes: Some(0),
        enable_network: true,
        allowed_paths: vec!["/".into(), "etc".into()],
        enable_seccomp: false,
        seccomp_profile: Some(SeccompProfile::Json("{}".into())),
        environment: [("A=B".into(), String::new())].into(),
        allow_degraded: vec!["memry".into()],
        ..SandboxConfig::default()
    };

    let problems = problems(&config);

    assert_eq!(problems.len(), 11, "{problems:#?}");
    assert!(problems.iter().any(|it| it.contains("did you mean `memory`?")), "{problems:#?}");
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let default = SandboxConfig::default;
    for (key, config) in [
        ("memory_limit", SandboxConfig { memory_limit: Some((1 << 20) - 1), ..default() }),
        ("memory_limit", SandboxConfig { memory_limit: Some(u64::MAX), ..default() }),
        ("file_size_limit", SandboxConfig { file_size_limit: Some(u64::MAX), ..default() }),
        ("max_output", SandboxConfig { max_output: 0, ..default() }),
        ("max_output", SandboxConfig { max_output: 1 << 40, ..default() }),
        ("cpu_time_limit", SandboxConfig { cpu_time_limit: Some(0), ..default() }),
        ("cpu_time_limit", SandboxConfig { cpu_time_limit: Some(u64::MAX), ..default() }),
        ("cpu_quota", SandboxConfig { cpu_quota: Some(0.0), ..default() }),
        ("cpu_quota", SandboxConfig { cpu_quota: Some(-1.0), ..default() }),
        ("cpu_quota", SandboxConfig { cpu_quota: Some(f64::NAN), ..default() }),
        ("cpu_quota", SandboxConfig { cpu_quota: Some(f64::INFINITY), ..default() }),
        ("timeout", SandboxConfig { timeout: Some(Duration::ZERO), ..default() }),
        ("timeout", SandboxConfig { timeout: Some(Duration::MAX), ..default() }),
        ("max_processes", SandboxConfig { max_processes: Some(0), ..default() }),
        ("max_processes", SandboxConfig { max_processes: Some(u64::MAX), ..default() }),
    ] {
        let problem = problem(&config);
        assert!(problem.starts_with(&format!("`{key}` is ")), "{problem}");
    }
}

#[test]
fn the_edges_of_the_limits_are_allowed() {
    let config = SandboxConfig {
        memory_limit: Some(1 << 20),
        file_size_limit: Some(0),
        timeout: Some(Duration::from_millis(1)),
        cpu_time_limit: None,
        max_processes: Some(1),
        cpu_quota: Some(0.01),
        ..SandboxConfig::default()
    };

    let policy = Policy::new(&config).unwrap();

    assert_eq!(policy.file_size, Some(Limit { value: 0, named: true }));
    assert_eq!(policy.cpu_time, None);
}

#[test]
fn a_network_without_hosts_and_hosts_without_a_network_are_refused() {
    let hosts = || vec!["api.trusted.com".to_owned()];
    let default = SandboxConfig::default;

    let no_hosts = problem(&SandboxConfig { enable_network: true, ..default() });
    assert!(no_hosts.contains("write `[\"*\"]` to open the whole network"), "{no_hosts}");
    let no_network = problem(&SandboxConfig { allowed_hosts: hosts(), ..default() });
    assert!(no_network.contains("`enable_network` is false"), "{no_network}");

    let listed = SandboxConfig { enable_network: true, allowed_hosts: hosts(), ..default() };
    assert!(matches!(Policy::new(&listed).unwrap().network, Network::Hosts(_)));
    let url = SandboxConfig { allowed_hosts: vec!["https://a.b/".into()], ..listed.clone() };
    assert!(problem(&url).contains("`https://a.b/` is a URL; write its host alone"));
    let all = SandboxConfig { allowed_hosts: vec!["*".into()], ..listed };
    assert_eq!(Policy::new(&all).unwrap().network, Network::All);
    let both = SandboxConfig { allowed_hosts: vec!["*".into(), "a.b".into()], ..all };
    assert!(problem(&both).contains("beside other entries"));
}

#[test]
fn a_level_and_a_layer_switched_off_contradict_each_other() {
    use SandboxSecurityLevel::{Paranoid, Standard, Strict};

    let off = SandboxConfig { enable_seccomp: false, landlock: false, ..SandboxConfig::default() };

    for level in [Strict, Paranoid] {
        assert_eq!(problems(&SandboxConfig { security_level: level, ..off.clone() }).len(), 2);
    }
    assert!(Policy::new(&SandboxConfig { security_level: Standard, ..off }).is_ok());
}

#[test]
fn a_profile_that_cannot_be_read_is_named() {
    let (_guard, dir) = scratch();
    let path = dir.join("missing.json");
    let mut config =
        SandboxConfig { seccomp_profile: Some(SeccompProfile::Path(path.clone())), ..config(&dir) };

    let problem = problem(&config);
    assert!(problem.contains("missing.json` cannot be read: No such file"), "{problem}");

    fs::write(&path, "{}").unwrap();
    assert_eq!(Policy::new(&config).unwrap().syscalls, Syscalls::Profile("{}".into()));
    config.enable_seccomp = false;
    assert!(matches!(Policy::new(&config), Err(Error::Config { .. })));
}

#[test]
fn variables_and_commands_that_no_system_call_takes_are_refused() {
    let (_guard, dir) = scratch();
    for (name, value) in
        [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0y"), ("A", &"x".repeat(128 << 10))]
    {
        let environment = [(name.to_owned(), value.to_owned())].into();
        let problem = problem(&SandboxConfig { environment, ..config(&dir) });
        assert!(problem.starts_with("`environment` entry "), "{problem}");
    }
    for command in ["", "a\0", "./a", "bin/a"] {
        let allowed_commands = vec![command.to_owned()];
        let problem = problem(&SandboxConfig { allowed_commands, ..config(&dir) });
        assert!(problem.starts_with("`allowed_commands` entry "), "{problem}");
    }
    let allowed_commands = vec!["python3".to_owned(), "/usr/bin/env".to_owned()];
    assert!(Policy::new(&SandboxConfig { allowed_commands, ..config(&dir) }).is_ok());
}

#[test]
fn a_work_dir_that_does_not_exist_yet_is_fine() {
    let (_guard, dir) = scratch();

    let policy = Policy::new(&config(&dir.join("a/./b/../c"))).unwrap();

    assert_eq!(policy.work_dir, dir.join("a/c"));
    assert!(policy.work_dir_named);
}

#[test]
fn a_relative_work_dir_lies_below_the_current_directory() {
    let policy = Policy::new(&config(Path::new("not-there-yet/../work"))).unwrap();

    assert_eq!(policy.work_dir, std::env::current_dir().unwrap().join("work"));
}

#[test]
fn a_work_dir_that_is_or_passes_through_a_file_is_refused() {
    let (_guard, dir) = scratch();
    fs::write(dir.join("file"), "").unwrap();

    assert!(problem(&config(&dir.join("file"))).ends_with("is not a directory"));
    let below = problem(&config(&dir.join("file/work")));
    assert!(below.contains("passes through"), "{below}");
    assert!(Policy::new(&config(&dir)).is_ok());
}

#[test]
#[cfg(unix)]
fn a_symlink_in_the_work_dir_is_refused_with_the_path_to_write_instead() {
    let (_guard, dir) = scratch();
    fs::create_dir_all(dir.join("real/work")).unwrap();
    std::os::unix::fs::symlink(dir.join("real"), dir.join("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.join("dangling")).unwrap();

    for (work_dir, message) in [
        ("link/work", format!("`; write where it leads, `{}`", dir.join("real/work").display())),
        ("link", format!("`; write where it leads, `{}`", dir.join("real").display())),
        ("link/../other", "passes through the symlink".into()),
        ("dangling", "which leads nowhere".into()),
    ] {
        let problem = problem(&config(&dir.join(work_dir)));
        assert!(problem.contains(&message), "{problem}");
    }
    assert!(Policy::new(&config(&dir.join("real/work"))).is_ok());
}

#[test]
fn what_belongs_to_the_kernel_or_the_system_is_no_work_dir() {
    for work_dir in [
        "/",
        "/proc/self/fd/3",
        "/proc/self/cwd",
        "/sys",
        "/dev/fd/3",
        "/tmp/../proc/1",
        "/usr",
        "/etc/",
    ] {
        let problem = problem(&config(Path::new(work_dir)));
        assert!(problem.starts_with("`work_dir` `/"), "{problem}");
    }
    for work_dir in ["", "/tmp/a\0b"] {
        let problem = problem(&config(Path::new(work_dir)));
        assert!(problem.starts_with("`work_dir` "), "{problem}");
    }
}

#[test]
fn allowed_paths_are_read_write_unless_they_say_otherwise() {
    let (_guard, dir) = scratch();
    for name in ["a", "b", "c:d"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    let path = |name: &str| format!("{}/{name}", dir.display());
    let allowed_paths = vec![path("a"), path("b:ro"), path("c:d:rw")];

    let policy =
        Policy::new(&SandboxConfig { allowed_paths, ..config(&dir.join("work")) }).unwrap();

    let access: Vec<_> =
        policy.allowed_paths.iter().map(|it| (it.path.clone(), it.access)).collect();
    assert_eq!(
        access,
        [
            (dir.join("a"), Access::ReadWrite),
            (dir.join("b"), Access::ReadOnly),
            (dir.join("c:d"), Access::ReadWrite),
        ],
    );
}

#[test]
#[cfg(unix)]
fn allowed_paths_that_mean_nothing_or_too_much_are_refused() {
    let (_guard, dir) = scratch();
    let path = |name: &str| format!("{}/{name}", dir.display());
    for name in ["a", "work"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    let socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    std::os::unix::fs::symlink("a", dir.join("link")).unwrap();

    for (entries, message) in [
        (vec!["a".into()], "is relative; write `/"),
        (vec!["".into()], "is empty"),
        (vec![":ro".into()], "is empty"),
        (vec![path("missing:ro")], "does not exist"),
        (vec![path("a:r0")], "does not exist"),
        (vec![path("a\0b")], "contains a NUL byte"),
        (vec![path("link:ro")], "is the symlink"),
        (vec![path("socket")], "neither a file nor a directory"),
        (vec!["/".into()], "is the whole host"),
        (vec!["/..:ro".into()], "is the whole host"),
        (vec!["/proc/self:ro".into()], "belongs to the kernel"),
        (vec!["/dev/null".into()], "belongs to the kernel"),
        (vec!["/usr".into()], "is never writable inside"),
        (vec![path("a"), path("a/")], "twice"),
        (vec![path("a"), path("a:ro")], "both read-only and read-write"),
        (vec![path("work:ro")], "it is the `work_dir`"),
    ] {
        let problem =
            problem(&SandboxConfig { allowed_paths: entries, ..config(&dir.join("work")) });
        assert!(problem.contains(message), "{problem}");
    }
    let fine = vec![path("a"), path("work"), "/usr:ro".into()];
    assert!(
        Policy::new(&SandboxConfig { allowed_paths: fine, ..config(&dir.join("work")) }).is_ok()
    );
    drop(socket);
}

#[test]
fn a_read_only_path_inside_a_writable_one_is_found() {
    let (_guard, dir) = scratch();
    fs::create_dir_all(dir.join("work/.git")).unwrap();
    fs::create_dir_all(dir.join("workshop")).unwrap();
    let path = |name: &str| format!("{}/{name}:ro", dir.display());
    let allowed_paths = vec![path("work/.git"), path("workshop")];

    let policy =
        Policy::new(&SandboxConfig { allowed_paths, ..config(&dir.join("work")) }).unwrap();

    let found: Vec<_> = policy.read_only_inside_writable().collect();
    assert_eq!(found, [(dir.join("work/.git").as_path(), dir.join("work").as_path())]);
}
