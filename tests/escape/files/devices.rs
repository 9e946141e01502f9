//! F7: devices.

use std::os::unix::fs::FileTypeExt;

use kernel::sandbox::SandboxConfig;
use rustix::fs::{CWD, FileType, Mode, makedev};

#[test]
fn f7_only_harmless_devices_exist() {
    each_caller!(|scene| {
        let told = scene.inside(
            scene.config(),
            "
import stat
for folder, folders, files in os.walk('/dev'):
    for name in files:
        found = os.lstat(os.path.join(folder, name))
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFCHR: say(name, f'{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}')
        elif kind != stat.S_IFLNK: say(name, 'strange')
tell('terminal', os.open, '/dev/tty', os.O_RDWR)
tell('new pty', os.open, '/dev/ptmx', os.O_RDWR)
",
        );

        told.is(&[
            ("full", "1:7"),
            ("null", "1:3"),
            ("random", "1:8"),
            ("urandom", "1:9"),
            ("zero", "1:5"),
            ("terminal", "ENOENT"),
            ("new pty", "ENOENT"),
        ]);
    });
}

#[test]
fn f7_no_device_can_be_made() {
    each_caller!(|scene| {
        let script = "
import stat
for folder in '@work', '/tmp', '/dev/shm':
    for kind in 'CHR', 'BLK':
        path = f'{folder}/{kind}'
        tell(path, os.mknod, path, getattr(stat, 'S_IF' + kind) | 0o666, os.makedev(1, 3))
tell('by a white-out', lambda: (open('a', 'w'), call(316, -100, b'a', -100, b'b', 4)))
";
        let unfiltered = SandboxConfig { enable_seccomp: false, ..scene.config() };

        scene.inside(scene.config(), script).all("EPERM");
        let capabilities_alone = scene.inside(unfiltered, script);

        for (what, result) in capabilities_alone.iter().filter(|(what, _)| what.starts_with('/')) {
            assert_eq!(result, "EPERM", "{what}");
        }
        if scene.is_root() {
            let twin =
                scene.unconfined("import stat\ntell('made', os.mknod, 'd', stat.S_IFCHR, 259)");
            twin.all("ok");
        }
    });
}

#[test]
fn f7_device_that_lies_in_the_work_dir_cannot_be_opened() {
    each_caller!(|scene| {
        // An ordinary caller cannot have one there.
        if !scene.is_root() {
            return;
        }
        let node = scene.work().join("null");
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(CWD, &node, FileType::CharacterDevice, mode, makedev(1, 3)).unwrap();
        rustix::fs::chmod(&node, mode).unwrap();
        assert!(node.metadata().unwrap().file_type().is_char_device());
        let script = "tell('open', os.open, '@work/null', os.O_RDWR)";

        scene.inside(scene.config(), script).all("EACCES");
        scene.unconfined(script).all("ok");
    });
}
