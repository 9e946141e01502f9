//! F1 to F3: what is not shown has no name inside, however it is spelled.

use std::fs;
use std::os::unix::fs::symlink;

use kernel::sandbox::SandboxConfig;

#[test]
fn f1_files_of_the_host_are_not_there() {
    each_caller!(|scene| {
        scene.secret();
        let shared = "/dev/shm/neuroflow-escape-".to_owned() + &std::process::id().to_string();
        fs::write(&shared, "of the host").unwrap();
        let script = format!(
            "
for path in '@outside/secret', '@outside', '{shared}', '/etc/machine-id', '/etc/fstab', \
            '/var/log', '/sys/kernel':
    tell(path, os.stat, path)
"
        );

        let inside = scene.inside(scene.config(), &script);
        let outside = scene.unconfined(&script);
        fs::remove_file(&shared).unwrap();

        inside.all("ENOENT");
        outside.all("ok");
    });
}

#[test]
fn f1_root_only_files_are_not_there_for_a_caller_that_is_root() {
    each_caller!(|scene| {
        let script = "
for path in '/etc/shadow', '/etc/gshadow', '/root', '/boot':
    tell(path, os.listdir if os.path.isdir(path) else open, path)
";

        scene.inside(scene.config(), script).all("ENOENT");
        if scene.is_root() {
            scene.unconfined(script).all("ok");
        }
    });
}

#[test]
fn f1_only_what_was_shown_lies_in_the_root() {
    each_caller!(|scene| {
        let told = scene.inside(
            scene.config(),
            "
known = {'bin', 'dev', 'etc', 'home', 'lib', 'lib32', 'lib64', 'libx32', 'proc', 'run', 'sbin',
         'tmp', 'usr', 'var'}
say('strange', sorted(set(os.listdir('/')) - known))
for folder in '/home', '/run', '/var', '/var/tmp', '/dev/shm':
    say(folder, sorted(os.listdir(folder)))
say('users', [line.split(':')[0] for line in open('/etc/passwd')])
say('work dir', os.listdir('.'))
",
        );

        told.is(&[
            ("strange", "[]"),
            ("/home", "[]"),
            ("/run", "[]"),
            ("/var", "['tmp']"),
            ("/var/tmp", "[]"),
            ("/dev/shm", "[]"),
            ("users", "['guest', 'nobody']"),
            ("work dir", "[]"),
        ]);
    });
}

#[test]
fn f2_nothing_outside_can_be_made_changed_or_removed() {
    each_caller!(|scene| {
        scene.secret();
        let script = "
def act(on):
    for name, flags in ('make', os.O_CREAT | os.O_EXCL | os.O_WRONLY), ('write', os.O_WRONLY):
        tell(f'{name} {on}', os.open, on + '/new' if name == 'make' else on + '/secret', flags)
    tell(f'rename {on}', os.rename, on + '/secret', on + '/moved')
    tell(f'link {on}', os.link, on + '/moved', on + '/again')
    tell(f'symlink {on}', os.symlink, 'x', on + '/sym')
    tell(f'chmod {on}', os.chmod, on + '/moved', 0o600)
    tell(f'utime {on}', os.utime, on + '/moved')
    tell(f'truncate {on}', os.truncate, on + '/moved', 0)
    tell(f'unlink {on}', os.unlink, on + '/moved')
    tell(f'mkdir {on}', os.mkdir, on + '/dir')
act('@outside')
";

        scene.inside(scene.config(), script).all("ENOENT");
        assert_eq!(fs::read_to_string(scene.outside().join("secret")).unwrap(), "the secret\n");
        scene.unconfined(script).all("ok");
    });
}

#[test]
fn f3_dots_and_magic_links_lead_nowhere() {
    each_caller!(|scene| {
        scene.secret();
        // What each leads to is ours to open or not there: never the host's.
        let script = "
ways = {
    'dots': '../' * 40,
    'dots below the work dir': '@work/' + '../' * 40,
    'own root': '/proc/self/root/',
    'own root and dots': '/proc/self/root/../../',
    'own work dir': '/proc/self/cwd/' + '../' * 40,
    'thread': '/proc/thread-self/root/',
    'root by descriptor': '/proc/self/fd/%d/' % os.open('/', os.O_PATH),
    'root by descriptor and dots': '/dev/fd/%d/../' % os.open('/', os.O_PATH),
}
for name, way in ways.items():
    tell(name, os.stat, way + '@outside/secret')
";

        scene.inside(scene.config(), script).all("ENOENT");
        scene.unconfined(script).all("ok");
    });
}

#[test]
fn f3_magic_links_of_init_cannot_be_followed() {
    each_caller!(|scene| {
        let script = "
for link in 'root', 'cwd', 'exe', 'fd/0', 'ns/mnt', 'map_files':
    path = f'/proc/{os.environ.get(\"PID\", 1)}/{link}'
    tell(link, os.listdir if link == 'map_files' else os.readlink, path)
";
        let init = scene.inside(scene.config(), script);
        let own = scene.unconfined(&format!("os.environ['PID'] = str(os.getpid())\n{script}"));

        for (link, result) in init.iter() {
            let gone = link == "fd/0" && result == "ENOENT";
            assert!(result == "EACCES" || gone, "{link}: {result}");
        }
        own.all("ok");
    });
}

#[test]
fn f3_symlinks_point_into_the_sandbox_whoever_made_them() {
    each_caller!(|scene| {
        scene.secret();
        symlink(scene.outside().join("secret"), scene.work().join("before")).unwrap();
        symlink(scene.outside(), scene.work().join("folder")).unwrap();
        let script = "
tell('lay there', open, 'before')
tell('folder', open, 'folder/secret')
if not os.path.lexists('made'): os.symlink('@outside/secret', 'made')
tell('made', open, 'made')
tell('created through', os.open, 'folder/new', os.O_CREAT | os.O_WRONLY)
";

        scene.inside(scene.config(), script).all("ENOENT");
        assert!(!scene.outside().join("new").exists());
        scene.unconfined(script).all("ok");
    });
}

#[test]
fn f3_hard_links_and_renames_stay_within_what_is_shown() {
    each_caller!(|scene| {
        let data = scene.outside().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("file"), "data").unwrap();
        let config = SandboxConfig {
            allowed_paths: vec![format!("{}:ro", data.display())],
            ..scene.config()
        };
        let script = "
tell('link out of a read-only path', os.link, '@outside/data/file', 'linked')
tell('rename out of it', os.rename, '@outside/data/file', 'renamed')
";

        scene.inside(config, script).all("EXDEV");
        scene.unconfined(script).all("ok");
        let told = scene.inside(scene.config(), "tell('passwd', os.link, '/etc/passwd', 'p')");
        told.all("EXDEV");
    });
}

#[test]
fn f3_directory_descriptors_of_moved_directories_do_not_lead_out() {
    each_caller!(|scene| {
        scene.secret();
        let script = "
import shutil
os.makedirs('deep/er')
below = os.open('deep/er', os.O_PATH)
os.rename('deep/er', 'moved')
os.rmdir('deep')
name = '../' * 40 + '@outside/secret'
tell('from what was moved', os.open, name, os.O_RDONLY, dir_fd=below)
os.rmdir('moved')
tell('from what was removed', os.open, name, os.O_RDONLY, dir_fd=below)
";

        scene.inside(scene.config(), script).all("ENOENT");
        let twin = scene.unconfined(script);
        assert_eq!(twin.about("from what was moved"), "ok");
    });
}

#[test]
fn f3_file_handles_name_nothing() {
    each_caller!(|scene| {
        scene.secret();
        // struct file_handle: handle_bytes, handle_type, then room for 128 bytes.
        let script = "
handle = ctypes.create_string_buffer((128).to_bytes(4, 'little') + bytes(132))
mount = ctypes.c_int()
tell('name', call, 303, -100, b'/usr', handle, ctypes.byref(mount), 0)
root = os.open('/usr', os.O_RDONLY)
tell('open', call, 304, root, handle, 0)
";
        let unfiltered = SandboxConfig { enable_seccomp: false, ..scene.config() };

        scene.inside(scene.config(), script).all("EPERM");
        let unfiltered = scene.inside(unfiltered, script);
        assert_eq!(unfiltered.about("open"), "EPERM", "without the filter: no capability");
        if scene.is_root() {
            assert_eq!(scene.unconfined(script).about("open"), "ok");
        }
    });
}
