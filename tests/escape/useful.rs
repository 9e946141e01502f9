//! U: ordinary programs work inside the default limits.

use neuroflow_tests::need;

use crate::scene::{command, text};
use kernel::sandbox::{Exit, NamespaceIsolator, SandboxConfig};

#[test]
fn u_what_python_programs_do_works() {
    each_caller!(|scene| {
        let told = scene.inside(
            scene.config(),
            r"
import asyncio, concurrent.futures, hashlib, json, math, random, sqlite3, subprocess, tempfile, \
       threading, time, multiprocessing, shutil, pathlib, socket, signal, select, zlib, uuid
def files():
    with open('file', 'w') as f: f.write('text')
    os.rename('file', 'renamed'); assert open('renamed').read() == 'text'
    os.makedirs('a/b/c'); shutil.copytree('a', 'z'); shutil.rmtree('a')
    os.symlink('renamed', 'link'); os.link('renamed', 'hard')
def temporary():
    with tempfile.NamedTemporaryFile() as f: f.write(b'x' * 100000)
    with tempfile.TemporaryDirectory() as d: pathlib.Path(d, 'x').write_text('x')
def pipes():
    r, w = os.pipe(); os.write(w, b'x'); assert os.read(r, 1) == b'x'
def threads():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda n: n * n, range(100))) == 328350
def children():
    assert subprocess.run(['sh', '-c', 'cat; exit 3'], input=b'x', capture_output=True).returncode == 3
    assert subprocess.check_output('echo x | tr x y', shell=True) == b'y\n'
def loop():
    async def go():
        p = await asyncio.create_subprocess_exec('echo', 'x', stdout=asyncio.subprocess.PIPE)
        assert (await p.communicate())[0] == b'x\n'
        server = await asyncio.start_server(lambda r, w: (w.write(b'y'), w.close()), '127.0.0.1')
        r, w = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await r.read() == b'y'
        await asyncio.to_thread(time.sleep, 0.01)
    asyncio.run(go())
def database():
    db = sqlite3.connect('db'); db.execute('create table t(x)'); db.execute('insert into t values(1)')
    db.commit(); assert db.execute('select * from t').fetchall() == [(1,)]
def numbers():
    random.random(); os.urandom(16); uuid.uuid4(); hashlib.sha256(b'x').digest(); math.sqrt(2)
def pool():
    with multiprocessing.Pool(2) as p: assert p.map(abs, [-1, -2]) == [1, 2]
def queue():
    q = multiprocessing.Queue(); p = multiprocessing.Process(target=q.put, args=(1,)); p.start()
    assert q.get(timeout=5) == 1; p.join()
def clock():
    time.sleep(0.01); time.time(); time.localtime(); signal.setitimer(signal.ITIMER_REAL, 10)
    signal.alarm(0)
def home():
    pathlib.Path.home().joinpath('x').write_text('x'); os.path.expanduser('~')
    import pwd, getpass; assert getpass.getuser() == 'guest'
def memory():
    x = bytearray(100 << 20); x[::4096] = b'x' * len(x[::4096])
for act in files, temporary, pipes, threads, children, loop, database, numbers, pool, queue, clock, \
           home, memory:
    tell(act.__name__, act)
",
        );

        told.all("ok");
    });
}

#[test]
fn u_static_c_program_runs_from_the_work_dir() {
    need!(Program("cc"));
    each_caller!(|scene| {
        scene.compile(
            "hello",
            "#include <pthread.h>\n#include <stdio.h>\n
            static void *say(void *text) { puts(text); return 0; }\n
            int main(void) { pthread_t t; pthread_create(&t, 0, say, \"hello\");
                             return pthread_join(t, 0); }",
        );

        let outcome = scene.run(scene.config(), &["./hello"]);

        assert_eq!((outcome.exit, text(&outcome.stdout)), (Exit::Exited(0), "hello\n"));
    });
}

#[test]
fn u_three_megabytes_go_through_stdin_and_back() {
    each_caller!(|scene| {
        let input: Vec<u8> =
            (0..3_u32 << 20).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        for program in [
            vec!["cat"],
            vec!["python3", "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"],
        ] {
            let mut cat = command(&program);
            cat.input(input.clone());

            let outcome = NamespaceIsolator::new(scene.config()).run(cat).unwrap();

            assert_eq!(outcome.exit, Exit::Exited(0));
            assert!(outcome.stdout == input, "{} bytes came back", outcome.stdout.len());
        }
    });
}

#[test]
fn u_allowed_paths_and_environment_are_there() {
    each_caller!(|scene| {
        std::fs::write(scene.outside().join("data"), "data").unwrap();
        let config = SandboxConfig {
            allowed_paths: vec![format!("{}", scene.outside().display())],
            environment: [("NAME".to_owned(), "värde".to_owned())].into(),
            ..scene.config()
        };

        let outcome = scene
            .sh(config, "cat @outside/data; echo \" $NAME $PWD $HOME\"; echo new > @outside/new");

        let work = scene.work().display();
        assert_eq!(text(&outcome.stdout), format!("data värde {work} {work}\n"));
        assert_eq!(std::fs::read(scene.outside().join("new")).unwrap(), b"new\n");
    });
}

#[test]
fn u_work_dir_is_made_where_it_is_missing() {
    each_caller!(|scene| {
        let work_dir = scene.work().join("not/yet/there");
        let config = SandboxConfig { work_dir: work_dir.clone(), ..scene.config() };

        let outcome = scene.sh(config, "pwd; echo x > file");

        assert_eq!(text(&outcome.stdout), format!("{}\n", work_dir.display()));
        assert_eq!(std::fs::read(work_dir.join("file")).unwrap(), b"x\n");
    });
}
