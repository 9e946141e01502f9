//! Steps that make the sandbox's network.

use neuroflow_launcher::wire::{NO_SLOT, PSEUDO_STORE};

use super::super::encode::{Arg, Encoder, List};
use super::SCRATCH;
use super::mounts::close;
use crate::sandbox::policy::hosts::PROXY_PORT;

/// `SIOCSIFFLAGS` on `lo` with `IFF_UP | IFF_RUNNING` (netdevice(7)).
pub(super) fn loopback_up(e: &mut Encoder, list: List) {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    e.call_into(SCRATCH, list, libc::SYS_socket, &[libc::AF_INET.into(), kind.into(), 0.into()]);
    // `struct ifreq`: 16 bytes of name, then a union that begins with the flags.
    let mut request = [0_u8; 40];
    request[..2].copy_from_slice(b"lo");
    let flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0);
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    let request = e.bytes(&request);
    e.call(
        list,
        libc::SYS_ioctl,
        &[Arg::Slot(SCRATCH), Arg::from(libc::SIOCSIFFLAGS), request.into()],
    );
    close(e, list, SCRATCH);
}

/// Listens on the loopback, and sends the socket to the host over the one in
/// `proxy`, as sendmsg(2) and cmsg(3) want it on a 64-bit machine.
pub(super) fn open_way_out(e: &mut Encoder, proxy: u32) {
    let list = List::Init;
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    e.call_into(SCRATCH, list, libc::SYS_socket, &[libc::AF_INET.into(), kind.into(), 0.into()]);
    // `struct sockaddr_in`: family, port, address, padding.
    let mut address = [0_u8; 16];
    address[..2].copy_from_slice(&u16::try_from(libc::AF_INET).unwrap_or(0).to_ne_bytes());
    address[2..4].copy_from_slice(&PROXY_PORT.to_be_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    let address = e.bytes(&address);
    e.call(list, libc::SYS_bind, &[Arg::Slot(SCRATCH), address.into(), 16.into()]);
    e.call(list, libc::SYS_listen, &[Arg::Slot(SCRATCH), 128.into()]);

    // `struct cmsghdr`: length without padding, level, type; then the descriptor.
    let mut control = 20_u64.to_ne_bytes().to_vec();
    control.extend_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    control.extend_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
    control.resize(24, 0);
    let control = e.bytes(&control);
    e.pseudo(list, PSEUDO_STORE, &[control.plus(16).into(), SCRATCH.into()], NO_SLOT);
    // `struct iovec`: a message must have a byte to be one.
    let byte = e.bytes(b"L");
    let vector = e.bytes(&[0_u64.to_ne_bytes(), 1_u64.to_ne_bytes()].concat());
    e.patch_pointer(list, vector, byte);
    // `struct msghdr`: name, its length, vectors, their count, control, its
    // length, flags.
    let words = [0_u64, 0, 0, 1, 0, 24, 0];
    let header = e.bytes(&words.map(u64::to_ne_bytes).concat());
    e.patch_pointer(list, header.plus(16), vector);
    e.patch_pointer(list, header.plus(32), control);
    let flags = libc::MSG_NOSIGNAL;
    e.call(list, libc::SYS_sendmsg, &[Arg::Slot(proxy), header.into(), flags.into()]);
    close(e, list, SCRATCH);
    close(e, list, proxy);
}
