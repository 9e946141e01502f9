//! The way out of a sandbox whose network is a list of hosts: from the socket that
//! init sends out to the proxy that serves it.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::launch;
use crate::sandbox::error::{Error, Result};
use crate::sandbox::policy::hosts::HostRules;
use crate::sandbox::proxy::Proxy;

/// Starts a proxy that waits for its listener, and gives the end on which init
/// is to send it. When every copy of that end is closed and nothing came, the
/// proxy gives up.
pub(super) fn open(rules: &HostRules) -> Result<(Proxy, OwnedFd)> {
    let failed = |source| Error::setup("open the way out of the sandbox's network", source);
    let (ours, inside) = launch::seqpacket_pair().map_err(failed)?;
    let proxy = Proxy::start(rules.clone(), move || receive(ours.as_fd())).map_err(failed)?;
    Ok((proxy, inside))
}

fn receive(socket: BorrowedFd<'_>) -> io::Result<TcpListener> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    loop {
        let mut vectors = [IoSliceMut::new(&mut byte)];
        match rustix::net::recvmsg(socket, &mut vectors, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => break,
        }
    }
    let listener = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    listener.map(TcpListener::from).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
