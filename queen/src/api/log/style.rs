//! The colours and emphasis that a terminal has in force at a place in a stream.
//!
//! Owns the reading of the escape sequences that set them, however the text was cut; every other sequence is passed
//! over. Read next: `index.rs`, which keeps a style at every mark.

use memchr::memchr;

const ESCAPE: u8 = 0x1b;
/// Longer sequences are none.
const LONGEST: usize = 64;

/// What is in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    ink: Option<Colour>,
    ground: Option<Colour>,
    /// Bit n: the emphasis with code n, 1 to 9.
    emphasis: u16,
}

/// A colour as it was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    /// 0 to 15: the terminal's own.
    Named(u8),
    Indexed(u8),
    Rgb(u8, u8, u8),
}

impl Style {
    /// The escape sequence that sets it on a terminal where nothing is set; none for the plain style.
    #[must_use]
    pub fn sequence(&self) -> Option<String> {
        let mut codes: Vec<String> = (1..=9)
            .filter(|code| self.emphasis & (1 << code) != 0)
            .map(|code: u16| code.to_string())
            .collect();
        for (colour, base) in [(self.ink, 30), (self.ground, 40)] {
            codes.extend(colour.map(|colour| match colour {
                Colour::Named(n @ 0..8) => (base + u16::from(n)).to_string(),
                Colour::Named(n) => (base + 52 + u16::from(n)).to_string(),
                Colour::Indexed(n) => format!("{};5;{n}", base + 8),
                Colour::Rgb(r, g, b) => format!("{};2;{r};{g};{b}", base + 8),
            }));
        }
        (!codes.is_empty()).then(|| format!("\x1b[{}m", codes.join(";")))
    }

    /// Applies the parameters of a sequence that ends with `m`.
    fn apply(&mut self, params: &str) {
        let mut params = params.split(';');
        while let Some(param) = params.next() {
            let mut own = param.split(':');
            let code = number(own.next()).unwrap_or(0);
            match code {
                0 => *self = Self::default(),
                4 if own.next() == Some("0") => self.emphasis &= !(1 << 4),
                1..=9 => self.emphasis |= 1 << code,
                22 => self.emphasis &= !(1 << 1 | 1 << 2),
                25 => self.emphasis &= !(1 << 5 | 1 << 6),
                23 | 24 | 27 | 28 | 29 => self.emphasis &= !(1 << (code - 20)),
                30..=37 => self.ink = Some(Colour::Named(low(code - 30))),
                39 => self.ink = None,
                40..=47 => self.ground = Some(Colour::Named(low(code - 40))),
                49 => self.ground = None,
                90..=97 => self.ink = Some(Colour::Named(low(code - 82))),
                100..=107 => self.ground = Some(Colour::Named(low(code - 92))),
                38 | 48 => {
                    let colour = match param.contains(':') {
                        true => {
                            let own: Vec<&str> = own.collect();
                            // Between the 2 and the channels a colour space may stand, mostly an empty one.
                            let skip = usize::from(own.first() == Some(&"2") && own.len() > 4);
                            extended(own.first().copied(), &mut own.into_iter().skip(1 + skip))
                        }
                        false => extended(params.next(), &mut params),
                    };
                    match code {
                        38 => self.ink = colour.or(self.ink),
                        _ => self.ground = colour.or(self.ground),
                    }
                }
                _ => {}
            }
        }
    }
}

fn number(text: Option<&str>) -> Option<u16> {
    text?.parse().ok()
}

/// Codes of named colours are below 16.
fn low(code: u16) -> u8 {
    u8::try_from(code).unwrap_or_default()
}

fn extended<'p>(kind: Option<&str>, params: &mut impl Iterator<Item = &'p str>) -> Option<Colour> {
    let mut next = || match params.next() {
        Some("") => Some(0),
        other => u8::try_from(number(other)?).ok(),
    };
    match kind? {
        "5" => next().map(Colour::Indexed),
        "2" => {
            let (r, g, b) = (next(), next(), next());
            Some(Colour::Rgb(r?, g?, b?))
        }
        _ => None,
    }
}

/// A stream's style as its text comes in.
#[derive(Debug, Clone, Default)]
pub struct Styled {
    /// What is in force.
    pub style: Style,
    within: Within,
}

/// Where the text so far ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Text,
    Escape,
    Params(String),
}

impl Styled {
    /// One that begins with `style`.
    #[must_use]
    pub fn with(style: Style) -> Self {
        Self {
            style,
            within: Within::Text,
        }
    }

    /// True if the text so far ends within a sequence.
    #[must_use]
    pub fn is_within(&self) -> bool {
        self.within != Within::Text
    }

    /// Takes the next text.
    pub fn take(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        loop {
            match &mut self.within {
                Within::Text => {
                    let Some(at) = memchr(ESCAPE, rest) else { return };
                    rest = &rest[at + 1..];
                    self.within = Within::Escape;
                }
                Within::Escape => match rest.first() {
                    None => return,
                    Some(b'[') => {
                        rest = &rest[1..];
                        self.within = Within::Params(String::new());
                    }
                    Some(_) => self.within = Within::Text,
                },
                Within::Params(params) => {
                    let Some(byte) = rest.first() else { return };
                    match byte {
                        b' '..=b'?' if params.len() < LONGEST => {
                            params.push(char::from(*byte));
                            rest = &rest[1..];
                        }
                        b'm' => {
                            rest = &rest[1..];
                            // With a mark of its own it is no matter of colours.
                            if params.bytes().all(|byte| matches!(byte, b'0'..=b';')) {
                                self.style.apply(params);
                            }
                            self.within = Within::Text;
                        }
                        _ => self.within = Within::Text,
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(text: &str) -> Option<String> {
        let mut styled = Styled::default();
        styled.take(text);
        styled.style.sequence()
    }

    #[test]
    fn what_is_in_force_can_be_set_again() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(after("plain"), None);
        assert_eq!(after("\x1b[1mbold\x1b[31m red"), some("\x1b[1;31m"));
        assert_eq!(after("\x1b[1;31;44m\x1b[22;39m"), some("\x1b[44m"));
        assert_eq!(after("\x1b[91;102m"), some("\x1b[91;102m"));
        assert_eq!(after("\x1b[38;5;200;48;2;1;2;3m"), some("\x1b[38;5;200;48;2;1;2;3m"));
        assert_eq!(after("\x1b[38:2::1:2:3m\x1b[48:5:9m"), some("\x1b[38;2;1;2;3;48;5;9m"));
        assert_eq!(after("\x1b[38:2:1:2:3m"), some("\x1b[38;2;1;2;3m"));
        assert_eq!(after("\x1b[4:3m"), some("\x1b[4m"));
        assert_eq!(after("\x1b[4m\x1b[4:0m"), None);
        assert_eq!(after("\x1b[1;3;4;7;9m\x1b[23;24;27;29m"), some("\x1b[1m"));
        for off in ["\x1b[0m", "\x1b[m", "\x1b[1;m"] {
            assert_eq!(after(&format!("\x1b[1;31m{off}")), None, "{off:?}");
        }
    }

    #[test]
    fn what_is_no_colour_sets_none() {
        for text in [
            "\x1b[2J",
            "\x1b[>4;1m",
            "\x1b[?1m",
            "\x1b[1 m",
            "\x1b]0;a title [1m\x07",
            "\x1b[1\n31m",
            "\x1b[38;5m",
            "\x1b[38;2;1;2m",
            "\x1b[38;5;999m",
            "\x1b[1\u{e9}m",
            "\x1b",
        ] {
            assert_eq!(after(text), None, "{text:?}");
        }
        assert_eq!(after(&format!("\x1b[{}m", "1;".repeat(99))), None, "too long");
        assert_eq!(after("\x1b\x1b[1m"), Some("\x1b[1m".into()));
        assert_eq!(after("\x1b[3\x1b[1m"), Some("\x1b[1m".into()));
    }

    proptest! {
        #[test]
        fn wherever_the_text_is_cut_it_is_the_same(text in "(\x1b\\[[0-9;:]{0,8}m?|[a\u{e9}\n\x1b]){0,12}", cut in 0..60_usize) {
            let at = text.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(text.len());
            let mut styled = Styled::default();
            styled.take(&text[..at]);
            styled.take(&text[at..]);
            prop_assert_eq!(styled.style.sequence(), after(&text));
            // What comes out sets the same again.
            let again = styled.style.sequence().unwrap_or_default();
            prop_assert_eq!(after(&again), styled.style.sequence());
        }
    }
}
