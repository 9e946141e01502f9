//! Starts hosts, kills what it can get at, and counts.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitCode};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::Amount;
use super::count::{self, Count};
use super::host;
use super::random::Random;

/// Hosts at once.
const HOSTS: usize = 2;

/// What was done so far.
#[derive(Debug, Default)]
struct Tally {
    right: u64,
    broken_off: u64,
    hosts_killed: u64,
    launchers_killed: u64,
    guests_killed: u64,
    wrong: Vec<String>,
}

struct Host {
    child: Child,
    said: Receiver<String>,
}

/// Soaks, and tells what was left.
pub(crate) fn run(amount: Amount) -> ExitCode {
    let folder = tempfile::Builder::new().prefix("neuroflow-soak-").tempdir().unwrap();
    for name in ["tmp", "work"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let mut random = Random::new(amount.seed);
    let mut pids = Vec::new();
    let mut tally = Tally::default();
    let before = Count::of(folder.path(), &pids);
    let start = Instant::now();
    let mut hosts: Vec<Host> = Vec::new();
    while tally.right + tally.broken_off < amount.runs && start.elapsed() < amount.time {
        while hosts.len() < HOSTS {
            let host = start_host(random.next() >> 8, folder.path());
            pids.push(host.child.id());
            hosts.push(host);
        }
        std::thread::sleep(Duration::from_millis(random.below(60)));
        hosts.iter().for_each(|host| listen(host, &mut tally));
        let picked = usize::try_from(random.below(HOSTS as u64)).unwrap();
        match random.below(10) {
            // Lets it get somewhere between two kills of the host.
            0 if random.below(3) == 0 => {
                let mut host = hosts.remove(picked);
                host.child.kill().unwrap();
                let status = host.child.wait().unwrap();
                if status.signal() == Some(9) {
                    tally.hosts_killed += 1;
                }
                finish(&host, &mut tally);
            }
            1 => {
                tally.launchers_killed +=
                    kill_one(&count::launchers(hosts[picked].child.id()), &mut random)
            }
            2..5 => {
                tally.guests_killed +=
                    kill_one(&count::below(hosts[picked].child.id()), &mut random)
            }
            _ => {}
        }
    }
    for mut host in hosts {
        drop(host.child.stdin.take());
        let status = host.child.wait().unwrap();
        if !status.success() {
            tally.wrong.push(format!("a host ended with {status}"));
        }
        finish(&host, &mut tally);
    }
    // The next host tidies up after those that were killed.
    let mut last = start_host(0, folder.path());
    pids.push(last.child.id());
    std::thread::sleep(Duration::from_millis(500));
    drop(last.child.stdin.take());
    last.child.wait().unwrap();
    finish(&last, &mut tally);

    report(&tally, start.elapsed(), &before.left_since(folder.path(), &pids))
}

fn start_host(seed: u64, folder: &Path) -> Host {
    let mut child = host::start(seed, folder);
    let (say, said) = channel();
    relay(child.stdout.take().unwrap(), say.clone());
    relay(child.stderr.take().unwrap(), say);
    Host { child, said }
}

fn relay(stream: impl Read + Send + 'static, say: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            drop(say.send(line));
        }
    });
}

/// Takes note of what a host has said.
fn listen(host: &Host, tally: &mut Tally) {
    host.said.try_iter().for_each(|line| note(&line, tally));
}

/// Likewise, to the end of its streams, which come with the host's end.
fn finish(host: &Host, tally: &mut Tally) {
    host.said.iter().for_each(|line| note(&line, tally));
}

fn note(line: &str, tally: &mut Tally) {
    match line {
        "." => tally.right += 1,
        "x" => tally.broken_off += 1,
        wrong => tally.wrong.push(wrong.to_owned()),
    }
}

/// Kills one of these; tells how many.
fn kill_one(pids: &[u32], random: &mut Random) -> u64 {
    let pid = random.choose(pids).and_then(|pid| Pid::from_raw(i32::try_from(*pid).ok()?));
    // It may have ended by itself.
    pid.is_some_and(|pid| rustix::process::kill_process(pid, Signal::KILL).is_ok()).into()
}

fn report(tally: &Tally, took: Duration, left: &[String]) -> ExitCode {
    println!(
        "{} runs in {:.0} s: {} ended as they must, {} were broken off by a kill",
        tally.right + tally.broken_off,
        took.as_secs_f64(),
        tally.right,
        tally.broken_off,
    );
    println!(
        "killed: {} hosts, {} launchers, {} guests or inits",
        tally.hosts_killed, tally.launchers_killed, tally.guests_killed
    );
    for wrong in &tally.wrong {
        println!("wrong: {wrong}");
    }
    for what in left {
        println!("left: {what}");
    }
    let passed = tally.wrong.is_empty() && left.is_empty() && tally.right > 0;
    let (verdict, failed) = if passed { ("ok", 0) } else { ("FAILED", 1) };
    // As every test program ends, so that it is counted as one.
    println!(
        "test result: {verdict}. {} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out",
        1 - failed
    );
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
