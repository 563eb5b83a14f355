//! The page at `/`: one document that has everything in it, put together from the files in `page/` when this is compiled.
//!
//! It is the same for each client and says nothing of the server; what it shows comes from `/events`.

use std::sync::LazyLock;

use base64::Engine as _;
use sha2::{Digest, Sha256};

macro_rules! style {
    () => {
        include_str!("page/style.css")
    };
}

/// In a function of its own: a page has no names that others could use.
macro_rules! script {
    () => {
        concat!(
            "'use strict';\n(() => {\n",
            include_str!("page/format.js"),
            include_str!("page/table.js"),
            include_str!("page/chart.js"),
            include_str!("page/view.js"),
            include_str!("page/live.js"),
            "})();\n",
        )
    };
}

const STYLE: &str = style!();
const SCRIPT: &str = script!();

/// The document.
pub(crate) const DOCUMENT: &str = concat!(
    include_str!("page/head.html"),
    "<style>",
    style!(),
    "</style>\n",
    include_str!("page/body.html"),
    "<script>",
    script!(),
    "</script>\n</body>\n</html>\n",
);

/// What a browser may do with the document: run its script, apply its style, show the icon that is in it, and ask this
/// server for events.
pub(crate) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash =
        |text: &str| format!("'sha256-{}'", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text)));
    format!(
        "Content-Security-Policy: default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'\r\nX-Frame-Options: DENY\r\nCross-Origin-Opener-Policy: same-origin\r\n",
        hash(SCRIPT),
        hash(STYLE),
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_small_and_needs_nothing_from_outside() {
        assert!(DOCUMENT.len() < 100 * 1024, "{} bytes", DOCUMENT.len());
        for (begin, end, text) in [("<script>", "</script>", SCRIPT), ("<style>", "</style>", STYLE)] {
            let parts: Vec<&str> = DOCUMENT.split(begin).collect();
            assert_eq!(parts.len(), 2, "{begin}");
            assert!(parts[1].split_once(end).is_some_and(|(inside, _)| inside == text), "the hash of {begin} is right");
        }
        // The names of XML are no addresses.
        let names = ["http://www.w3.org/2000/svg"];
        let own = names.iter().fold(DOCUMENT.to_string(), |text, name| text.replace(name, ""));
        for outside in ["http:", "https:", "//fonts", "@import", "src=", "url("] {
            assert!(!own.contains(outside), "{outside}");
        }
    }

    #[test]
    fn no_text_becomes_markup() {
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("] {
            assert!(!SCRIPT.contains(way), "{way}");
        }
        assert!(!DOCUMENT.contains(" style=") && !DOCUMENT.contains(" onclick="));
    }
}
