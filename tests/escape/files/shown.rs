//! F4 and F5: what is shown, and what may be done with it.

use std::fs;
use std::os::unix::fs::symlink;

use kernel::sandbox::{Error, NamespaceIsolator, SandboxConfig};

use crate::scene::{Scene, command};

fn allowing(scene: &Scene, entries: &[&str]) -> SandboxConfig {
    let outside = scene.outside().display().to_string();
    SandboxConfig {
        allowed_paths: entries.iter().map(|entry| format!("{outside}/{entry}")).collect(),
        ..scene.config()
    }
}

#[test]
fn f4_allowed_path_is_not_its_neighbours_and_not_its_parent() {
    each_caller!(|scene| {
        for name in ["data", "data2", "data.old"] {
            fs::create_dir(scene.outside().join(name)).unwrap();
            fs::write(scene.outside().join(name).join("file"), name).unwrap();
        }
        fs::write(scene.outside().join("data-file"), "").unwrap();
        let script = "
for name in 'data/file', 'data2/file', 'data.old/file', 'data-file', 'data/../data2/file':
    tell(name, open, '@outside/' + name)
say('beside it', os.listdir('@outside') == ['data'])
# It lies in the private /tmp, so it can be made, but not on the host.
tell('parent', os.open, '@outside/new', os.O_CREAT | os.O_WRONLY)
";

        let told = scene.inside(allowing(scene, &["data"]), script);

        told.is(&[
            ("data/file", "ok"),
            ("data2/file", "ENOENT"),
            ("data.old/file", "ENOENT"),
            ("data-file", "ENOENT"),
            ("data/../data2/file", "ENOENT"),
            ("beside it", "True"),
            ("parent", "ok"),
        ]);
        assert!(!scene.outside().join("new").exists());
    });
}

const CHANGES: &str = "
def change(on):
    tell('write', os.open, on + '/file', os.O_WRONLY)
    tell('truncate', os.truncate, on + '/file', 0)
    tell('make', os.open, on + '/new', os.O_CREAT | os.O_WRONLY)
    tell('mkdir', os.mkdir, on + '/dir')
    tell('symlink', os.symlink, 'x', on + '/sym')
    tell('link', os.link, on + '/file', on + '/hard')
    tell('mkfifo', os.mkfifo, on + '/fifo')
    tell('chmod', os.chmod, on + '/file', 0o640)
    tell('chmod of the folder', os.chmod, on, 0o750)
    tell('chown', os.chown, on + '/file', os.getuid(), os.getgid())
    tell('utime', os.utime, on + '/file')
    tell('setxattr', os.setxattr, on + '/file', 'user.mark', b'x')
    tell('rename', os.rename, on + '/file', on + '/moved')
    tell('unlink', os.unlink, on + ('/moved' if os.path.exists(on + '/moved') else '/file'))
change('@outside/data')
";

#[test]
fn f4_read_only_path_cannot_be_changed_in_content_or_metadata() {
    each_caller!(|scene| {
        let file = scene.outside().join("data/file");
        fs::create_dir(scene.outside().join("data")).unwrap();
        fs::write(&file, "data").unwrap();
        let before = fs::metadata(&file).unwrap().modified().unwrap();

        scene.inside(allowing(scene, &["data:ro"]), CHANGES).all("EROFS");
        let alone = SandboxConfig { landlock: false, ..allowing(scene, &["data:ro"]) };
        scene.inside(alone, CHANGES).all("EROFS");

        assert_eq!(fs::read_to_string(&file).unwrap(), "data");
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
        scene.inside(allowing(scene, &["data:rw"]), CHANGES).all("ok");
    });
}

#[test]
fn f4_read_only_file_cannot_be_changed_and_a_writable_one_can() {
    each_caller!(|scene| {
        let file = scene.outside().join("file");
        fs::write(&file, "data").unwrap();
        let script = "
tell('read', open, '@outside/file')
tell('write', os.open, '@outside/file', os.O_WRONLY | os.O_TRUNC)
tell('chmod', os.chmod, '@outside/file', 0o644)
";

        let read_only = scene.inside(allowing(scene, &["file:ro"]), script);

        read_only.is(&[("read", "ok"), ("write", "EROFS"), ("chmod", "EROFS")]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "data");
        scene.inside(allowing(scene, &["file"]), script).all("ok");
        assert_eq!(fs::read_to_string(&file).unwrap(), "");
    });
}

#[test]
fn f4_read_only_path_inside_the_work_dir_stays_read_only() {
    each_caller!(|scene| {
        let locked = scene.work().join("locked");
        fs::create_dir(&locked).unwrap();
        fs::write(locked.join("file"), "data").unwrap();
        let config = SandboxConfig {
            allowed_paths: vec![format!("{}:ro", locked.display())],
            ..scene.config()
        };
        let script = "
tell('write', os.open, 'locked/file', os.O_WRONLY)
tell('make', os.open, 'locked/new', os.O_CREAT | os.O_WRONLY)
tell('rename the folder', os.rename, 'locked', 'elsewhere')
tell('beside it', os.open, 'file', os.O_CREAT | os.O_WRONLY)
";

        scene.inside(config, script).is(&[
            ("write", "EROFS"),
            ("make", "EROFS"),
            ("rename the folder", "EBUSY"),
            ("beside it", "ok"),
        ]);
        scene.inside(scene.config(), script).all("ok");
    });
}

#[test]
fn f4_allowed_path_that_an_earlier_run_made_a_symlink_is_refused() {
    each_caller!(|scene| {
        scene.secret();
        let shared = scene.work().join("shared");
        fs::create_dir(&shared).unwrap();
        let config =
            SandboxConfig { allowed_paths: vec![shared.display().to_string()], ..scene.config() };
        let first = scene.inside(
            scene.config(),
            "os.rmdir('shared')\ntell('link', os.symlink, '@outside', 'shared')",
        );
        first.all("ok");

        let refused = NamespaceIsolator::new(config).run(command(&["true"])).unwrap_err();

        assert!(matches!(refused, Error::Config { .. }), "{refused:?}");
        assert!(refused.to_string().contains("symlink"), "{refused}");
    });
}

#[test]
fn f4_work_dir_that_is_a_symlink_is_refused() {
    each_caller!(|scene| {
        symlink(scene.outside(), scene.work().join("link")).unwrap();
        for path in ["link", "link/below"] {
            let work_dir = scene.work().join(path);
            let config = SandboxConfig { work_dir, ..SandboxConfig::default() };

            let refused = NamespaceIsolator::new(config).run(command(&["true"])).unwrap_err();

            assert!(matches!(refused, Error::Config { .. }), "{refused:?}");
        }
        assert_eq!(fs::read_dir(scene.outside()).unwrap().count(), 0);
    });
}

#[test]
fn f5_system_files_are_read_only() {
    each_caller!(|scene| {
        let script = "
for path in '/', '/usr', '/usr/bin', '/usr/lib', '/etc', '/dev', '/home', '/var', '/run', '/var/tmp':
    tell(f'make in {path}', os.open, path + '/neuroflow-new', os.O_CREAT | os.O_WRONLY, 0o600)
    tell(f'chmod {path}', os.chmod, path, 0o777)
for path in '/usr/bin/python3.11', '/usr/bin/env', '/etc/passwd', '/etc/hosts', '/etc/ld.so.cache':
    if os.path.exists(path):
        tell(f'write {path}', os.open, path, os.O_WRONLY)
        tell(f'unlink {path}', os.unlink, path)
";
        let open = SandboxConfig { landlock: false, ..scene.config() };
        let walled = scene.inside(scene.config(), script);
        let mounts_alone = scene.inside(open, script);

        for (what, result) in walled.iter().chain(mounts_alone.iter()) {
            // Landlock is asked first about some of it.
            assert!(matches!(result, "EROFS" | "EACCES" | "EPERM"), "{what}: {result}");
        }
        for (what, result) in mounts_alone.iter().filter(|(what, _)| !what.starts_with("write")) {
            assert!(result == "EROFS", "{what}: {result}");
        }
    });
}

#[test]
fn f5_temporary_files_are_private_to_the_run() {
    each_caller!(|scene| {
        let name = format!("neuroflow-escape-mark-{}", std::process::id());
        let script = format!(
            "
for folder in '/tmp', '/dev/shm':
    tell(f'exists in {{folder}}', os.stat, f'{{folder}}/{name}')
    tell(f'make in {{folder}}', os.open, f'{{folder}}/{name}', os.O_CREAT | os.O_WRONLY)
"
        );
        let isolator = NamespaceIsolator::new(scene.config());
        let run = || {
            let outcome = isolator.run(scene.python_command(&script)).unwrap();
            crate::told::Told::parse(&outcome.stdout)
        };

        for told in [run(), run()] {
            told.is(&[
                ("exists in /tmp", "ENOENT"),
                ("make in /tmp", "ok"),
                ("exists in /dev/shm", "ENOENT"),
                ("make in /dev/shm", "ok"),
            ]);
        }
        for folder in ["/tmp", "/dev/shm"] {
            assert!(!std::path::Path::new(folder).join(&name).exists());
        }
    });
}
