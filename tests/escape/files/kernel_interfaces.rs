//! F6 and D6: what steers the kernel, and what tells about it.

use kernel::sandbox::SandboxConfig;

/// Opens for writing what writing to would steer the machine; writes nothing.
const STEER: &str = "
opened = []
for folder, _, files in os.walk('/proc/sys'):
    for file in files:
        path = os.path.join(folder, file)
        try: os.close(os.open(path, os.O_WRONLY))
        except OSError: continue
        opened.append(path)
say('below /proc/sys', len(opened) and opened[:3])
for path in '/proc/sys/kernel/core_pattern', '/proc/sys/vm/overcommit_memory', \
            '/proc/sys/fs/suid_dumpable', '/proc/sys/kernel/hostname', '/proc/sysrq-trigger':
    tell(path, os.open, path, os.O_WRONLY)
";

#[test]
fn f6_kernel_interfaces_are_not_writable() {
    each_caller!(|scene| {
        for landlock in [true, false] {
            let config = SandboxConfig { landlock, ..scene.config() };

            let told = scene.inside(config, STEER);

            for (what, result) in told.iter() {
                let denied = match what {
                    "below /proc/sys" => result == "0",
                    _ => matches!(result, "EACCES" | "EROFS" | "ENOENT"),
                };
                assert!(denied, "{what}: {result}");
            }
        }
        if scene.is_root() {
            let twin = scene.unconfined(STEER);
            assert_ne!(twin.about("below /proc/sys"), "0");
            assert_eq!(twin.about("/proc/sys/kernel/core_pattern"), "ok");
        }
    });
}

#[test]
fn f6_no_control_in_proc_but_its_own_can_be_written() {
    each_caller!(|scene| {
        let script = "
opened = []
for folder, folders, files in os.walk('/proc'):
    if folder == '/proc':
        folders[:] = [name for name in folders if not name.isdigit() and name not in
                      ('self', 'thread-self', 'sys')]
    for file in files:
        path = os.path.join(folder, file)
        try: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError: continue
        # What is masked shows /dev/null, which takes everything and does nothing.
        if os.stat(path).st_rdev != os.makedev(1, 3): opened.append(path)
say('opened', opened)
";

        for landlock in [true, false] {
            let config = SandboxConfig { landlock, ..scene.config() };
            assert_eq!(scene.inside(config, script).about("opened"), "[]");
        }
        if scene.is_root() {
            assert!(scene.unconfined(script).about("opened").contains("/proc/"));
        }
    });
}

#[test]
fn f6_there_is_no_sysfs_and_no_cgroupfs() {
    each_caller!(|scene| {
        let script = "
kinds = {line.split(' - ')[1].split()[0] for line in open('/proc/self/mountinfo')}
say('kernel file systems', sorted(kinds & {
    'sysfs', 'cgroup', 'cgroup2', 'debugfs', 'tracefs', 'bpf', 'securityfs', 'configfs',
    'pstore', 'efivarfs', 'fusectl', 'devpts', 'devtmpfs', 'mqueue', 'binfmt_misc'}))
tell('/sys', os.listdir, '/sys')
";

        let told = scene.inside(scene.config(), script);

        // The devices are bound one by one from the host's devtmpfs.
        let kinds = told.about("kernel file systems");
        assert!(kinds == "[]" || kinds == "['devtmpfs']", "{kinds}");
        assert_eq!(told.about("/sys"), "ENOENT");
        assert!(scene.unconfined(script).about("kernel file systems").contains("sysfs"));
    });
}

#[test]
fn d6_kernel_memory_log_and_addresses_are_not_readable() {
    each_caller!(|scene| {
        let script = "
for path in '/proc/kcore', '/proc/kmsg', '/proc/kallsyms', '/proc/keys', '/proc/key-users', \
            '/proc/timer_list', '/proc/slabinfo', '/proc/vmallocinfo', '/proc/pagetypeinfo', \
            '/proc/iomem', '/proc/interrupts', '/proc/modules', '/dev/mem', '/dev/kmsg', \
            '/dev/port', '/proc/self/stack', '/proc/1/stack', '/proc/sched_debug':
    try:
        with open(path, 'rb', buffering=0) as file: got = len(file.read(8192))
    except OSError as e: got = errno.errorcode[e.errno]
    say(path, got)
";

        let told = scene.inside(scene.config(), script);

        for (path, got) in told.iter() {
            assert!(matches!(got, "0" | "ENOENT" | "EACCES" | "EPERM"), "{path}: {got}");
        }
        if scene.is_root() {
            let twin = scene.unconfined(script);
            for path in ["/proc/kallsyms", "/proc/interrupts", "/proc/iomem", "/dev/kmsg"] {
                assert!(twin.about(path).parse::<u64>().is_ok_and(|read| read > 0), "{twin:?}");
            }
        }
    });
}

#[test]
fn d6_kernel_log_cannot_be_asked_for() {
    each_caller!(|scene| {
        let script = "tell('syslog', call, 103, 10, 0, 0)";

        scene.inside(scene.config(), script).all("EPERM");
        let unfiltered = SandboxConfig { enable_seccomp: false, ..scene.config() };
        // Where the log is open to everybody, the filter is what closes it.
        let open = std::fs::read_to_string("/proc/sys/kernel/dmesg_restrict").unwrap() == "0\n";
        scene.inside(unfiltered, script).all(if open { "ok" } else { "EPERM" });
    });
}

#[test]
fn d6_mount_table_of_the_host_is_hidden() {
    each_caller!(|scene| {
        let script = "
points = {line.split()[4] for line in open('/proc/self/mountinfo')}
allowed = ('/', '/usr', '/bin', '/sbin', '/lib', '/etc/', '/dev/', '/proc', '/tmp', '@work')
say('strange', sorted(p for p in points if p != '/' and not p.startswith(allowed[1:])))
say('host', sorted(points & {'/sys', '/run', '/boot', '/sys/fs/cgroup', '/dev/pts'}))
";

        let told = scene.inside(scene.config(), script);

        told.is(&[("strange", "[]"), ("host", "[]")]);
        assert_ne!(scene.unconfined(script).about("host"), "[]");
    });
}
