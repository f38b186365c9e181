//! The thread that works on the spool: fsync may take long.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};

use agent_core::spool::{Body, Covered, Unspooled};
use agent_core::{BatchId, ContainerId};

use super::{Spool, SpoolError, Usage};

/// What it is asked to do.
#[derive(Debug)]
pub enum Request {
    /// Keep a batch.
    Keep {
        /// Its number.
        batch: BatchId,
        /// Whose entries are in it.
        containers: Vec<ContainerId>,
        /// What of their logs it holds.
        covered: Vec<Covered>,
        /// Its bodies.
        bodies: Vec<Body>,
    },
    /// Read a batch.
    Find(BatchId),
    /// Remove a batch.
    Forget(BatchId),
}

/// What it answers.
#[derive(Debug)]
pub enum Answer {
    /// A batch is kept, or not.
    Kept(BatchId, Result<(), SpoolError>),
    /// What was found of a batch.
    Found(BatchId, Unspooled),
    /// A batch is removed.
    Forgotten,
}

/// A request, and the pipeline that asks.
pub type Asking = (usize, Request);

/// Starts the thread; it ends when nobody asks any more.
///
/// # Errors
/// When the kernel gives no thread.
pub fn start(
    mut spool: Spool,
    tell: impl Fn(usize, Answer, Usage) + Send + 'static,
) -> io::Result<Sender<Asking>> {
    let (requests, inbox) = channel();
    let work = move || work(&mut spool, &inbox, tell);
    std::thread::Builder::new()
        .name("spool".to_owned())
        .spawn(work)?;
    Ok(requests)
}

fn work(spool: &mut Spool, inbox: &Receiver<Asking>, tell: impl Fn(usize, Answer, Usage)) {
    while let Ok((pipeline, request)) = inbox.recv() {
        let answer = match request {
            Request::Keep {
                batch,
                containers,
                covered,
                bodies,
            } => {
                let kept = spool.keep((pipeline, batch), &containers, covered, &bodies);
                Answer::Kept(batch, kept)
            }
            Request::Find(batch) => Answer::Found(batch, spool.find((pipeline, batch))),
            Request::Forget(batch) => {
                spool.forget((pipeline, batch));
                Answer::Forgotten
            }
        };
        tell(pipeline, answer, spool.usage());
    }
}
