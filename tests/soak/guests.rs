//! Guests of every ending, each with what may be said of it if nobody kills it.

use kernel::sandbox::{Command, Exit};

/// One kind of guest.
pub(crate) struct Guest {
    pub(crate) name: &'static str,
    script: &'static str,
    /// The endings that are right. Where something of it was killed, others are.
    pub(crate) ends: fn(&Exit) -> bool,
}

fn timed_out(exit: &Exit) -> bool {
    matches!(exit, Exit::TimedOut(_))
}

/// By its limit, or by a program that did not get what it asked for.
fn failed(exit: &Exit) -> bool {
    *exit != Exit::Exited(0)
}

/// Scripts of sh. `$mark` stands in each command line that sleeps. The time limit
/// is `TIMEOUT` of a host.
pub(crate) const GUESTS: &[Guest] = &[
    Guest { name: "exits", script: "exit 3", ends: |exit| *exit == Exit::Exited(3) },
    Guest {
        name: "dies of a signal",
        script: "kill -SEGV $$",
        ends: |exit| *exit == Exit::Signalled(11),
    },
    Guest { name: "sleeps", script: "sleep $mark", ends: timed_out },
    Guest { name: "spins", script: "while :; do :; done", ends: timed_out },
    Guest {
        name: "ignores signals",
        script: "trap '' TERM HUP INT QUIT; sleep $mark",
        ends: timed_out,
    },
    Guest { name: "stops itself", script: "kill -STOP $$", ends: timed_out },
    Guest {
        name: "leaves orphans",
        script: "(setsid sleep $mark &); (setsid sh -c 'sleep $mark & sleep $mark' >&- 2>&- &); exit 4",
        ends: |exit| *exit == Exit::Exited(4),
    },
    Guest {
        name: "leaves stopped children",
        script: "sleep $mark & kill -STOP $!; exit 5",
        ends: |exit| *exit == Exit::Exited(5),
    },
    Guest {
        name: "fork bomb",
        script: "bomb() { bomb | bomb & }; bomb; sleep $mark",
        ends: failed,
    },
    Guest {
        name: "floods its output",
        script: "exec yes 0123456789abcdef0123456789abcdef",
        ends: |exit| matches!(exit, Exit::Output(_) | Exit::TimedOut(_)),
    },
    Guest {
        name: "floods both and closes",
        script: "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; exec >&- 2>&-; sleep $mark",
        ends: timed_out,
    },
    Guest {
        name: "takes memory",
        script: "head -c 400000000 /dev/zero | tail -c 300000000 | wc -c; exit 6",
        ends: failed,
    },
    Guest {
        name: "fills its files",
        script: "mkdir -p /tmp/a/b; head -c 3000000 /dev/zero > /tmp/a/b/c; mkfifo /tmp/f; \
                 ln -s / /tmp/l; head -c 3000000 /dev/zero > /dev/shm/d; exit 7",
        ends: |exit| *exit == Exit::Exited(7),
    },
    Guest {
        name: "writes a file that is too large",
        script: "head -c 9000000 /dev/zero > large-$$; exit 8",
        ends: failed,
    },
    Guest {
        name: "makes IPC objects",
        script: "ipcmk -M 4096 -S 1 -Q >/dev/null 2>&1; exit 9",
        ends: |exit| *exit == Exit::Exited(9),
    },
    Guest { name: "waits for a FIFO", script: "mkfifo /tmp/f; cat /tmp/f", ends: timed_out },
    Guest { name: "executes itself again", script: "exec sh -c \"$again\"", ends: timed_out },
];

impl Guest {
    /// The command that runs it.
    pub(crate) fn command(&self, mark: &str) -> Command {
        let script = self.script.replace("$mark", mark);
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        command
    }
}

/// A variable of guests: what one executes that does so again and again.
pub(crate) const AGAIN: (&str, &str) = ("again", "exec sh -c \"$again\"");
