//! Text that others wrote, made harmless to show.

/// What strangers wrote, with everything escaped that a terminal or a reader's eye could trip
/// over: control characters, bidirectional overrides, invisible and private characters.
///
/// At most `max` characters are kept; what was cut ends in `…`. A backslash is doubled, so that
/// the escapes (`\u{1b}`) cannot be forged.
#[must_use]
pub fn inert(text: &str, max: usize) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == max {
            out.push('…');
            break;
        }
        match c {
            '\\' => out.push_str("\\\\"),
            c if is_unsafe(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// [`inert`] for bytes that may be no UTF-8; what is none shows as U+FFFD.
#[must_use]
pub fn inert_bytes(bytes: &[u8], max: usize) -> String {
    // A character has at most four bytes: more than these cannot be shown.
    let kept = &bytes[..bytes.len().min(max.saturating_add(1).saturating_mul(4))];
    inert(&String::from_utf8_lossy(kept), max)
}

/// Controls (Cc), format characters that reorder or hide (Unicode TR 36 section 2.10), line and
/// paragraph separators, byte order mark, interlinear annotation, tags, variation selectors.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_the_cursor_or_reorders_text_is_left() {
        assert_eq!(inert("plain ü <b>", 20), "plain ü <b>");
        assert_eq!(inert("a\u{1b}[2Jb\r\n", 20), "a\\u{1b}[2Jb\\u{d}\\u{a}");
        assert_eq!(inert("x\u{202e}y\u{0}", 20), "x\\u{202e}y\\u{0}");
        assert_eq!(inert("\\u{1b}", 20), "\\\\u{1b}");
        assert_eq!(inert("abcdef", 3), "abc…");
        assert_eq!(inert_bytes(b"a\xffb", 9), "a\u{fffd}b");
        assert_eq!(inert_bytes(&[b'x'; 100], 4), "xxxx…");
    }
}
