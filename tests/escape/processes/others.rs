//! P2: the processes of the host.

use kernel::sandbox::SandboxConfig;

#[test]
fn p2_only_the_runs_own_processes_are_seen() {
    each_caller!(|scene| {
        let script = "say('seen', sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))";

        assert_eq!(scene.inside(scene.config(), script).about("seen"), "[1, 2]");
        let ours = std::process::id().to_string();
        assert!(scene.unconfined(script).about("seen").contains(&ours));
    });
}

#[test]
fn p2_host_processes_cannot_be_reached_by_their_pid() {
    each_caller!(|scene| {
        // A process of this very user: without a namespace it is in reach.
        let mut host = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let script = format!(
            "
pid = {}
tell('signal 0', os.kill, pid, 0)
tell('stop', os.kill, pid, 19)
tell('continue', os.kill, pid, 18)
tell('pidfd', os.pidfd_open, pid)
tell('priority', os.setpriority, os.PRIO_PROCESS, pid, 19)
tell('affinity', os.sched_setaffinity, pid, os.sched_getaffinity(0))
tell('limit', call, 302, pid, 7, None, bytes(16))
tell('queue', call, 129, pid, 0, bytes(8) + bytes([255]) * 4 + bytes(116))
tell('group', os.getpgid, pid)
tell('session', os.getsid, pid)
",
            host.id()
        );

        let inside = scene.inside(scene.config(), &script);
        let twin = scene.unconfined(&script);
        host.kill().unwrap();
        host.wait().unwrap();

        inside.all("ESRCH");
        for act in ["signal 0", "stop", "pidfd", "priority", "affinity", "limit", "group"] {
            assert_eq!(twin.about(act), "ok", "{act}");
        }
    });
}

#[test]
fn p2_a_signal_to_everybody_reaches_the_run_alone() {
    each_caller!(|scene| {
        let mut host = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let script = "
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(60)
time.sleep(0.2)
tell('everybody', os.kill, -1, signal.SIGTERM)
say('child', os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

        let told = scene.inside(scene.config(), script);

        told.is(&[("everybody", "ok"), ("child", "-15")]);
        assert!(host.try_wait().unwrap().is_none(), "the host's process lives");
        host.kill().unwrap();
        host.wait().unwrap();
    });
}

#[test]
fn p2_no_process_can_be_traced_read_or_robbed() {
    each_caller!(|scene| {
        // Even a child of the guest's own: the calls are refused whatever the pid.
        let script = "
import signal, time
child = os.fork()
if child == 0: time.sleep(60)
local = ctypes.create_string_buffer(8)
# struct iovec: address, length.
vector = ctypes.addressof(local).to_bytes(8, 'little') + (8).to_bytes(8, 'little')
tell('read', call, 310, child, vector, 1, vector, 1, 0)
tell('write', call, 311, child, vector, 1, vector, 1, 0)
tell('take a descriptor', lambda: call(438, os.pidfd_open(child), 0, 0))
tell('compare', call, 312, os.getpid(), child, 2, 0, 0)
tell('attach', call, 101, 16, child, 0, 0)
os.kill(child, signal.SIGKILL)
";

        scene.inside(scene.config(), script).all("EPERM");
        let unfiltered = SandboxConfig { enable_seccomp: false, ..scene.config() };
        scene.inside(unfiltered, script).all("ok");
    });
}
