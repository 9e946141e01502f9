//! Text files that a user names: a config, a seccomp profile.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::units::ByteSize;

/// Reads all of `path`, but no more than `longest` bytes: the name may lead to
/// `/dev/zero`, or to a file that is no text at all.
pub(crate) fn read(path: &Path, longest: ByteSize) -> io::Result<String> {
    let mut bytes = Vec::new();
    // One byte more tells a file that is too long from one that just fits.
    File::open(path)?.take(longest.bytes() + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest.bytes() {
        return Err(io::Error::other(format!("it is longer than {longest}")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        io::Error::other(format!("it is not UTF-8 text, from byte {good} on"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_longest_length() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "1234").unwrap();

        let longest = |text: &str| text.parse().unwrap();

        assert_eq!(read(file.path(), longest("4")).unwrap(), "1234");
        let error = read(file.path(), longest("3")).unwrap_err();
        assert_eq!(error.to_string(), "it is longer than 3B");
    }

    #[test]
    #[cfg(unix)]
    fn a_file_without_end_is_not_read_to_its_end() {
        let error = read(Path::new("/dev/zero"), "1M".parse().unwrap()).unwrap_err();

        assert_eq!(error.to_string(), "it is longer than 1MiB");
    }

    #[test]
    fn bytes_that_are_no_text_are_told_with_their_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"ab\xff").unwrap();

        let error = read(file.path(), "1K".parse().unwrap()).unwrap_err();

        assert_eq!(error.to_string(), "it is not UTF-8 text, from byte 2 on");
    }
}
