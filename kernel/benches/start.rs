//! How long a start takes, beside the peers that are installed here.
//!
//! `cargo xtask bench` runs this. Everything that is compared runs in one
//! process, in interleaved rounds whose order rotates, so that a noisy machine
//! is noisy to all alike; ratios are to the bare start of the same round. Each
//! peer is given, as far as it can, the same sandbox.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a program that measures and prints"
)]
#![cfg_attr(
    not(all(target_os = "linux", not(neuroflow_portable))),
    allow(unused, reason = "it measures Linux")
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kernel::sandbox::{NamespaceIsolator, SandboxConfig};

/// What is started.
const GUESTS: &[(&str, &[&str])] = &[
    ("/bin/true", &["/bin/true"]),
    ("python3 -c print(1)", &["/usr/bin/python3", "-c", "print(1)"]),
];

/// One way to start a guest.
enum Contender {
    /// A command line, the guest's words appended.
    Peer(&'static str, Vec<String>),
    /// Our library, in this process, by its running launcher.
    Library(Box<NamespaceIsolator>),
}

impl Contender {
    fn name(&self) -> &str {
        match self {
            Self::Peer(name, _) => name,
            Self::Library(_) => "neuroflow, in process",
        }
    }

    /// Starts the guest and waits for it.
    fn run(&self, guest: &[&str]) {
        match self {
            Self::Peer(_, words) => {
                let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
                words.extend(guest);
                let mut command = Command::new(words[0]);
                command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null());
                let status = command.stderr(Stdio::null()).status().unwrap();
                assert!(status.success(), "{words:?}: {status}");
            }
            Self::Library(isolator) => {
                let outcome = isolator.execute(guest[0], &guest[1..]).unwrap();
                assert!(outcome.success(), "{:?}", outcome.exit);
            }
        }
    }
}

fn main() {
    let options: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let option = |name: &str| {
        let at = options.iter().position(|word| word == name)?;
        options.get(at + 1).cloned()
    };
    let rounds = option("--rounds").map_or(100, |text| text.parse().unwrap());
    let seconds = option("--seconds").map_or(2, |text| text.parse().unwrap());
    let contenders = contenders(option("--neuroflow").map(PathBuf::from).as_deref());

    for (name, guest) in GUESTS {
        println!("\n{name}: latency in ms, {rounds} interleaved rounds, load {}", load());
        latency(&contenders, guest, rounds);
    }
    println!("\n/bin/true: started in a second, by threads at once ({seconds} s each)");
    for contender in &contenders {
        print!("{:24}", contender.name());
        for threads in [1, 2, 8, 32] {
            let rate = throughput(contender, GUESTS[0].1, threads, Duration::from_secs(seconds));
            print!("  {threads:>2}: {rate:7.0}");
        }
        println!();
    }
}

fn contenders(neuroflow: Option<&Path>) -> Vec<Contender> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut found = vec![
        Contender::Peer("bare", Vec::new()),
        Contender::Library(Box::new(NamespaceIsolator::new(SandboxConfig::default()))),
    ];
    if let Some(path) = neuroflow {
        let mut line = vec![path.to_str().unwrap().to_owned()];
        line.extend(words("run --"));
        found.push(Contender::Peer("neuroflow run", line));
    }
    let bubblewrap = "bwrap --unshare-all --unshare-user --die-with-parent --new-session \
        --uid 1000 --gid 1000 --ro-bind /usr /usr --symlink usr/lib /lib \
        --symlink usr/lib64 /lib64 --symlink usr/bin /bin --proc /proc --dev /dev --tmpfs /tmp \
        --cap-drop ALL --clearenv --setenv PATH /usr/bin";
    let firejail = "firejail --quiet --noprofile --net=none --private-tmp --private-dev \
        --caps.drop=all --nonewprivs --seccomp --ipc-namespace";
    let unshare = "unshare -Urpnmiu -C --fork --mount-proc";
    for (name, line) in [("bubblewrap", bubblewrap), ("firejail", firejail), ("unshare", unshare)] {
        let line: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if on_path(&line[0]) {
            found.push(Contender::Peer(name, line));
        } else {
            println!("not installed: {name}");
        }
    }
    found
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn latency(contenders: &[Contender], guest: &[&str], rounds: usize) {
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    contenders.iter().for_each(|contender| contender.run(guest));
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let which = (turn + round) % contenders.len();
            let began = Instant::now();
            contenders[which].run(guest);
            times[which].push(began.elapsed().as_secs_f64() * 1e3);
        }
    }

    println!("{:24} {:>8} {:>8} {:>8} {:>8} {:>8}", "", "min", "median", "p95", "p99", "ratio");
    for (contender, own) in contenders.iter().zip(&times) {
        let ratios: Vec<f64> = own.iter().zip(&times[0]).map(|(own, bare)| own / bare).collect();
        let [min, median, p95, p99] = [0.0, 0.5, 0.95, 0.99].map(|part| quantile(own, part));
        let ratio = quantile(&ratios, 0.5);
        let name = contender.name();
        println!("{name:24} {min:8.2} {median:8.2} {p95:8.2} {p99:8.2} {ratio:8.2}");
    }
}

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() - 1) as f64 * part;
    sorted[at.round() as usize]
}

/// Runs started in a second by `threads` threads that each start one after the
/// other.
fn throughput(contender: &Contender, guest: &[&str], threads: usize, time: Duration) -> f64 {
    let began = Instant::now();
    let counts: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while began.elapsed() < time {
                        contender.run(guest);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    counts.iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64()
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
