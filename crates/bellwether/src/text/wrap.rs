//! Lines that fit, and colour.

use super::Style;

/// What colour means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Paint {
    Good,
    Bad,
    Odd,
    Strong,
    Faint,
}

impl Paint {
    /// The text in this colour, if there is colour.
    pub(crate) fn on(self, text: &str, style: Style) -> String {
        if !style.colour {
            return text.to_owned();
        }
        let code = match self {
            Self::Good => "32",
            Self::Bad => "1;31",
            Self::Odd => "1;33",
            Self::Strong => "1",
            Self::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// A text broken at spaces into lines of at most `width` columns, all but the first indented. A
/// word that is longer than a line is broken where the line ends. Leading spaces of the text stay.
pub(crate) fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let lead = text.len() - text.trim_start().len();
    let mut lines = Vec::new();
    let mut line = " ".repeat(lead);
    let mut used = lead;
    let mut empty = true;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if !empty && used + 1 + word.len() > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            used = indent;
            empty = true;
        }
        if !empty {
            line.push(' ');
            used += 1;
        }
        while used + word.len() > width && width > indent {
            let rest = word.split_off(width - used);
            line.extend(word);
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            used = indent;
            word = rest;
        }
        used += word.len();
        line.extend(word);
        empty = false;
    }
    lines.push(line);
    lines
}

/// A row of a list: a head, and a text that is broken behind it.
pub(crate) fn row(head: &str, text: &str, width: usize) -> String {
    let indent = head.chars().count();
    let mut out = String::new();
    for (at, line) in wrapped(text, width.saturating_sub(indent), 0)
        .iter()
        .enumerate()
    {
        let head = if at == 0 { head } else { "" };
        out.push_str(format!("{head:indent$}{line}").trim_end());
        out.push('\n');
    }
    out
}

/// A command broken between words into lines that leave room for a backslash at their end. A word
/// in quotes stays whole, and a long word makes a long line: what is pasted must be right.
pub(super) fn command_lines(command: &str, width: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut quoted = false;
    for part in command.split(' ') {
        match words.last_mut() {
            Some(word) if quoted => {
                word.push(' ');
                word.push_str(part);
            }
            // An option and its value stay together.
            Some(word) if is_option(word) && !part.starts_with('-') && part != "|" => {
                word.push(' ');
                word.push_str(part);
            }
            _ => words.push(part.to_owned()),
        }
        quoted ^= part.matches('\'').count() % 2 == 1;
    }
    let length: usize = words.iter().map(|w| w.chars().count() + 1).sum();
    if length <= width + 1 {
        return vec![command.to_owned()];
    }
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() + 3 <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

fn is_option(word: &str) -> bool {
    word.starts_with('-') && !word.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit() {
        assert_eq!(wrapped("  aa bb cc", 7, 2), ["  aa bb", "  cc"]);
        assert_eq!(wrapped("abcdefgh ij", 4, 1), ["abcd", " efg", " h", " ij"]);
        assert_eq!(wrapped("", 4, 1), [""]);
    }

    #[test]
    fn commands_stay_whole_words() {
        assert_eq!(command_lines("dig a A", 7), ["dig a A"]);
        assert_eq!(command_lines("dig abc A x", 9), ["dig abc", "A x"]);
        assert_eq!(
            command_lines("curl 'a b c d' e", 9),
            ["curl", "'a b c d'", "e"]
        );
    }
}
