//! Compares what a `console` block shows with what its commands print.
//!
//! ```text
//! $ neuroflow run -- echo hello
//! hello
//! ```
//!
//! A line of `...` stands for any number of lines.

/// Separates the output of one command from the next one's; no program prints it.
const MARK: char = '\u{1e}';

/// One command and what the page says it prints.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) command: String,
    pub(crate) expected: Vec<String>,
}

/// Reads a block: `$ ` starts a command, `> ` continues it, the rest is output.
pub(crate) fn parse(text: &str) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            exchanges.push(Exchange { command: command.to_owned(), expected: Vec::new() });
        } else if let Some(last) = exchanges.last_mut() {
            match line.strip_prefix("> ") {
                Some(more) if last.expected.is_empty() => {
                    last.command.push('\n');
                    last.command.push_str(more);
                }
                _ => last.expected.push(line.trim_end().to_owned()),
            }
        }
    }
    exchanges
}

/// One shell script for the whole block, so that `$?` and variables carry over.
pub(crate) fn script(exchanges: &[Exchange]) -> String {
    let mut script = String::from("exec 2>&1\n");
    for exchange in exchanges {
        script.push_str(&exchange.command);
        script.push_str("\n__code=$?; printf '\\036'; (exit $__code)\n");
    }
    script
}

/// Compares the output of [`script`] with the page.
///
/// # Errors
///
/// The first command that printed something else, with both texts.
pub(crate) fn compare(exchanges: &[Exchange], printed: &str) -> Result<(), String> {
    let mut outputs = printed.split(MARK);
    for exchange in exchanges {
        let output = outputs.next().unwrap_or("");
        let got: Vec<&str> = output.trim_end().lines().map(str::trim_end).collect();
        let expected: Vec<&str> = exchange.expected.iter().map(String::as_str).collect();
        let expected = match expected.iter().rposition(|line| !line.is_empty()) {
            Some(last) => &expected[..=last],
            None => &[],
        };
        if !matches(expected, &got) {
            return Err(format!(
                "`{}` should print\n{}\nbut printed\n{}",
                exchange.command,
                expected.join("\n"),
                got.join("\n"),
            ));
        }
    }
    Ok(())
}

fn matches(expected: &[&str], got: &[&str]) -> bool {
    match expected.split_first() {
        None => got.is_empty(),
        Some((&"...", rest)) => (0..=got.len()).any(|skipped| matches(rest, &got[skipped..])),
        Some((line, rest)) => got.first() == Some(line) && matches(rest, &got[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_commands_and_their_output() {
        let exchanges = parse("$ echo a\na\n$ printf 'b\n> c'\nb\nc\n");

        assert_eq!(exchanges[0].command, "echo a");
        assert_eq!(exchanges[1].command, "printf 'b\nc'");
        assert_eq!(exchanges[1].expected, ["b", "c"]);
    }

    #[test]
    fn another_output_is_a_failure_that_shows_both() {
        let exchanges = parse("$ echo a\na\n");

        assert_eq!(compare(&exchanges, "a\n\u{1e}"), Ok(()));
        let problem = compare(&exchanges, "b\n\u{1e}").unwrap_err();
        assert!(problem.contains("should print\na") && problem.contains("printed\nb"), "{problem}");
    }

    #[test]
    fn output_where_none_is_shown_is_a_failure() {
        assert!(compare(&parse("$ true\n"), "surprise\n\u{1e}").is_err());
    }

    #[test]
    fn dots_stand_for_any_number_of_lines() {
        let exchanges = parse("$ x\nfirst\n...\nlast\n");

        assert_eq!(compare(&exchanges, "first\nlast\n\u{1e}"), Ok(()));
        assert_eq!(compare(&exchanges, "first\n1\n2\nlast\n\u{1e}"), Ok(()));
        assert!(compare(&exchanges, "first\n1\n\u{1e}").is_err());
    }
}
