//! Parameters of queries whose values are kept out of the log.

use alloc::string::String;
use alloc::vec::Vec;

/// What is hidden unless the configuration says otherwise: the words that Rails filters out of its own log in a new
/// application, as far as they are words of secrets.
pub const DEFAULT_NAMES: &[&str] =
    &["passw", "secret", "token", "_key", "crypt", "salt", "certificate", "otp", "ssn", "cvv", "cvc"];

/// What stands in the place of a value.
const REDACTED: &[u8] = b"[redacted]";
/// A longer name is looked at as it was sent.
const NAME_BYTES: usize = 128;

/// What is kept out of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redact {
    /// The values of parameters whose names contain one of these words, in lower case.
    Names(Vec<String>),
    /// Each query.
    Query,
}

impl Redact {
    /// Hides parameters by words in their names, whatever their case.
    pub fn names(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self::Names(names.into_iter().map(|name| name.as_ref().to_ascii_lowercase()).collect())
    }

    /// Passes the pieces of a query on, with values replaced.
    pub(crate) fn query(&self, query: &[u8], mut pass: impl FnMut(&[u8])) {
        let names = match self {
            Self::Query if query.is_empty() => return,
            Self::Query => return pass(REDACTED),
            Self::Names(names) => names,
        };
        if names.is_empty() {
            return pass(query);
        }
        let mut rest = query;
        loop {
            // `;` separates parameters too for some; in a referer `?` and `#` begin new ones.
            let end = rest.iter().position(|byte| matches!(byte, b'&' | b';' | b'?' | b'#')).unwrap_or(rest.len());
            let (parameter, behind) = rest.split_at(end);
            match parameter.iter().position(|byte| *byte == b'=') {
                Some(equals) if is_secret(names, &parameter[..equals]) => {
                    pass(&parameter[..=equals]);
                    pass(REDACTED);
                }
                _ => pass(parameter),
            }
            let Some((_, next)) = behind.split_first() else { return };
            pass(&behind[..1]);
            rest = next;
        }
    }

    /// Passes the pieces of a URL, or of a request target, on.
    pub(crate) fn url(&self, url: &[u8], mut pass: impl FnMut(&[u8])) {
        match url.iter().position(|byte| matches!(byte, b'?' | b'#')) {
            Some(start) => {
                pass(&url[..=start]);
                self.query(&url[start + 1..], pass);
            }
            None => pass(url),
        }
    }
}

/// Tells whether a name, as it stands in a query, contains one of the words.
fn is_secret(words: &[String], name: &[u8]) -> bool {
    let mut room = [0; NAME_BYTES];
    let name = decoded(name, &mut room).unwrap_or(name);
    words
        .iter()
        .any(|word| !word.is_empty() && name.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes())))
}

/// Takes the percent signs out.
fn decoded<'r>(name: &[u8], room: &'r mut [u8; NAME_BYTES]) -> Option<&'r [u8]> {
    if name.len() > NAME_BYTES || !name.contains(&b'%') {
        return None;
    }
    let digit = |at: usize| char::from(*name.get(at)?).to_digit(16);
    let (mut at, mut length) = (0, 0);
    while at < name.len() {
        let code = (name[at] == b'%').then(|| Some(digit(at + 1)? << 4 | digit(at + 2)?)).flatten();
        room[length] = code.map_or(name[at], |code| code as u8);
        at += if code.is_some() { 3 } else { 1 };
        length += 1;
    }
    Some(&room[..length])
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[track_caller]
    fn shown(redact: &Redact, url: &str) -> String {
        let mut out = Vec::new();
        redact.url(url.as_bytes(), |piece| out.extend_from_slice(piece));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_of_secret_parameters_are_replaced() {
        let redact = Redact::names(DEFAULT_NAMES);
        let cases = [
            ("/a?b=c", "/a?b=c"),
            ("/a", "/a"),
            ("/a?", "/a?"),
            ("/a?token", "/a?token"),
            ("/a?token=", "/a?token=[redacted]"),
            ("/a?x=1&user[Password]=s3&y", "/a?x=1&user[Password]=[redacted]&y"),
            ("/a?user%5Bp%61ssword%5d=s3", "/a?user%5Bp%61ssword%5d=[redacted]"),
            ("/a?api_key=k;b=2", "/a?api_key=[redacted];b=2"),
            ("http://a/b#access_token=x", "http://a/b#access_token=[redacted]"),
            ("/a?q=a?token=x", "/a?q=a?token=[redacted]"),
            ("/a?%=1&%zz=2", "/a?%=1&%zz=2"),
        ];
        for (url, want) in cases {
            assert_eq!(shown(&redact, url), want, "{url}");
        }
    }

    #[test]
    fn names_of_the_configuration_take_the_place_of_the_usual_ones() {
        assert_eq!(shown(&Redact::names(["Mail"]), "/?email=a@b&token=1"), "/?email=[redacted]&token=1");
        assert_eq!(shown(&Redact::names([""; 0]), "/?token=1"), "/?token=1");
        assert_eq!(shown(&Redact::Query, "/?token=1&b"), "/?[redacted]");
        assert_eq!(shown(&Redact::Query, "/"), "/".to_string());
    }
}
