//! Promise: RubyGems and Bundler of each Debian choose the gem that was compiled already, and go on to choose it from a
//! Gemfile.lock that names all platforms.

use std::fs;

use tempfile::TempDir;

use crate::{bare, registry};

const SUITES: [&str; 3] = ["bookworm", "trixie", "forky"];

#[test]
fn rubygems_installs_what_is_compiled_already() {
    let registry = registry(&[]);
    let source = format!("--clear-sources --source file://{}", registry.path().display());
    for suite in SUITES {
        let script = format!("gem install --no-document {source} licorne && licorne -v && unicornherder --version");
        let told = bare(suite, registry.path(), &script);
        let version = env!("CARGO_PKG_VERSION");
        assert!(told.stdout.contains(&format!("Successfully installed licorne-{version}-x86_64-linux\n")), "{told:#?}");
        assert!(told.stdout.ends_with(&format!("licorne v{version}\nunicornherder {version}\n")), "{told:#?}");
    }
}

#[test]
fn bundler_installs_it_again_from_a_lock_of_all_platforms() {
    let registry = registry(&[]);
    let gemfile = format!("source 'file://{}'\ngem 'licorne'\n", registry.path().display());
    let install = "bundle install --quiet && bundle exec licorne -v";
    for suite in SUITES {
        let app = TempDir::with_prefix("licorne-bundle-").expect("a directory");
        fs::write(app.path().join("Gemfile"), &gemfile).expect("it can be written");
        // Debian 12's has no word for musl, and would have the source everywhere.
        let platforms = if suite == "bookworm" { &["ruby"][..] } else { &["ruby", "x86_64-linux-musl"] };
        bare(suite, app.path(), &format!("{install} && bundle lock --add-platform {}", platforms.join(" ")));
        let lock = fs::read_to_string(app.path().join("Gemfile.lock")).expect("Bundler writes it");
        let version = env!("CARGO_PKG_VERSION");
        for platform in ["", "-x86_64-linux"].into_iter().chain(platforms.get(1).map(|_| "-x86_64-linux-musl")) {
            assert!(lock.contains(&format!("  licorne ({version}{platform})\n")), "{suite}: {lock}");
        }
        bare(suite, app.path(), install);
        for other in SUITES {
            bare(other, app.path(), install);
        }
    }
}
