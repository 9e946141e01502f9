//! Keeps a guest from steering the user's terminal.
//!
//! A terminal obeys what it is shown: escape sequences move the cursor over
//! other output, set the title and the clipboard, and some make it *answer*, as
//! if the user had typed. So what a hostile program prints on a terminal passes
//! through here: text, colours and the erasing of a line get through, everything
//! else is shown instead of obeyed. A pipe or a file gets the bytes as they are.

/// No sequence we let through is longer; one that is gets shown.
const LONGEST: usize = 64;
/// `ESC`, made visible.
const VISIBLE_ESCAPE: &str = "\u{241b}";
/// What stands for a byte or character that has no picture.
const REPLACEMENT: &str = "\u{fffd}";
const ESCAPE: u8 = 0x1b;

/// Makes one stream of a guest harmless to a terminal; sequences and characters
/// may be cut anywhere between two calls.
#[derive(Debug, Default)]
pub struct Tame {
    /// The beginning of a sequence or of a character, not yet written.
    held: Vec<u8>,
    /// Whether a colour may still be on.
    colored: bool,
}

impl Tame {
    /// What may be written for `bytes`.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.take(*byte, &mut out);
        }
        out
    }

    /// What is still to be written at the end: an unfinished sequence as it is
    /// shown, and the end of all colours.
    pub fn end(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.show_held(&mut out);
        if std::mem::take(&mut self.colored) {
            out.extend(b"\x1b[0m");
        }
        out
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.held.as_slice() {
            [] => self.begin(byte, out),
            [ESCAPE] if byte == b'[' => self.held.push(byte),
            [ESCAPE, b'[', ..] => self.in_sequence(byte, out),
            [ESCAPE] => {
                self.show_held(out);
                self.begin(byte, out);
            }
            _ => self.in_character(byte, out),
        }
    }

    fn begin(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'\n' | b'\r' | b'\t' | 0x08 | 0x20..=0x7e => out.push(byte),
            ESCAPE | 0xc2..=0xf4 => self.held.push(byte),
            control @ (0..=0x1f | 0x7f) => push_picture(char::from(control), out),
            // A stray continuation, or what no UTF-8 has.
            0x80..=0xc1 | 0xf5..=0xff => out.extend(REPLACEMENT.as_bytes()),
        }
    }

    /// Behind `ESC [`: parameters, then one byte that says what is asked for.
    fn in_sequence(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'0'..=b'9' | b';' | b':' if self.held.len() < LONGEST => self.held.push(byte),
            b'm' | b'K' => {
                self.colored |= byte == b'm';
                out.append(&mut self.held);
                out.push(byte);
            }
            _ => {
                self.show_held(out);
                self.begin(byte, out);
            }
        }
    }

    /// Behind the first byte of a character of several.
    fn in_character(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.held.push(byte);
        match std::str::from_utf8(&self.held) {
            Ok(text) => {
                let character = text.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
                push_picture(character, out);
                self.held.clear();
            }
            // It may still become one.
            Err(error) if error.error_len().is_none() => {}
            Err(_) => {
                self.held.clear();
                out.extend(REPLACEMENT.as_bytes());
                if byte.is_ascii() || byte >= 0xc0 {
                    self.begin(byte, out);
                }
            }
        }
    }

    fn show_held(&mut self, out: &mut Vec<u8>) {
        match self.held.as_slice() {
            [] => {}
            [ESCAPE, rest @ ..] => {
                out.extend(VISIBLE_ESCAPE.as_bytes());
                out.extend(rest);
            }
            _ => out.extend(REPLACEMENT.as_bytes()),
        }
        self.held.clear();
    }
}

/// `text` on one or more lines, with every control character shown.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push(b'\n'),
            character => push_picture(character, &mut out),
        }
    }
    String::from_utf8(out).unwrap_or_default()
}

/// The character, or what is shown for one that a terminal would obey.
fn push_picture(character: char, out: &mut Vec<u8>) {
    let picture = match character {
        // The block of control pictures has them in the same order.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(character)),
        '\x7f' => Some('\u{2421}'),
        '\u{80}'..='\u{9f}' => None,
        // What turns the direction of text around makes it read as another text.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        character => Some(character),
    };
    let picture = picture.unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend(picture.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tamed(bytes: &[u8]) -> String {
        let mut tame = Tame::default();
        let mut out = tame.pass(bytes);
        out.extend(tame.end());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_gets_through_as_it_is() {
        let text = "hello\n\ttab\r 10 %\u{8} Grüße, 你好 🦀\n";

        assert_eq!(tamed(text.as_bytes()), text);
    }

    #[test]
    fn colours_get_through_and_end_with_the_output() {
        assert_eq!(tamed(b"\x1b[1;38:5:9mred\x1b[0K"), "\x1b[1;38:5:9mred\x1b[0K\x1b[0m");
    }

    #[test]
    fn what_a_terminal_would_answer_or_obey_is_shown() {
        for (sequence, shown) in [
            // Who are you, where is the cursor, what is the title.
            (&b"\x1b[c"[..], "␛[c"),
            (b"\x1b[6n", "␛[6n"),
            (b"\x1b[21t", "␛[21t"),
            // The title and the clipboard.
            (b"\x1b]0;title\x07", "␛]0;title␇"),
            (b"\x1b]52;c;aGk=\x1b\\", "␛]52;c;aGk=␛\\"),
            // The cursor, the screen, the keyboard, a device's own string.
            (b"\x1b[2A", "␛[2A"),
            (b"\x1bc", "␛c"),
            (b"\x1b[?1049h", "␛[?1049h"),
            (b"\x1b[>4;1m", "␛[>4;1m"),
            (b"\x1bP$qm\x1b\\", "␛P$qm␛\\"),
            // The same with eight bits, raw and in UTF-8.
            (b"\x9b6n", "\u{fffd}6n"),
            (b"\xc2\x9b6n", "\u{fffd}6n"),
            // What is no character at all.
            (b"\xff\xfe\xc3(", "\u{fffd}\u{fffd}\u{fffd}("),
            (b"\x05", "␅"),
        ] {
            assert_eq!(tamed(sequence), shown, "{sequence:x?}");
        }
    }

    #[test]
    fn sequence_that_never_ends_is_shown() {
        let endless = [b"\x1b[".as_slice(), &[b'1'; 1000]].concat();

        let shown = tamed(&endless);

        assert_eq!(shown, format!("␛[{}", "1".repeat(1000)));
    }

    #[test]
    fn sequences_and_characters_may_be_cut_anywhere() {
        let text = b"a\x1b[31mb\xc3\xa9\x1b[6n\xf0\x9f\xa6\x80\xc2\x9bz";
        let whole = tamed(text);
        for cut in 0..text.len() {
            let mut tame = Tame::default();
            let mut out = tame.pass(&text[..cut]);
            out.extend(tame.pass(&text[cut..]));
            out.extend(tame.end());

            assert_eq!(String::from_utf8(out).unwrap(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn no_byte_that_a_terminal_obeys_gets_through_whatever_comes() {
        // All pairs behind the beginnings of sequences and characters.
        for beginning in [&b""[..], b"\x1b", b"\x1b[", b"\x1b[1", b"\xc2", b"\xe2\x80", b"\xf0"] {
            for first in 0..=u8::MAX {
                for second in [b'm', b'n', ESCAPE, 0x9b, b'['] {
                    let shown = tamed(&[beginning, &[first, second]].concat());

                    let mut rest = shown.as_str();
                    while let Some(at) = rest.find('\x1b') {
                        let sequence = &rest[at..];
                        let end = sequence.find(['m', 'K']).unwrap();
                        let parameters = &sequence[2..end];
                        assert!(
                            parameters.chars().all(|c| c.is_ascii_digit() || c == ';' || c == ':')
                        );
                        rest = &sequence[end..];
                    }
                    assert!(!shown.contains(|c| ('\u{80}'..='\u{9f}').contains(&c)), "{shown:?}");
                }
            }
        }
    }

    #[test]
    fn message_shows_what_a_terminal_would_obey() {
        assert_eq!(visible("a\nb\x1b[31m\u{9b}c\u{202e}d"), "a\nb␛[31m\u{fffd}c\u{fffd}d");
    }
}
