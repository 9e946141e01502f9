//! F10 and F11: what a guest leaves in the work dir.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, Instant};

use kernel::sandbox::{Exit, SandboxConfig};

/// Every way to give a file a set-id bit or a capability.
const HURTFUL: &str = "
import stat
def keep(name, flags, mode): os.close(os.open(name, flags, mode))
open('plain', 'w').close(); os.mkdir('plain-dir')
tell('chmod', os.chmod, 'plain', 0o4755)
tell('chmod group', os.chmod, 'plain', 0o2755)
tell('chmod a directory', os.chmod, 'plain-dir', 0o2755)
with open('plain') as f: tell('fchmod', os.chmod, f.fileno(), 0o6755)
tell('fchmodat2', call, 452, -100, b'plain', 0o4755, 0)
tell('create', keep, 'created', os.O_CREAT | os.O_WRONLY, 0o6755)
tell('create unnamed', keep, '.', os.O_TMPFILE | os.O_WRONLY, 0o6755)
tell('creat', call, 85, b'creat', 0o6755)
tell('mkdir', call, 83, b'mkdir', 0o2755)
tell('mknod', os.mknod, 'node', stat.S_IFREG | 0o6755)
tell('mkfifo', os.mknod, 'fifo', stat.S_IFIFO | 0o6755)
# struct open_how: flags, mode, resolve.
how = b''.join(n.to_bytes(8, 'little') for n in (os.O_CREAT | os.O_WRONLY, 0o6755, 0))
tell('openat2', call, 437, -100, b'openat2', how, 24)
# struct vfs_cap_data, revision 2: every capability, effective.
capability = bytes([1, 0, 0, 2]) + bytes([255] * 4) + bytes(4) + bytes([255] * 4) + bytes(4)
tell('file capability', os.setxattr, 'plain', 'security.capability', capability)
";

#[test]
fn f10_no_set_id_file_and_no_file_capability_is_left() {
    each_caller!(|scene| {
        let told = scene.inside(scene.config(), HURTFUL);

        for (what, result) in told.iter() {
            let expected = if what == "openat2" { "ENOSYS" } else { "EPERM" };
            assert_eq!(result, expected, "{what}");
        }
        for entry in fs::read_dir(scene.work()).unwrap().flatten() {
            assert_eq!(entry.metadata().unwrap().mode() & 0o6000, 0, "{entry:?}");
        }
    });
}

#[test]
fn f10_set_id_files_can_be_made_without_the_filter() {
    each_caller!(|scene| {
        let unfiltered = SandboxConfig { enable_seccomp: false, ..scene.config() };

        let told = scene.inside(unfiltered, HURTFUL);

        for what in ["chmod", "create", "creat", "openat2"] {
            assert_eq!(told.about(what), "ok", "{what}");
        }
        assert_eq!(told.about("file capability"), "EPERM", "that takes a capability");
        let mode = fs::metadata(scene.work().join("created")).unwrap().mode();
        assert_eq!(mode & 0o6000, 0o6000);
    });
}

#[test]
fn f10_what_the_guest_writes_belongs_to_the_caller() {
    each_caller!(|scene| {
        scene.inside(scene.config(), "tell('make', os.mkdir, 'dir'); open('dir/file', 'w')");

        for name in ["dir", "dir/file"] {
            let found = fs::metadata(scene.work().join(name)).unwrap();
            assert_eq!(found.uid(), rustix::process::geteuid().as_raw(), "{name}");
            assert_eq!(found.gid(), rustix::process::getegid().as_raw(), "{name}");
        }
    });
}

/// Everything that could trip a walk over the tree.
const HOSTILE_TREE: &str = r"
import socket
os.mkfifo('fifo')
s = socket.socket(socket.AF_UNIX); s.bind('socket')
os.mkdir('unreadable'); open('unreadable/file', 'w').close(); os.chmod('unreadable', 0)
open('no-rights', 'w').close(); os.chmod('no-rights', 0)
os.symlink('loop', 'loop'); os.symlink('/', 'root'); os.symlink('../..', 'up')
for name in b'-rf', b'new\nline', b'\xff\xfe', b'\x1b[31m', b'*', b'~', b'a' * 255:
    open(name, 'w').close()
os.mkdir('many')
for i in range(3000): open(f'many/{i}', 'w').close()
open('sparse', 'wb').truncate(9 << 20)
here = os.open('.', os.O_RDONLY)
for i in range(1500):
    os.mkdir('d' * 20); os.chdir('d' * 20)
os.fchdir(here)
say('made', 'ok')
";

#[test]
fn f11_hostile_tree_does_not_hold_up_this_run_or_the_next() {
    each_caller!(|scene| {
        let start = Instant::now();
        scene.inside(scene.config(), HOSTILE_TREE).all("ok");
        let made = start.elapsed();

        let start = Instant::now();
        let next = scene.sh(scene.config(), "echo next");

        assert_eq!(next.exit, Exit::Exited(0));
        assert_eq!(next.stdout, b"next\n");
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{:?}; made in {made:?}",
            start.elapsed()
        );
    });
}

#[test]
fn f11_work_dir_made_unreadable_by_the_guest_is_an_error_or_a_run() {
    each_caller!(|scene| {
        scene.inside(scene.config(), "tell('chmod', os.chmod, '.', 0)").all("ok");

        let isolator = kernel::sandbox::NamespaceIsolator::new(scene.config());
        let start = Instant::now();
        let next = isolator.run(crate::scene::command(&["true"]));

        // The guest is the caller rootless, and cannot enter; nor could we.
        match next {
            Ok(outcome) => assert!(outcome.success()),
            Err(error) => assert!(error.to_string().contains("work"), "{error}"),
        }
        assert!(start.elapsed() < Duration::from_secs(2));
        fs::set_permissions(scene.work(), fs::Permissions::from_mode(0o700)).unwrap();
    });
}
