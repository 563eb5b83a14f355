//! What follows when the directory of the application moves to another release.
//!
//! Capistrano and its like deploy each release into a directory of its own, move a symbolic link (`current`), and delete
//! old releases. Bundler pins what it sets up to the real directory that it was started in, so a server started in the
//! first release would look for its Gemfile there for ever. Here are the variables that such a pin can be in, and how
//! each is rewritten. Values that lie anywhere else are the user's and stay. No file is looked at: see `anchor`.

use std::path::{Path, PathBuf};

/// A directory that everything below it has moved from, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    from: PathBuf,
    to: PathBuf,
}

/// How a variable holds paths.
#[derive(Clone, Copy)]
enum Form {
    /// One path.
    Path,
    /// Paths between colons.
    List,
    /// Ruby's options: words, of which `-r…` and `-I…` hold paths.
    Options,
}

/// A variable that Bundler or RubyGems may have pinned to a release.
const VARIABLES: [(&str, Form); 10] = [
    ("BUNDLE_APP_CONFIG", Form::Path),
    ("BUNDLE_BIN_PATH", Form::Path),
    ("BUNDLE_GEMFILE", Form::Path),
    ("BUNDLE_PATH", Form::Path),
    ("BUNDLER_SETUP", Form::Path),
    ("GEM_HOME", Form::Path),
    ("GEM_PATH", Form::List),
    ("PATH", Form::List),
    ("RUBYLIB", Form::List),
    ("RUBYOPT", Form::Options),
];
/// Under this prefix Bundler keeps what a variable was before it changed it.
const ORIGINAL: &str = "BUNDLER_ORIG_";

impl Move {
    /// The move that an application made whose directory was `old` and is `new`, both without symbolic links.
    ///
    /// The application may live below the root of its release (`releases/1/backend`), and its Gemfile above it: what
    /// both paths end with is no part of the release's name. `None` when nothing moved, or when one directory is within
    /// the other: that is no other release.
    pub(crate) fn between(old: &Path, new: &Path) -> Option<Self> {
        let apart = |from: &Path, to: &Path| !from.starts_with(to) && !to.starts_with(from);
        if !apart(old, new) {
            return None;
        }
        let (mut from, mut to) = (old, new);
        while from.file_name() == to.file_name() {
            match (from.parent(), to.parent()) {
                (Some(a), Some(b)) if apart(a, b) => (from, to) = (a, b),
                _ => break,
            }
        }
        Some(Self { from: from.to_path_buf(), to: to.to_path_buf() })
    }

    /// Where a path of the old release is in the new one; `None` for any other path.
    pub(crate) fn follow(&self, path: &Path) -> Option<PathBuf> {
        let rest = path.strip_prefix(&self.from).ok()?;
        Some(if rest.as_os_str().is_empty() { self.to.clone() } else { self.to.join(rest) })
    }
}

/// Where `path` is after the first of these moves that concerns it.
pub(crate) fn follow(path: &Path, moves: &[Move]) -> Option<PathBuf> {
    moves.iter().find_map(|step| step.follow(path))
}

/// Of these variables those that lead into an old release, with the values that lead into the new one.
pub(crate) fn follow_variables(
    variables: impl IntoIterator<Item = (String, String)>,
    moves: &[Move],
) -> Vec<(String, String)> {
    if moves.is_empty() {
        return Vec::new();
    }
    let followed = |(name, value): (String, String)| {
        let plain = name.strip_prefix(ORIGINAL).unwrap_or(&name);
        let (_, form) = VARIABLES.iter().find(|(known, _)| *known == plain)?;
        let new = rewrite(&value, *form, moves);
        (new != value).then_some((name, new))
    };
    variables.into_iter().filter_map(followed).collect()
}

fn rewrite(value: &str, form: Form, moves: &[Move]) -> String {
    let path = |text: &str| -> String {
        follow(Path::new(text), moves).map_or_else(|| text.to_string(), |path| path.to_string_lossy().into_owned())
    };
    match form {
        Form::Path => path(value),
        Form::List => value.split(':').map(path).collect::<Vec<_>>().join(":"),
        Form::Options => value.split(' ').map(|word| option(word, path)).collect::<Vec<_>>().join(" "),
    }
}

fn option(word: &str, path: impl Fn(&str) -> String) -> String {
    match word.split_at_checked(2) {
        Some((flag @ ("-r" | "-I"), rest)) => format!("{flag}{}", path(rest)),
        // `-r PATH` in two words, or no path at all, which follows nowhere.
        _ => path(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_between_roots_of_releases() {
        let cases = [
            ("/app/releases/1", "/app/releases/2", Some(("/app/releases/1", "/app/releases/2"))),
            ("/app/releases/1/backend", "/app/releases/2/backend", Some(("/app/releases/1", "/app/releases/2"))),
            ("/app/1/a/b", "/app/2/c/b", Some(("/app/1/a", "/app/2/c"))),
            ("/blue", "/green", Some(("/blue", "/green"))),
            // The parents are within each other: only what is below both names moved.
            ("/srv/app", "/srv/new/app", Some(("/srv/app", "/srv/new/app"))),
            ("/app", "/app", None),
            ("/app", "/app/inner", None),
            ("/app/inner", "/app", None),
            ("/", "/app", None),
        ];
        for (old, new, want) in cases {
            let want = want.map(|(from, to)| Move { from: from.into(), to: to.into() });
            assert_eq!(Move::between(Path::new(old), Path::new(new)), want, "{old} to {new}");
        }
    }

    #[track_caller]
    fn check(name: &str, value: &str, want: Option<&str>) {
        let moves: Vec<Move> = ["/app/releases/1", "/app/releases/2"]
            .iter()
            .filter_map(|old| Move::between(Path::new(old), Path::new("/app/releases/3")))
            .collect();
        let followed = follow_variables([(name.to_string(), value.to_string())], &moves);
        let want: Vec<(String, String)> = want.map(|new| (name.to_string(), new.to_string())).into_iter().collect();
        assert_eq!(followed, want, "{name}={value}");
    }

    #[test]
    fn variables_that_lead_into_an_old_release_follow() {
        for (name, value, want) in [
            ("BUNDLE_GEMFILE", "/app/releases/1/Gemfile", "/app/releases/3/Gemfile"),
            ("BUNDLE_GEMFILE", "/app/releases/2/Gemfile", "/app/releases/3/Gemfile"),
            ("BUNDLER_ORIG_BUNDLE_GEMFILE", "/app/releases/1/Gemfile", "/app/releases/3/Gemfile"),
            ("BUNDLE_BIN_PATH", "/app/releases/1/vendor/bundle/exe/bundle", "/app/releases/3/vendor/bundle/exe/bundle"),
            ("GEM_HOME", "/app/releases/1", "/app/releases/3"),
            ("GEM_PATH", "/var/gems:/app/releases/1/vendor:/x", "/var/gems:/app/releases/3/vendor:/x"),
            ("RUBYLIB", "/app/releases/1/lib", "/app/releases/3/lib"),
            ("PATH", "/app/releases/1/bin:/usr/bin", "/app/releases/3/bin:/usr/bin"),
            ("RUBYOPT", "-W0 -r/app/releases/1/setup -rjson", "-W0 -r/app/releases/3/setup -rjson"),
            (
                "RUBYOPT",
                "-r /app/releases/1/setup -I/app/releases/2/lib",
                "-r /app/releases/3/setup -I/app/releases/3/lib",
            ),
        ] {
            check(name, value, Some(want));
        }
    }

    #[test]
    fn paths_elsewhere_stay() {
        for (name, value) in [
            ("BUNDLE_GEMFILE", "/app/current/Gemfile"),
            ("BUNDLE_GEMFILE", "/app/shared/Gemfile"),
            ("BUNDLE_GEMFILE", "/app/releases/10/Gemfile"),
            ("BUNDLE_GEMFILE", "/app/releases/3/Gemfile"),
            ("BUNDLE_GEMFILE", ""),
            ("BUNDLE_PATH", "vendor/bundle"),
            ("RUBYOPT", "-W0 -rbundler/setup"),
            ("PATH", "/usr/bin::/bin"),
            ("HOME", "/app/releases/1"),
            ("DATA", "/app/releases/1/data"),
        ] {
            check(name, value, None);
        }
    }
}
