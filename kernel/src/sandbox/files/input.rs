//! Files on their way in: which names they may have.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::sandbox::units::{ByteSize, quoted};

/// A file to be laid into the work dir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// The path below the work dir, as it was given.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// The most files of one run.
const MOST_FILES: usize = 10_000;
/// The most bytes of all files of one run.
const MOST_BYTES: u64 = 1 << 30;
/// The longest name of a file, without its directories: `NAME_MAX`.
const LONGEST_NAME: usize = 255;
/// The longest path that a system call takes, with room for the work dir's own:
/// `PATH_MAX` is 4096.
const LONGEST_PATH: usize = 3072;

/// The files of a run, by a path that is clean: relative, of plain names alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inputs<'f>(BTreeMap<PathBuf, &'f [u8]>);

#[allow(dead_code, reason = "for the back ends")]
impl<'f> Inputs<'f> {
    /// Checks `files` as a whole and adds what is wrong to `problems`.
    pub(crate) fn check(files: &'f [InputFile], problems: &mut Vec<String>) -> Self {
        // Where Darwin and Windows keep files, `A` and `a` are one name.
        Self::check_as(files, cfg!(any(target_os = "macos", windows)), problems)
    }

    fn check_as(files: &'f [InputFile], case_folds: bool, problems: &mut Vec<String>) -> Self {
        let mut problem = |path: &Path, fault: &str| {
            problems.push(format!("`files` entry {} {fault}", quoted(&path.to_string_lossy())));
        };
        let mut clean = BTreeMap::new();
        let mut spelled: BTreeMap<PathBuf, &Path> = BTreeMap::new();
        for file in files {
            let path = match relative(&file.path) {
                Ok(path) => path,
                Err(fault) => {
                    problem(&file.path, &fault);
                    continue;
                }
            };
            let key = if case_folds { folded(&path) } else { path.clone() };
            if let Some(other) = spelled.insert(key, &file.path) {
                let other = quoted(&other.to_string_lossy());
                problem(&file.path, &format!("is the same file as {other}"));
            }
            clean.insert(path, file.bytes.as_slice());
        }
        for path in clean.keys() {
            let above = path.ancestors().skip(1).find(|above| clean.contains_key(*above));
            if let Some(above) = above {
                let above = quoted(&above.to_string_lossy());
                problem(path, &format!("lies below {above}, which is a file too"));
            }
        }

        let inputs = Self(clean);
        let bytes = inputs.bytes();
        if files.len() > MOST_FILES {
            problems.push(format!("`files` are {}; the most is {MOST_FILES}", files.len()));
        }
        if bytes > MOST_BYTES {
            let (bytes, most) = (size(bytes), size(MOST_BYTES));
            problems.push(format!(
                "`files` are {bytes} together, and the most is {most}; show a directory with \
                 `allowed_paths` instead",
            ));
        }
        inputs
    }

    /// The files by path, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Path, &'f [u8])> {
        self.0.iter().map(|(path, bytes)| (path.as_path(), *bytes))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all together.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.values().map(|bytes| bytes.len() as u64).sum()
    }
}

/// Whether a file is one to be executed, by how it begins: a script that names its
/// interpreter, or a program in the format of the system.
#[allow(dead_code, reason = "for the back ends")]
pub(crate) fn is_executable(bytes: &[u8]) -> bool {
    bytes.starts_with(b"#!") || bytes.starts_with(b"\x7fELF")
}

/// `path` without `.`, if it stays below where it starts; else what is wrong with
/// it. The same rule holds for patterns.
pub(super) fn relative(path: &Path) -> Result<PathBuf, String> {
    let text = path.as_os_str().as_encoded_bytes();
    if text.is_empty() {
        return Err("is empty".into());
    }
    if text.contains(&0) {
        return Err("contains a NUL byte".into());
    }
    if text.ends_with(b"/") {
        return Err("ends with a `/`, which names a directory".into());
    }
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) if name.len() > LONGEST_NAME => {
                return Err(format!("has a name of more than {LONGEST_NAME} bytes in it"));
            }
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                return Err("has `..` in it; write the path below the work dir".into());
            }
            Component::RootDir | Component::Prefix(_) => {
                return Err("is absolute; write the path below the work dir".into());
            }
        }
    }
    if clean.as_os_str().is_empty() {
        return Err("is the work dir itself".into());
    }
    if clean.as_os_str().len() > LONGEST_PATH {
        return Err(format!("is longer than {LONGEST_PATH} bytes"));
    }
    Ok(clean)
}

fn folded(path: &Path) -> PathBuf {
    path.to_string_lossy().to_lowercase().into()
}

fn size(bytes: u64) -> String {
    ByteSize::new(bytes).map_or_else(|| format!("{bytes} bytes"), |size| size.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], case_folds: bool) -> (Vec<PathBuf>, Vec<String>) {
        let files: Vec<_> = paths
            .iter()
            .map(|path| InputFile { path: path.into(), bytes: b"x".to_vec() })
            .collect();
        let mut problems = Vec::new();
        let inputs = Inputs::check_as(&files, case_folds, &mut problems);
        (inputs.iter().map(|(path, _)| path.to_owned()).collect(), problems)
    }

    #[test]
    fn plain_paths_below_the_work_dir_are_taken() {
        let (paths, problems) = check(&["b/c.txt", "./a.py", "b//d", "..data", "A.py"], false);

        assert_eq!(problems, Vec::<String>::new());
        let expected = ["..data", "A.py", "a.py", "b/c.txt", "b/d"].map(PathBuf::from);
        assert_eq!(paths, expected);
    }

    #[test]
    fn path_that_could_lead_elsewhere_is_refused_with_the_reason() {
        let long = "x".repeat(256);
        let deep = "d/".repeat(1600) + "f";
        for (path, fault) in [
            ("", "is empty"),
            ("a\0b", "contains a NUL byte"),
            ("/etc/passwd", "is absolute"),
            ("a/../../b", "has `..`"),
            ("..", "has `..`"),
            (".", "is the work dir itself"),
            ("out/", "ends with a `/`"),
            (&long, "more than 255 bytes"),
            (&deep, "longer than 3072"),
        ] {
            let (_, problems) = check(&[path], false);

            assert_eq!(problems.len(), 1, "{path:?}");
            assert!(problems[0].contains(fault), "{path:?}: {}", problems[0]);
        }
    }

    #[test]
    fn every_problem_is_told_and_not_only_the_first() {
        let (_, problems) = check(&["/a", "../b", "fine"], false);

        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn one_file_under_two_spellings_is_refused() {
        let (_, problems) = check(&["a.py", "./a.py"], false);

        assert_eq!(problems, ["`files` entry `./a.py` is the same file as `a.py`"]);
    }

    #[test]
    fn names_that_differ_in_case_alone_are_one_file_where_the_system_says_so() {
        assert_eq!(check(&["A.py", "a.py"], false).1.len(), 0);
        assert_eq!(check(&["A.py", "a.py"], true).1.len(), 1);
    }

    #[test]
    fn file_cannot_be_a_directory_too() {
        let (_, problems) = check(&["a", "a-b", "a/b/c"], false);

        assert_eq!(problems, ["`files` entry `a/b/c` lies below `a`, which is a file too"]);
    }

    #[test]
    fn scripts_and_programs_are_executable_and_data_is_not() {
        assert!(is_executable(b"#!/bin/sh\n") && is_executable(b"\x7fELF\x02"));
        assert!(!is_executable(b"print(1)") && !is_executable(b""));
    }
}
