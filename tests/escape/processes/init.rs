//! P6: our own process inside.

use kernel::sandbox::SandboxConfig;

const ATTACK: &str = "
local = ctypes.create_string_buffer(8)
vector = ctypes.addressof(local).to_bytes(8, 'little') + (8).to_bytes(8, 'little')
tell('attach', call, 101, 16, 1, 0, 0)
tell('seize', call, 101, 0x4206, 1, 0, 0)
tell('read', call, 310, 1, vector, 1, vector, 1, 0)
tell('write', call, 311, 1, vector, 1, vector, 1, 0)
tell('take a descriptor', lambda: call(438, os.pidfd_open(1), 0, 0))
";

#[test]
fn p6_init_cannot_be_attached_to_or_read() {
    each_caller!(|scene| {
        scene.inside(scene.config(), ATTACK).all("EPERM");

        // Without the filter it is undumpable, and there is no capability.
        let unfiltered = SandboxConfig { enable_seccomp: false, landlock: false, ..scene.config() };
        scene.inside(unfiltered, ATTACK).all("EPERM");
    });
}

#[test]
fn p6_files_of_init_are_closed() {
    each_caller!(|scene| {
        let script = "
def look(pid):
    for name in 'environ', 'mem', 'maps', 'auxv', 'io', 'stack', 'syscall', 'pagemap', 'smaps', \\
                'personality', 'clear_refs', 'timers':
        mode = os.O_WRONLY if name == 'clear_refs' else os.O_RDONLY
        tell(name, lambda: os.read(os.open(f'/proc/{pid}/{name}', mode), 1)
             if mode == os.O_RDONLY else os.open(f'/proc/{pid}/{name}', mode))
    for name in 'fd', 'fdinfo', 'map_files', 'task/1/fd':
        tell(name, os.listdir, f'/proc/{pid}/{name}')
    for name in 'exe', 'cwd', 'root':
        tell(name, os.readlink, f'/proc/{pid}/{name}')
look(1)
";

        for (enable_seccomp, landlock) in [(true, true), (false, false)] {
            let config = SandboxConfig { enable_seccomp, landlock, ..scene.config() };

            let told = scene.inside(config, script);

            for (name, result) in told.iter() {
                let closed = matches!(result, "EACCES" | "EPERM");
                // Not built into every kernel.
                let absent = result == "ENOENT" && matches!(name, "stack" | "timers");
                assert!(closed || absent, "{name}: {result}");
            }
        }
        let own = scene.inside(
            SandboxConfig { enable_seccomp: false, landlock: false, ..scene.config() },
            &script.replace("look(1)", "look(os.getpid())").replace("task/1/", "task/2/"),
        );
        for name in ["environ", "mem", "maps", "fd", "exe", "root"] {
            let result = own.about(name);
            assert!(result == "ok" || name == "mem" && result == "EIO", "{name}: {result}");
        }
    });
}

#[test]
fn p6_init_takes_no_signal_and_no_limit_from_the_guest() {
    each_caller!(|scene| {
        let script = "
import time
for signal in range(1, 65):
    if signal not in (32, 33):
        os.kill(1, signal)
tell('limit', call, 302, 1, 0, bytes(16), None)
tell('priority', os.setpriority, os.PRIO_PROCESS, 1, 19)
tell('scheduler', os.sched_setscheduler, 1, os.SCHED_IDLE, os.sched_param(0))
tell('affinity', os.sched_setaffinity, 1, [0])
tell('io priority', call, 251, 1, 1, 0x6000)
time.sleep(0.1)
child = os.fork()
if child == 0: os._exit(7)
say('still works', os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

        let told = scene.inside(scene.config(), script);

        assert_eq!(told.about("still works"), "7");
        for act in ["limit", "priority", "scheduler", "affinity", "io priority"] {
            assert_eq!(told.about(act), "EPERM", "{act}");
        }
        let unfiltered = SandboxConfig { enable_seccomp: false, ..scene.config() };
        let twin = scene.inside(unfiltered, script);
        assert_eq!(twin.about("still works"), "7", "no signal is init's undoing");
        assert_eq!(twin.about("priority"), "ok", "the filter is what keeps init from it");
    });
}
