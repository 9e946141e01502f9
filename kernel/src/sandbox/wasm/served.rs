//! Host functions that may take long: on threads of their own, served from the
//! guest's.
//!
//! # Theory of operation
//!
//! The guest's thread must go on looking at the clock, so it cannot be the one
//! that runs the application's code; and the guest's memory belongs to it, so no
//! other thread can touch that. A call is therefore a conversation over one
//! [`Line`]: the function runs on a worker, asks for what it needs of the guest,
//! and sleeps until the guest's thread, which is polled by [`drive`](super::drive),
//! has answered. When the run ends in between, the guest's end of the line is
//! dropped: whatever the function asks from then on is
//! [`AccessError::Over`], and what it returns is heard by nobody.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::drive::Watch;
use super::host_functions::{AccessError, HostCall, Returned, Side};

/// Workers that are kept for the next call.
const IDLE: usize = 8;

/// Runs `work` on another thread, and serves it from `side` until it returns.
pub(super) fn call<'a>(
    side: impl Side + Unpin + 'a,
    time: Watch,
    work: impl FnOnce(HostCall<'static>) -> Returned + Send + 'static,
) -> impl Future<Output = Returned> + Send + 'a {
    let line = Arc::new(Line::default());
    let theirs = Arc::clone(&line);
    let began = start(Box::new(move || {
        let returned = work(HostCall::new(Remote { line: Arc::clone(&theirs), time }));
        theirs.put(Said::Returned(returned));
    }));
    if let Err(problem) = began {
        line.put(Said::Returned(Err(problem)));
    }
    Serving { side, line }
}

/// What goes between the two threads.
#[derive(Default)]
struct Line {
    said: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Default)]
struct Heard {
    said: Said,
    waker: Option<Waker>,
}

/// The latest word of either.
#[derive(Default)]
enum Said {
    #[default]
    Nothing,
    Asked(Question),
    Answered(Result<Answer, AccessError>),
    Returned(Returned),
    /// The run has ended, or the function has returned.
    Over,
}

enum Question {
    Size,
    Charge(u64),
    Read { at: u32, len: usize },
    Write { at: u32, bytes: Vec<u8> },
}

enum Answer {
    Done,
    Size(u64),
    Bytes(Vec<u8>),
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something to the guest's thread, unless it is gone.
    fn put(&self, said: Said) {
        let mut heard = self.lock();
        if matches!(heard.said, Said::Over) {
            return;
        }
        heard.said = said;
        let waker = heard.waker.take();
        drop(heard);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Asks the guest's thread and waits for its answer.
    fn ask(&self, question: Question) -> Result<Answer, AccessError> {
        self.put(Said::Asked(question));
        let mut heard = self.lock();
        loop {
            match std::mem::take(&mut heard.said) {
                Said::Answered(answer) => return answer,
                Said::Over => {
                    heard.said = Said::Over;
                    return Err(AccessError::Over);
                }
                other => heard.said = other,
            }
            heard = self.changed.wait(heard).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The guest's end of the line.
struct Serving<S> {
    side: S,
    line: Arc<Line>,
}

impl<S: Side + Unpin> Future for Serving<S> {
    type Output = Returned;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Returned> {
        let this = self.get_mut();
        loop {
            let mut heard = this.line.lock();
            match std::mem::take(&mut heard.said) {
                Said::Asked(question) => {
                    drop(heard);
                    let answer = answer(&mut this.side, question);
                    this.line.lock().said = Said::Answered(answer);
                    this.line.changed.notify_all();
                }
                Said::Returned(returned) => return Poll::Ready(returned),
                other => {
                    heard.said = other;
                    heard.waker = Some(context.waker().clone());
                    return Poll::Pending;
                }
            }
        }
    }
}

fn answer(side: &mut impl Side, question: Question) -> Result<Answer, AccessError> {
    match question {
        Question::Size => side.size().map(Answer::Size),
        Question::Charge(units) => side.charge(units).map(|()| Answer::Done),
        Question::Read { at, len } => {
            let mut bytes = vec![0; len];
            side.read(at, &mut bytes).map(|()| Answer::Bytes(bytes))
        }
        Question::Write { at, bytes } => side.write(at, &bytes).map(|()| Answer::Done),
    }
}

impl<S> Drop for Serving<S> {
    fn drop(&mut self) {
        self.line.lock().said = Said::Over;
        self.line.changed.notify_all();
    }
}

/// The function's end of the line.
struct Remote {
    line: Arc<Line>,
    time: Watch,
}

impl Side for Remote {
    fn size(&mut self) -> Result<u64, AccessError> {
        match self.line.ask(Question::Size)? {
            Answer::Size(size) => Ok(size),
            Answer::Done | Answer::Bytes(_) => Err(AccessError::Over),
        }
    }

    fn charge(&mut self, units: u64) -> Result<(), AccessError> {
        self.line.ask(Question::Charge(units)).map(|_| ())
    }

    fn read(&mut self, at: u32, buffer: &mut [u8]) -> Result<(), AccessError> {
        match self.line.ask(Question::Read { at, len: buffer.len() })? {
            Answer::Bytes(bytes) if bytes.len() == buffer.len() => {
                buffer.copy_from_slice(&bytes);
                Ok(())
            }
            _ => Err(AccessError::Over),
        }
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), AccessError> {
        self.line.ask(Question::Write { at, bytes: bytes.to_vec() }).map(|_| ())
    }

    fn time_left(&mut self) -> Duration {
        if matches!(self.line.lock().said, Said::Over) {
            return Duration::ZERO;
        }
        self.time.left()
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// Workers that wait for work.
static WAITING: Mutex<Vec<Sender<Work>>> = Mutex::new(Vec::new());

fn waiting() -> MutexGuard<'static, Vec<Sender<Work>>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives `work` to a worker that waits, or to a new one.
fn start(mut work: Work) -> Result<(), String> {
    loop {
        let Some(worker) = waiting().pop() else { break };
        match worker.send(work) {
            Ok(()) => return Ok(()),
            // It has ended since; it is not in the list any more.
            Err(unsent) => work = unsent.0,
        }
    }
    std::thread::Builder::new()
        .name("neuroflow host function".to_owned())
        .spawn(move || worker(work))
        .map(drop)
        .map_err(|error| format!("no thread could be started for it: {error}"))
}

/// Does one work after the other, as long as not too many others wait.
fn worker(mut work: Work) {
    loop {
        work();
        let (sender, receiver) = channel();
        {
            let mut waiting = waiting();
            if waiting.len() >= IDLE {
                return;
            }
            waiting.push(sender);
        }
        match receiver.recv() {
            Ok(next) => work = next,
            Err(_) => return,
        }
    }
}
