//! F8 and F9: mounts, roots, and our own program.

use kernel::sandbox::SandboxConfig;

/// Every way to change what is mounted, by number (x86-64).
const MOUNTS: &str = "
os.makedirs('dir', exist_ok=True)
tell('mount a tmpfs', call, 165, b'none', b'dir', b'tmpfs', 0, 0)
tell('bind', call, 165, b'/usr', b'dir', b'', 4096, 0)
tell('mount proc', call, 165, b'proc', b'dir', b'proc', 0, 0)
tell('remount writable', call, 165, b'none', b'/usr', b'', 0x1020, 0)
tell('unmount', call, 166, b'/proc', 2)
tell('pivot_root', call, 155, b'dir', b'dir')
tell('fsopen', call, 430, b'tmpfs', 0)
tell('fspick', call, 433, -100, b'/', 0)
tell('open_tree', call, 428, -100, b'/', 1)
tell('move_mount', call, 429, -100, b'/usr', -100, b'dir', 0)
tell('mount_setattr', call, 442, -100, b'/usr', 0, bytes(32), 32)
tell('chroot', os.chroot, 'dir')
";

#[test]
fn f8_nothing_can_be_mounted_unmounted_or_rerooted() {
    each_caller!(|scene| {
        scene.inside(scene.config(), MOUNTS).all("EPERM");

        // Without the filter there is still no capability.
        let unfiltered = SandboxConfig { enable_seccomp: false, landlock: false, ..scene.config() };
        let told = scene.inside(unfiltered, MOUNTS);
        for (what, result) in told.iter() {
            assert_eq!(result, "EPERM", "{what}");
        }
    });
}

/// Makes a user namespace first, which gives every capability in it.
const MOUNT_IN_A_NAMESPACE_OF_ONES_OWN: &str = "
uid, gid = os.getuid(), os.getgid()
tell('namespaces', call, 272, 0x10020000)
tell('mount', call, 165, b'none', b'/tmp', b'tmpfs', 0, 0)
tell('clone', call, 56, 0x10000011, 0, 0, 0, 0)
";

#[test]
fn f8_namespaces_of_ones_own_give_no_mounts() {
    each_caller!(|scene| {
        let script = MOUNT_IN_A_NAMESPACE_OF_ONES_OWN;
        let unfiltered = SandboxConfig { enable_seccomp: false, ..scene.config() };
        let bare = SandboxConfig { landlock: false, ..unfiltered.clone() };

        scene.inside(scene.config(), script).all("EPERM");
        let landlock_alone = scene.inside(unfiltered, script);
        assert_eq!(landlock_alone.about("namespaces"), "ok");
        assert_eq!(landlock_alone.about("mount"), "EPERM");
        let bare = scene.inside(bare, script);
        assert_eq!((bare.about("namespaces"), bare.about("mount")), ("ok", "ok"));
    });
}

#[test]
fn f9_our_own_program_cannot_be_overwritten() {
    each_caller!(|scene| {
        let script = "
for way in '/proc/1/exe', '/proc/1/map_files', '/proc/1/mem', '/proc/1/fd':
    tell(way, os.listdir if way.endswith(('files', 'fd')) else os.open, way,
         *([] if way.endswith(('files', 'fd')) else [os.O_WRONLY]))
tell('run it', os.execv, '/proc/1/exe', ['init'])
";
        for (filter, landlock) in [(true, true), (false, false)] {
            let config = SandboxConfig { enable_seccomp: filter, landlock, ..scene.config() };
            scene.inside(config, script).all("EACCES");
        }

        // Were it open, it is sealed: not even we can write to it any more.
        let program = fs_of_ours();
        assert!(!program.is_empty(), "the program is kept in a memfd");
        for path in program {
            let error = std::fs::write(&path, "x").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{path:?}");
        }
    });
}

/// The memfd that holds the launcher's program, as this process has it open.
fn fs_of_ours() -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| {
            let target = std::fs::read_link(path).unwrap_or_default();
            target.to_string_lossy().starts_with("/memfd:neuroflow-init")
        })
        .collect()
}
