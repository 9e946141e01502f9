//! What the guest finds on its standard input.

use std::fs::File;
use std::io;

use kernel::sandbox::Stdin;

/// Our own standard input if it is a pipe, a socket or a file, or if it was
/// asked for; else nothing. A terminal is not passed on unasked: the guest
/// would wait for somebody to type.
#[must_use]
pub fn stdin(interactive: bool) -> Stdin {
    if interactive || is_given() { Stdin::Host } else { Stdin::Empty }
}

#[cfg(unix)]
fn is_given() -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;

    // The duplicate is closed with the `File`; the original stays as it is.
    let kind = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|stdin| File::from(stdin).metadata())
        .map(|metadata| metadata.file_type());
    kind.is_ok_and(|kind| kind.is_file() || kind.is_fifo() || kind.is_socket())
}

#[cfg(not(unix))]
fn is_given() -> bool {
    use std::io::IsTerminal;

    !io::stdin().is_terminal()
}
